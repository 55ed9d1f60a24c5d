/** Any two state dicts: a plan whose output tiles its files, or a MISMATCH. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { WeightDiffError } from "../../src/errors.js";
import { tensorBytes } from "../../src/formats/dtype.js";
import type { Plan } from "../../src/plan/plan.js";
import { planRecover } from "../../src/plan/plan-recover.js";
import { schemeNamed } from "../../src/scheme/families.js";
import { type ImaginedTensor, imagine } from "../support/checkpoints.js";

const NAMES = [
  "a",
  "model.embed_tokens.weight",
  "lm_head.weight",
  "x.rotary_emb.inv_freq",
  "h.attention.bias",
  "__proto__",
];
const size = fc.oneof(fc.integer({ min: 0, max: 5 }), fc.constantFrom(1024, 2048));
const tensor = fc.record({
  name: fc.oneof(fc.constantFrom(...NAMES), fc.string({ maxLength: 3 })),
  dtype: fc.constantFrom("F32", "F16", "BF16", "I64", "BOOL"),
  shape: fc.array(size, { maxLength: 3 }),
  shard: fc.nat(2),
});
const dict = fc.uniqueArray(tensor, { selector: ({ name }) => name, maxLength: 12 });
/** Mostly pairs that fit: the base is the diff with some tensors changed. */
const pair = fc.oneof(
  fc.tuple(dict, dict),
  dict.map((tensors): [ImaginedTensor[], ImaginedTensor[]] => [tensors, tensors]),
  fc
    .tuple(dict, fc.nat(4))
    .map(([tensors, more]): [ImaginedTensor[], ImaginedTensor[]] => [
      tensors,
      tensors.map((found) =>
        found.shape.length === 2 ? { ...found, shape: [(found.shape[0] ?? 0) + more, found.shape[1] ?? 0] } : found,
      ),
    ]),
);

test("tiles every output file without gap or overlap, or refuses", () => {
  let plans = 0;
  fc.assert(
    fc.property(
      pair,
      fc.constantFrom("F32", "F16", "BF16"),
      fc.constantFrom(1, 100, 5000, 1e9),
      fc.constantFrom("drop", "keep"),
      fc.option(fc.boolean()),
      ([raw, diff], dtype, maxShardSize, invFreq, tied) => {
        const options = { scheme: schemeNamed("alpaca"), dtype, maxShardSize, invFreq, rows: null, ropeTheta: 1e4 };
        try {
          checkTiling(
            planRecover(imagine("base", raw), imagine("diff", diff), { ...options, rawTied: tied, diffTied: tied }),
            invFreq,
          );
          plans++;
        } catch (error) {
          assert.ok(error instanceof WeightDiffError && error.code === "MISMATCH", String(error));
        }
      },
    ),
    { seed: 20230613, numRuns: 600 },
  );
  assert.ok(plans > 250, `only ${plans} pairs fitted`);
});

function checkTiling(plan: Plan, invFreq: "drop" | "keep"): void {
  const jobs = plan.jobs.flatMap((job) => (job.kind === "tensor" ? [job] : []));
  assert.deepEqual(new Set(jobs.map(({ name }) => name)), new Set(plan.order));
  assert.ok(jobs.every((job, id) => job.id === id));
  let total = 0;
  plan.shards.forEach((shard, index) => {
    const placed = jobs.filter(({ output }) => output?.shard === index);
    assert.deepEqual(new Set(placed.map(({ name }) => name)), new Set(shard.tensors));
    const ranges = placed.map(({ output }) => output?.range ?? { begin: 0, end: 0 });
    ranges.sort((a, b) => a.begin - b.begin || a.end - b.end);
    let at = shard.header.length;
    assert.equal(at % 4096, 0);
    for (const { begin, end } of ranges) {
      assert.equal(begin, at);
      at = end;
    }
    assert.equal(at, shard.size);
    for (const { dtype, shape, output } of placed) {
      assert.equal((output?.range.end ?? 0) - (output?.range.begin ?? 0), tensorBytes(dtype, shape));
      total += tensorBytes(dtype, shape) ?? 0;
    }
  });
  assert.equal(total, plan.totalSize);
  const unwritten = jobs.filter(({ output }) => output === null);
  assert.ok(unwritten.every(({ name }) => invFreq === "drop" && name.endsWith("rotary_emb.inv_freq")));
}
