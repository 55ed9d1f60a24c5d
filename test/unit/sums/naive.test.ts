/** The reference's sum: in which order, and what its distance from a published one means (docs/arithmetic.md 7). */
import assert from "node:assert/strict";
import { test } from "node:test";
import { computedInvFreq, judgeSum, naiveSums, rotaryLengths, stateDictOrder } from "../../../src/sums/naive.js";

const ALPACA = 50637.1836;
/** Of 32 buffers of 64 values at theta 10000, in float32. */
const INV_FREQ_7B = 238.7185;
const LAYERS = 32;
const both = (sum: number, gap = INV_FREQ_7B) => ({
  withInvFreq: Math.fround(sum),
  withoutInvFreq: Math.fround(sum - gap),
});

test("orders names as the LLaMA state dict of 2023, down before up", () => {
  const layer = (n: number): string[] =>
    [
      "self_attn.q_proj.weight",
      "self_attn.k_proj.weight",
      "self_attn.v_proj.weight",
      "self_attn.o_proj.weight",
      "self_attn.rotary_emb.inv_freq",
      "mlp.gate_proj.weight",
      "mlp.down_proj.weight",
      "mlp.up_proj.weight",
      "input_layernorm.weight",
      "post_attention_layernorm.weight",
    ].map((part) => `model.layers.${n}.${part}`);
  const expected = [
    "model.embed_tokens.weight",
    ...[0, 1, 2, 10].flatMap(layer),
    "model.norm.weight",
    "lm_head.weight",
  ];
  assert.deepEqual(stateDictOrder([...expected].reverse()), expected);
  assert.deepEqual(stateDictOrder([...expected].sort()), expected);
});

test("keeps the order of the files for every other family", () => {
  const names = ["lm_head.weight", "model.norm.weight", "transformer.wte.weight"];
  assert.deepEqual(stateDictOrder(names), names);
  const hostile = ["lm_head.weight", `model.layers.${"9".repeat(400)}.input_layernorm.weight`, "model.norm.weight"];
  assert.deepEqual(stateDictOrder(hostile), hostile);
});

test("adds in float32, one tensor after the other", () => {
  const sums = new Map([
    ["model.norm.weight", -16_777_216],
    ["lm_head.weight", 1],
    ["model.embed_tokens.weight", 16_777_216],
    ["model.layers.0.input_layernorm.weight", 1],
  ]);
  // 2^24 + 1 is not a float32: in this order the first 1 is lost, the second is not.
  assert.deepEqual(naiveSums(sums, null), { withoutInvFreq: 1, withInvFreq: 1 });
});

test("leaves stored inv_freq out of one of the sums, and does not compute more of it", () => {
  const sums = new Map([
    ["a", 2],
    ["model.layers.0.self_attn.rotary_emb.inv_freq", 4],
  ]);
  assert.deepEqual(naiveSums(sums, { layers: 2, count: 64, theta: 1e4 }), { withoutInvFreq: 2, withInvFreq: 6 });
});

test("computes the buffers that no file holds: 238.7185 for a 7B", () => {
  const { withoutInvFreq, withInvFreq } = naiveSums(new Map([["a", 0]]), { layers: LAYERS, count: 64, theta: 1e4 });
  assert.equal(withoutInvFreq, 0);
  assert.ok(Math.abs(withInvFreq - INV_FREQ_7B) < 2e-4, String(withInvFreq));
});

test("gives NaN for weights that hold one", () => {
  assert.equal(naiveSums(new Map([["a", Number.NaN]]), null).withoutInvFreq, Number.NaN);
});

for (const off of [0, 0.003, 0.0078, -0.0078]) {
  test(`passes ${ALPACA} when off by ${off}`, () => {
    const { verdict, includesInvFreq } = judgeSum(ALPACA, both(ALPACA + off), LAYERS);
    assert.deepEqual([verdict, includesInvFreq], ["pass", true]);
  });
}

