/** A base with fewer vocabulary rows than its files have. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Checkpoint } from "../../../src/checkpoint/checkpoint.js";
import { hasVocabularyRows, resizedRows, withRows } from "../../../src/plan/resize.js";
import { type ImaginedTensor, imagine } from "../../support/checkpoints.js";

const E = "model.embed_tokens.weight";
const H = "lm_head.weight";

const shapes = (checkpoint: Checkpoint | null): Readonly<Record<string, readonly number[]>> | null =>
  checkpoint && Object.fromEntries([...checkpoint.stateDict].map(([name, { shape }]) => [name, shape]));

test("has a row for each token: embeddings and heads, and the biases of heads", () => {
  for (const name of [E, H, "embed_out.weight", "gpt_neox.embed_in.weight", "transformer.wte.weight"]) {
    assert.equal(hasVocabularyRows(name, [10, 4]), true, name);
    assert.equal(hasVocabularyRows(name, [40]), false, `${name}, flat`);
  }
  for (const name of [
    "lm_head.bias",
    "embed_out.bias",
    "cls.predictions.bias",
    "cls.predictions.decoder.bias",
    "predictions.bias",
    "generator_lm_head.bias",
    "lm_loss.bias",
    "pred_layer.proj.bias",
  ]) {
    assert.equal(hasVocabularyRows(name, [10]), true, name);
    assert.equal(hasVocabularyRows(name, [10, 1]), false, `${name}, a matrix`);
  }
  for (const name of [
    "model.layers.0.mlp.up_proj.weight",
    "my_lm_head.bias",
    "transformer.wpe.weight",
    "score.weight",
  ]) {
    assert.equal(hasVocabularyRows(name, [10, 4]) || hasVocabularyRows(name, [10]), false, name);
  }
});

test("cuts the rows of embeddings, the values of a head's bias, and nothing else", () => {
  const raw = imagine("base", [
    { name: E, dtype: "F16", shape: [10, 4] },
    { name: H, shape: [10, 4] },
    { name: "lm_head.bias", shape: [10] },
    { name: "model.layers.0.mlp.up_proj.weight", shape: [10, 4] },
    { name: "model.norm.weight", shape: [10] },
  ]);
  const cut = withRows(raw, resizedRows(10, 8, 7));
  assert.deepEqual(shapes(cut), {
    [E]: [7, 4],
    [H]: [7, 4],
    "lm_head.bias": [8],
    "model.layers.0.mlp.up_proj.weight": [10, 4],
    "model.norm.weight": [10],
  });
  const [before, after] = [raw, cut].map((model) => model?.stateDict.get(E)?.range);
  assert.deepEqual(after, { begin: before?.begin, end: (before?.begin ?? 0) + 7 * 4 * 2 });
  assert.deepEqual(shapes(raw)?.[E], [10, 4], "the base itself is left alone");
});

test("an embedding with another number of rows is not resized", () => {
  const raw = imagine("base", [
    { name: E, shape: [10, 4] },
    { name: "vision.embed_tokens.weight", shape: [9, 4] },
  ]);
  assert.deepEqual(shapes(withRows(raw, resizedRows(10, 8, 8))), { [E]: [8, 4], "vision.embed_tokens.weight": [9, 4] });
});

test("keeping more rows than there are changes nothing, and a tensor may keep none", () => {
  const raw = imagine("base", [{ name: E, shape: [10, 4] }]);
  assert.deepEqual(shapes(withRows(raw, resizedRows(10, 12, 11))), { [E]: [10, 4] });
  assert.deepEqual(shapes(withRows(raw, resizedRows(10, 12, 0))), { [E]: [0, 4] });
});

test("a strided view stays one, with fewer rows", () => {
  const more: ImaginedTensor["more"] = { range: { begin: 0, end: 160 }, strides: [1, 10] };
  const cut = withRows(imagine("base", [{ name: E, shape: [10, 4], more }]), resizedRows(10, 8, 7));
  const tensor = cut?.stateDict.get(E);
  assert.deepEqual([tensor?.shape, tensor?.strides, tensor?.range], [[7, 4], [1, 10], { begin: 0, end: 160 }]);
});

test("a table in several pieces cannot be cut", () => {
  const raw = imagine("base", [{ name: E, shape: [10, 4] }]);
  const [tensor] = raw.stateDict.values();
  assert.ok(tensor !== undefined);
  const parted = { ...raw, stateDict: new Map([[E, { ...tensor, pieces: [] }]]) };
  assert.equal(withRows(parted, resizedRows(10, 8, 7)), null);
  assert.equal(withRows(parted, resizedRows(10, 10, 10))?.stateDict.get(E)?.shape[0], 10, "none is to be cut");
});
