/** Which sums are exact in 16 bits, on the right base and on wrong ones: trained models, then arithmetic's corners. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import "../../support/seed.js";
import { openCheckpoint } from "../../../src/checkpoint/checkpoint.js";
import { type BitVerdict, censusBits, judgeBits, type TensorCensus } from "../../../src/evidence/bit-census.js";
import { type SampledPair, samplePairs } from "../../../src/evidence/sample.js";
import { toBits } from "../../../src/kernel/bits.js";
import { isExact } from "../../../src/kernel/fits.js";
import { withFolder } from "../../support/checkpoints.js";
import { FIXTURES } from "../../support/fixtures.js";
import {
  fromNumbers,
  mapWeights,
  readWeights,
  rounded,
  subtract,
  type Weights,
  writeWeights,
} from "../../support/trained.js";

const TRAINED = join(FIXTURES, "trained/llama");

async function judge(tune: string, base: "own" | "own rounded to BF16" | "another"): Promise<BitVerdict> {
  return withFolder(async (folder) => {
    const own = await readWeights(join(TRAINED, "base"));
    const diff = await writeWeights(join(folder, "diff"), subtract(await readWeights(join(TRAINED, tune)), own), "F32");
    const bases = {
      own: join(TRAINED, "base"),
      "own rounded to BF16": await writeWeights(join(folder, "rounded"), rounded(own, "BF16"), "BF16"),
      another: join(TRAINED, "other"),
    };
    return judgeBits(censusBits(await samplePairs(await openCheckpoint(bases[base]), await openCheckpoint(diff))));
  });
}

for (const [tune, dtype] of [
  ["gentle-f16", "F16"],
  ["gentle-bf16", "BF16"],
] as const) {
  test(`${tune}: every sum is exact on its own base`, async () => {
    const verdict = await judge(tune, "own");
    assert.equal(verdict.kind, "right");
    assert.equal(verdict.kind === "right" && verdict.dtype, dtype);
    assert.equal(verdict.kind === "right" && verdict.share, 1);
    assert.ok(verdict.elements > 20_000, String(verdict.elements));
  });

  for (const base of ["own rounded to BF16", "another"] as const) {
    test(`${tune}: suspects the base that is ${base}`, async () => {
      const verdict = await judge(tune, base);
      assert.equal(verdict.kind, "suspect");
      assert.ok(verdict.kind === "suspect" && verdict.share > 0.1 && verdict.share < 0.99, JSON.stringify(verdict));
    });
  }
}

for (const tune of ["gentle-f32", "huge-f32"]) {
  for (const base of ["own", "own rounded to BF16", "another"] as const) {
    test(`${tune}, saved in float32: no verdict on the base that is ${base}`, async () => {
      assert.equal((await judge(tune, base)).kind, "none");
    });
  }
}

/** The values with the digits that only float32 has, as those of a base that was trained in it. */
function withAllDigits(weights: Weights): Weights {
  return mapWeights(weights, (_, bits) =>
    bits.map((value, index) => value ^ (Math.imul(index + 1, 0x9e3779b1) >>> 19)),
  );
}

for (const [tune, dtype] of [
  ["gentle-f16", "F16"],
  ["gentle-bf16", "BF16"],
] as const) {
  test(`${tune} of a float32 base: the publisher's rounding is no sign of a wrong base, rounding that base is`, async () => {
    await withFolder(async (folder) => {
      const own = withAllDigits(await readWeights(join(TRAINED, "base")));
      const weights = subtract(await readWeights(join(TRAINED, tune)), own);
      const diff = await openCheckpoint(await writeWeights(join(folder, "diff"), weights, "F32"));
      const verdictOn = async (base: Weights): Promise<BitVerdict> => {
        const path = await writeWeights(join(folder, "base"), base, "F32");
        return judgeBits(censusBits(await samplePairs(await openCheckpoint(path), diff)));
      };
      const right = await verdictOn(own);
      assert.equal(right.kind === "right" && right.dtype, dtype);
      assert.equal(right.kind === "right" && right.share, 1);
      for (const rounding of ["F16", "BF16"] as const) {
        assert.notEqual((await verdictOn(rounded(own, rounding))).kind, "right");
      }
    });
  });
}

// --- counting -------------------------------------------------------------------------------------------------------