for (const off of [0.0119, -0.02, 0.038]) {
  test(`passes within the reference's own noise when off by ${off}, and says so`, () => {
    const { verdict, reason } = judgeSum(ALPACA, both(ALPACA + off), LAYERS);
    assert.equal(verdict, "pass-within-noise");
    assert.match(reason, /^off by 0\.0\d+ with the inv_freq buffers, .*thread counts differ as much$/);
  });
}

test("passes a sum that was published without the buffers, and says which it was", () => {
  const { verdict, includesInvFreq, found, reason } = judgeSum(50398.465, both(50398.465 + INV_FREQ_7B), LAYERS);
  assert.deepEqual([verdict, includesInvFreq], ["pass", false]);
  assert.ok(Math.abs(found - 50398.465) < 0.01);
  assert.match(reason, /without the inv_freq buffers/);
});

for (const [what, sum] of [
  ["twice", ALPACA + INV_FREQ_7B],
  ["not at all, twice over", ALPACA - INV_FREQ_7B],
] as const) {
  test(`explains a sum whose buffers count ${what}`, () => {
    const sums = sum > ALPACA ? both(sum + INV_FREQ_7B) : both(sum);
    const { verdict, reason } = judgeSum(ALPACA, sums, LAYERS);
    assert.equal(verdict, "fail");
    assert.match(reason, /^off by 238\.7\d+, about 7\.46 x 32 layers: inv_freq is why/);
  });
}

test("explains the gap of a base that stores the buffers in 16 bits", () => {
  const { reason } = judgeSum(ALPACA, both(ALPACA - 238.7269, 238.7269), LAYERS);
  assert.match(reason, /inv_freq is why/);
});

for (const off of [0.05, 1, -25, 3801.8]) {
  test(`fails when off by ${off}, and does not blame inv_freq`, () => {
    const { verdict, reason } = judgeSum(ALPACA, both(ALPACA + off), LAYERS);
    assert.equal(verdict, "fail");
    assert.match(reason, /another base, another diff, or damaged files$/);
  });
}

test("does not blame buffers that the model does not have", () => {
  const { reason } = judgeSum(100, both(100.05, 0), LAYERS);
  assert.match(reason, /another base/);
});

for (const value of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
  test(`fails a sum of ${value} in words`, () => {
    const verdict = judgeSum(ALPACA, { withInvFreq: value, withoutInvFreq: value }, LAYERS);
    assert.equal(verdict.verdict, "fail");
    assert.equal(
      verdict.reason,
      "the sum is no number: the weights hold NaN or infinite values, or sum to more than float32 holds",
    );
  });
}

test("takes the length of a rotary buffer from the tensors before the config, and never one that no head has", () => {
  const layer = "model.layers.0.self_attn.q_proj.weight";
  const config = (hidden: number, heads: number) => ({ headSize: hidden / heads, heads, ropeTheta: 1e4 });
  const lengthOf = (shape: readonly number[], hidden: number, heads: number) =>
    computedInvFreq([layer], rotaryLengths([[layer, { shape }]]), config(hidden, heads))?.count ?? null;
  assert.equal(lengthOf([4096, 4096], 1e300, 32), 64);
  assert.equal(lengthOf([4096, 4096], 4096, 1e-300), null);
  assert.equal(lengthOf([4096, 4096], 4096, 1), 2048);
  const noQueries = (hidden: number) => computedInvFreq([layer], rotaryLengths([]), config(hidden, 1));
  assert.equal(noQueries(128)?.count, 64);
  for (const hidden of [1e300, 2 ** 53, Number.POSITIVE_INFINITY, -2, 0.5]) {
    assert.equal(noQueries(hidden), null, String(hidden));
  }
  const stored = rotaryLengths([["a.rotary_emb.inv_freq", { shape: [2 ** 52] }]]);
  assert.equal(computedInvFreq([layer], stored, null), null);
});
