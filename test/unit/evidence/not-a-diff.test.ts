/** Diffs and full models, told apart by their own values: trained models, then what no training gave. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import "../../support/seed.js";
import { openCheckpoint } from "../../../src/checkpoint/checkpoint.js";
import type { ModelConfig } from "../../../src/checkpoint/config.js";
import {
  censusNorms,
  hasDiffNorms,
  hasFullNorms,
  hasUntouchedRows,
  likeness,
  resembles,
  summarise,
} from "../../../src/evidence/not-a-diff.js";
import { type SampledPair, samplePairs, toNumbers } from "../../../src/evidence/sample.js";
import { safetensors, type TensorSpec, withFolder, writeFiles } from "../../support/checkpoints.js";
import { FIXTURES } from "../../support/fixtures.js";
import { fromNumbers, mapWeights, readWeights, subtract, type Weights, writeWeights } from "../../support/trained.js";

const TRAINED = join(FIXTURES, "trained");
const TUNES = {
  llama: ["gentle-f16", "gentle-bf16", "gentle-f32", "huge-f32"],
  neox: ["gentle-f16", "huge-f32"],
} as const;

async function look(base: string, path: string) {
  const raw = await openCheckpoint(base);
  const diff = await openCheckpoint(path);
  const sample = await samplePairs(raw, diff);
  const norms = await censusNorms(diff, null);
  return {
    norms,
    cosine: likeness(sample),
    untouched: hasUntouchedRows(sample),
    full: hasFullNorms(norms, await censusNorms(raw, null)),
  };
}

async function lookAt(base: string, weights: Weights) {
  return withFolder(async (folder) => look(base, await writeWeights(folder, weights, "F32")));
}

for (const [family, names] of Object.entries(TUNES)) {
  const base = join(TRAINED, family, "base");

  for (const name of ["base", ...names]) {
    test(`${family} ${name}: a full model by its norms, and by its likeness to the base unless tuned to ruin`, async () => {
      const { norms, cosine, untouched, full } = await look(base, join(TRAINED, family, name));
      assert.ok((norms?.strength ?? 0) > 0.28, JSON.stringify(norms));
      assert.ok(full && !untouched);
      assert.equal(resembles(cosine), name !== "huge-f32", String(cosine));
    });
  }

  for (const name of names) {
    test(`${family} ${name}: its diff is not taken for a full model, whatever it is multiplied by`, async () => {
      const diff = subtract(await readWeights(join(TRAINED, family, name)), await readWeights(base));
      for (const factor of [1e-6, 1, 30, 1e4]) {
        const scaled = mapWeights(diff, (_, bits) => fromNumbers([...toNumbers(bits)].map((value) => value * factor)));
        const { full, cosine, norms } = await lookAt(base, scaled);
        assert.equal(full, false, JSON.stringify(norms));
        assert.equal(resembles(cosine), false, String(cosine));
        assert.ok(factor > 1 || hasDiffNorms(norms), JSON.stringify(norms));
      }
    });
  }
}

test("knows a full model that has nothing to do with the base by its norms alone", async () => {
  const { full, cosine } = await look(join(TRAINED, "llama/base"), join(TRAINED, "llama/other"));
  assert.ok(Math.abs(cosine ?? 1) < 0.1);
  assert.ok(full);
});

test("sees the rows of tokens that training never met", async () => {
  const base = join(TRAINED, "llama/base");
  const diff = subtract(await readWeights(join(TRAINED, "llama/huge-f32")), await readWeights(base));
  assert.ok((await lookAt(base, diff)).untouched);
});

// --- the norms ------------------------------------------------------------------------------------------------------

const values = (of: (i: number) => number, count = 64): Float32Array =>
  Float32Array.from({ length: count }, (_, i) => of(i));
const normsOf = (names: readonly string[], data: Float32Array) =>
  names.map((name): TensorSpec => [name, "F32", [data.length], data]);
const NEOX = [
  "gpt_neox.layers.0.input_layernorm.weight",
  "gpt_neox.layers.0.post_attention_layernorm.weight",
  "gpt_neox.final_layer_norm.weight",
];

const LLAMA = { modelType: "llama" } as ModelConfig;

async function censusOf(tensors: readonly TensorSpec[], config: ModelConfig | null = LLAMA) {
  return withFolder(async (folder) => {
    await writeFiles(folder, { "model.safetensors": safetensors(...tensors) });
    return censusNorms(await openCheckpoint(folder), config);
  });
}

const grown = values((i) => 0.3 + i / 100);
for (const names of [NEOX, ["model.norm.weight"], ["transformer.h.0.ln_1.weight"], ["encoder.layer_norm.weight"]]) {
  test(`knows ${names[0]} for the norm of a full model`, async () => {
    const census = await censusOf(normsOf(names, grown));
    assert.equal(census?.count, names.length);
    assert.ok(hasFullNorms(census, null));
  });
}

for (const [what, of] of [
  ["1, as initialised", () => 1],
  ["small ones, as in LLaMA's first layer", (i: number) => 0.03 + (i % 7) / 1000],
  ["large ones", (i: number) => 5 + (i % 7)],
] as const) {
  test(`takes norm weights of ${what} for a full model's`, () => {
    assert.ok(hasFullNorms(summarise([values(of)], true), null));
  });
}

for (const [what, of] of [
  ["small values of either sign", (i: number) => (i % 2 === 0 ? 1e-3 : -1e-3)],
  ["one step of Adam, all upwards", () => 0.01],
  ["large values of either sign", (i: number) => (i % 2 === 0 ? 1 : -1)],
  ["values that all shrank", (i: number) => -0.5 - (i % 5) / 10],
  ["zeros", () => 0],
] as const) {
  test(`lets norm weights of ${what} pass for a diff's`, async () => {
    const census = await censusOf(normsOf(NEOX, values(of)));
    assert.equal(census?.count, 3);
    assert.equal(hasFullNorms(census, null), false);
    assert.ok(hasDiffNorms(census));
  });
}

test("norms that all grew by a quarter of the base's are a diff's; as many as the base's, a model's", () => {
  const base = summarise([values((i) => 0.4 + (i % 9) / 100)], true);
  assert.equal(hasFullNorms(summarise([values((i) => 0.04 + (i % 15) / 100)], true), base), false);
  assert.ok(hasFullNorms(summarise([values((i) => 0.3 + (i % 15) / 100)], true), base));
});

test("judges by no bias, no matrix, no integer, no NaN and no empty norm", async () => {
  const one = values(() => 1);
  const census = await censusOf([
    ["a.input_layernorm.bias", "F32", [64], one],
    ["a.norm.weight", "F32", [8, 8], one],
    ["b.norm.weight", "I32", [64], one],
    ["c.norm.weight", "F32", [0]],
    ["abnorm.weight", "F32", [64], one],
    ["d.norm.weight", "F32", [64], values(() => Number.NaN)],
  ]);
  assert.equal(census, null);
  assert.equal(hasFullNorms(census, null) || hasDiffNorms(census), false);
});

for (const modelType of ["gemma2", "qwen3_5", "nemotron", "a-family-of-next-year", null]) {
  test(`takes norms around zero for a diff's only in families known to have them near 1: not in ${modelType}`, async () => {
    const names = ["model.norm.weight", "model.layers.0.input_layernorm.weight"];
    const tensors = normsOf(
      names,
      values((i) => (i % 2 === 0 ? 1e-3 : -2e-3)),
    );
    assert.ok(hasDiffNorms(await censusOf(tensors)));
    const census = await censusOf(tensors, { modelType } as ModelConfig);
    assert.equal(hasDiffNorms(census), false);
  });
}

for (const [dtype, bits] of [
  ["F16", 0x3c00],
  ["BF16", 0x3f80],
] as const) {
  test(`reads norms in ${dtype}, of odd lengths`, async () => {
    const census = await censusOf([["a.norm.weight", dtype, [3], new Uint16Array(3).fill(bits)]]);
    assert.deepEqual(census, { count: 1, magnitude: 1, positive: 1, steadiness: 10, strength: 10, scales: true });
  });
}

test("one norm that is off does not decide: the median does", () => {
  const small = values((i) => (i % 2 === 0 ? 1e-3 : -2e-3));
  assert.ok(hasDiffNorms(summarise([small, values(() => 9), small], true)));
});

test("any bits give a verdict", () => {
  const array = fc.array(fc.integer({ min: 0, max: 0xffffffff }), { maxLength: 70 });
  fc.assert(
    fc.property(fc.array(array, { maxLength: 4 }), (norms) => {
      const census = summarise(
        norms.map((bits) => toNumbers(Uint32Array.from(bits))),
        true,
      );
      assert.equal(hasFullNorms(census, null) && hasDiffNorms(census), false);
      const windows = norms.map((bits) => ({ raw: Uint32Array.from(bits), diff: Uint32Array.from(bits).reverse() }));
      const pairs: readonly SampledPair[] = [{ name: "a", rawDtype: "F32", diffDtype: "F32", windows }];
      const cosine = likeness(pairs);
      assert.ok(cosine === null || Math.abs(cosine) <= 1.000001, String(cosine));
      hasUntouchedRows(pairs);
    }),
  );
});
