/** The precision trap: which bases are LLaMA-1, and which values were rounded to BF16. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { openCheckpoint } from "../../../src/checkpoint/checkpoint.js";
import { type ModelConfig, readConfig } from "../../../src/checkpoint/config.js";
import { isFirstLlama, judgePrecision } from "../../../src/evidence/base-precision.js";
import { type SampledPair, samplePairs } from "../../../src/evidence/sample.js";
import { imagine, withFolder } from "../../support/checkpoints.js";
import { FIXTURES } from "../../support/fixtures.js";
import { fromNumbers, readWeights, rounded, writeWeights } from "../../support/trained.js";

const BASE = join(FIXTURES, "trained/llama/base");

for (const [dtype, kind] of [
  ["BF16", "stored"],
  ["F16", "rounded"],
  ["F32", "rounded"],
] as const) {
  test(`a trained base rounded to BF16 and stored as ${dtype}: ${kind}`, async () => {
    await withFolder(async (folder) => {
      const path = await writeWeights(folder, rounded(await readWeights(BASE), "BF16"), dtype);
      const precision = judgePrecision(await samplePairs(await openCheckpoint(path), await openCheckpoint(BASE)));
      assert.equal(precision.kind, kind);
      assert.ok(precision.kind !== "rounded" || (precision.dtype === dtype && precision.elements > 20_000));
    });
  });
}

for (const dtype of ["F16", "F32"] as const) {
  test(`a trained base as it was released, stored as ${dtype}, is fine`, async () => {
    await withFolder(async (folder) => {
      const path = await writeWeights(folder, await readWeights(BASE), dtype);
      const precision = judgePrecision(await samplePairs(await openCheckpoint(path), await openCheckpoint(BASE)));
      assert.deepEqual(precision, { kind: "fine" });
    });
  });
}

const pair = (values: readonly number[], rawDtype: "F16" | "F32" | "BF16" = "F16"): SampledPair => ({
  name: "a",
  rawDtype,
  diffDtype: "F32",
  windows: [{ raw: fromNumbers(values), diff: fromNumbers(values) }],
});

test("one value that BF16 cannot hold proves another precision; zeros and a few values prove nothing", () => {
  const many = Array.from({ length: 2000 }, (_, i) => 1 + (i % 128) / 128);
  assert.equal(judgePrecision([pair(many)]).kind, "rounded");
  assert.equal(judgePrecision([pair([...many, 1 + 1 / 256])]).kind, "fine");
  assert.equal(judgePrecision([pair(many.slice(0, 999))]).kind, "fine");
  assert.equal(judgePrecision([pair(many.map(() => 0))]).kind, "fine");
  assert.equal(judgePrecision([]).kind, "fine");
});

test("BF16 in a few tensors of a float16 base is not how it is stored", () => {
  const fine = pair([1 + 1 / 256]);
  assert.equal(judgePrecision([fine, fine, pair([1], "BF16")]).kind, "fine");
  assert.equal(judgePrecision([fine, pair([1], "BF16"), pair([1], "BF16")]).kind, "stored");
});

// --- the family -----------------------------------------------------------------------------------------------------

const CONFIG = await readConfig(BASE);
const base = (hidden: number, layers: number, rows = 32_000) =>
  imagine("b", [
    { name: "model.embed_tokens.weight", shape: [rows, hidden] },
    ...Array.from({ length: layers }, (_, i) => ({
      name: `model.layers.${i}.input_layernorm.weight`,
      shape: [hidden],
    })),
  ]);
const config = (change: Partial<ModelConfig>): ModelConfig => {
  assert.ok(CONFIG !== null);
  return { ...CONFIG, ...change };
};

for (const [hidden, layers] of [
  [4096, 32],
  [5120, 40],
  [6656, 60],
  [8192, 80],
] as const) {
  test(`hidden size ${hidden} with ${layers} layers and 2048 positions is LLaMA-1`, () => {
    assert.ok(isFirstLlama(base(hidden, layers), config({}), null));
  });
}

test("the diff's config decides if the base has none", () => {
  assert.ok(isFirstLlama(base(4096, 32), null, config({})));
  assert.equal(isFirstLlama(base(4096, 32), null, null), false);
});

for (const [what, raw, change] of [
  ["Llama 2, with 4096 positions", base(4096, 32), { context: 4096 }],
  ["another family", base(4096, 32), { modelType: "gpt_neox" }],
  ["more layers", base(4096, 33), {}],
  ["fewer layers", base(4096, 31), {}],
  ["another size", base(2048, 32), {}],
  ["another vocabulary", base(4096, 32, 32_001), {}],
  ["no embedding", imagine("b", [{ name: "a", shape: [1] }]), {}],
  ["a config that says nothing", base(4096, 32), { context: null }],
] as const) {
  test(`${what} is not LLaMA-1`, () => {
    assert.equal(isFirstLlama(raw, config(change), null), false);
  });
}
