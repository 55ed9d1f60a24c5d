/** The rows of layouts: which is asked first, and what tells them apart. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { openCheckpoint } from "../../../../src/checkpoint/checkpoint.js";
import { configOf } from "../../../../src/checkpoint/config.js";
import { findWeights, layoutNamed, layoutOfPart } from "../../../../src/checkpoint/layouts/registry.js";
import { FIXTURES } from "../../../support/fixtures.js";

const META = ["consolidated.01.pth", "consolidated.00.pth", "params.json"];

test("transformers' files are asked for first, then Meta's parts, by name", () => {
  const usual = ["model.safetensors", "pytorch_model.bin"];
  assert.deepEqual(findWeights(new Set([...META, ...usual])), {
    layout: "huggingface",
    files: ["model.safetensors"],
    index: null,
    others: ["pytorch_model.bin"],
  });
  assert.deepEqual(findWeights(new Set(META)), {
    layout: "meta",
    files: ["consolidated.00.pth", "consolidated.01.pth"],
    index: null,
    others: [],
  });
  assert.equal(findWeights(new Set(["model.safetensors.index.json"]))?.index, "model.safetensors.index.json");
  assert.equal(findWeights(new Set(["config.json"])), null);
});

test("one of Meta's parts is nothing alone; any other file may be a model", () => {
  assert.equal(layoutOfPart("consolidated.00.pth")?.name, "meta");
  assert.equal(layoutOfPart("pytorch_model-00001-of-00002.bin"), undefined);
});

test("only Meta's own files were released; its tokenizer lies above", () => {
  const rows = (["huggingface", "meta", "easylm"] as const).map(layoutNamed);
  assert.deepEqual(
    rows.map(({ name, released, tokenizer }) => [name, released, tokenizer]),
    [
      ["huggingface", false, "beside"],
      ["meta", true, "above"],
      ["easylm", false, "above"],
    ],
  );
});

test("a checkpoint has its layout as data: which one, its config, why it cannot be converted", async () => {
  const plain = await openCheckpoint(join(FIXTURES, "demo/base"));
  assert.deepEqual([plain.layout, plain.configText], ["huggingface", null]);
  assert.equal(plain.unconvertible?.code, "FORMAT_UNSUPPORTED");
  const meta = await openCheckpoint(join(FIXTURES, "meta/two-parts"));
  assert.deepEqual([meta.layout, meta.unconvertible], ["meta", null]);
  assert.equal((await configOf(meta))?.modelType, "llama");
});