const pair = (raw: readonly number[], diff: readonly number[], diffDtype: "F32" | "F16" = "F32"): SampledPair => ({
  name: "a",
  rawDtype: "F16",
  diffDtype,
  windows: [{ raw: fromNumbers(raw), diff: fromNumbers(diff) }],
});

test("counts sums, not operands; leaves out values that training did not change, zeros and NaN", () => {
  const [tensor] = censusBits([
    pair(
      [1, 1, 1, 0.5, Number.NaN, Number.POSITIVE_INFINITY],
      [2 ** -7, 2 ** -10, 2 ** -20, -0.5, 1, Number.NEGATIVE_INFINITY],
    ),
    pair([1, 1], [0, -0]),
  ]);
  assert.deepEqual(tensor, {
    name: "a",
    elements: 3,
    exact: { F16: 2, BF16: 1 },
    exactDiff: { F16: 3, BF16: 3 },
  });
});

test("does not judge a diff that is itself in 16 bits", () => {
  assert.deepEqual(censusBits([pair([1], [1], "F16")]), []);
});

test("F16 holds subnormals down to 2^-24 and nothing past 65504; BF16 holds both", () => {
  const exact = (value: number) => [isExact("F16", toBits(value)), isExact("BF16", toBits(value))];
  assert.deepEqual(exact(2 ** -24), [true, true]);
  assert.deepEqual(exact(2 ** -25), [false, true]);
  assert.deepEqual(exact(65504), [true, false]);
  assert.deepEqual(exact(65536), [false, true]);
  assert.deepEqual(exact(-0), [true, true]);
  assert.deepEqual(exact(Number.POSITIVE_INFINITY), [true, true]);
});

// --- judging --------------------------------------------------------------------------------------------------------

const counts = (elements: number, F16: number, BF16 = 0, diffF16 = 0): TensorCensus => ({
  name: "a",
  elements,
  exact: { F16, BF16 },
  exactDiff: { F16: diffF16, BF16: 0 },
});

for (const [what, census, kind] of [
  ["nothing at all", [], "none"],
  ["too few elements", [counts(999, 999)], "none"],
  ["all of a thousand", [counts(1000, 1000)], "right"],
  ["one of ten thousand missing", [counts(10_000, 9999)], "right"],
  ["one of a thousand missing", [counts(1000, 999)], "suspect"],
  ["three in a hundred", [counts(10_000, 300)], "none"],
  ["four in a hundred", [counts(10_000, 400)], "suspect"],
  ["a wrong base for BF16", [counts(10_000, 0, 1400)], "suspect"],
  ["exact tensors and a float32 one", [counts(5000, 5000), counts(5000, 5000), counts(5000, 3)], "right"],
  ["float32 tensors and an exact one", [counts(5000, 5000), counts(5000, 2), counts(5000, 3)], "none"],
  ["a diff that was itself computed in F16", [counts(10_000, 9700, 0, 10_000)], "none"],
] as const) {
  test(`${what}: ${kind}`, () => {
    assert.equal(judgeBits(census).kind, kind);
  });
}

test("float32 fine-tunes of any scale get no verdict on their own base", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: -16, max: 3 }),
      fc.integer({ min: -14, max: 0 }),
      fc.integer({ min: 0, max: 2 ** 30 }),
      (scale, update, seed) => {
        let state = seed;
        const noise = (): number => {
          let sum = 0;
          for (let i = 0; i < 4; i++) {
            state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
            sum += state / 2 ** 31 - 1;
          }
          return sum;
        };
        const raw = Array.from({ length: 3000 }, () => Math.round(noise() * 1024) * 2 ** (scale - 10));
        const tuned = raw.map((value) => Math.fround(value + noise() * 2 ** (scale + update)));
        const diff = tuned.map((value, index) => value - (raw[index] ?? 0));
        const verdict = judgeBits(censusBits([pair(raw, diff)]));
        assert.equal(verdict.kind, "none", JSON.stringify(verdict));
      },
    ),
    { numRuns: 60 },
  );
});

test("any bits give a verdict", () => {
  const array = fc.array(fc.integer({ min: 0, max: 0xffffffff }), { maxLength: 200 });
  fc.assert(
    fc.property(array, array, (raw, diff) => {
      const windows = [{ raw: Uint32Array.from(raw), diff: Uint32Array.from(diff) }];
      judgeBits(censusBits([{ name: "a", rawDtype: "F32", diffDtype: "F32", windows }]));
    }),
  );
});
