/** Whether a dtype of 16 bits holds a recovered value: its own values, and what a float32 subtraction made of them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { addBits, narrowBits, negateBits, toBits, widenBF16, widenF16 } from "../../../src/kernel/bits.js";
import { fits, isExact } from "../../../src/kernel/fits.js";

const f32 = fc.float({ noNaN: true, noDefaultInfinity: true, min: -8, max: 8 }).map(toBits);

test("a value of the dtype fits, and one between two of them does not", () => {
  assert.ok(fits("BF16", toBits(1.0078125), null, []));
  assert.ok(!fits("BF16", toBits(1.00390625), null, []));
  assert.ok(fits("F16", toBits(1.0009765625), null, []));
  assert.ok(!fits("F16", toBits(1.00048828125), null, []));
  assert.ok(!fits("F16", toBits(65536), null, []), "it would become infinite");
});

test("every NaN fits, and infinities and zeros of either sign", () => {
  for (const bits of [0x7fc00000, 0xffc12345, 0x7f800001, 0x7f800000, 0xff800000, 0, 0x80000000]) {
    assert.ok(fits("F16", bits, null, []) && fits("BF16", bits, null, []), bits.toString(16));
  }
});

test("a model in 16 bits fits, whatever float32 base was taken off it, once or twice", () => {
  let rounded = 0;
  const models = fc.record({
    dtype: fc.constantFrom("F16" as const, "BF16" as const),
    word: fc.nat(0xffff).filter((word) => (word & 0x7c00) !== 0x7c00 && (word & 0x7f80) < 0x4200),
    bases: fc.array(f32, { minLength: 1, maxLength: 2 }),
  });
  fc.assert(
    fc.property(models, ({ dtype, word, bases }) => {
      const tuned = (dtype === "F16" ? widenF16 : widenBF16)(word);
      const difference = bases.reduce((left, base) => addBits(negateBits(base), left), tuned);
      const sum = bases.reduce((met, base) => addBits(base, met), difference);
      // Far from the base, the difference keeps nothing of a small value.
      fc.pre(narrowBits(dtype, sum) === word);
      rounded += isExact(dtype, sum) ? 0 : 1;
      assert.ok(fits(dtype, sum, difference, bases));
    }),
    { numRuns: 5000, seed: 11 },
  );
  assert.ok(rounded > 20, `${rounded} sums were not exact`);
});

test("a float32 value does not fit because its difference is known", () => {
  const [base, tuned] = [toBits(0.5), toBits(Math.fround(0.5123456))];
  const difference = addBits(negateBits(base), tuned);
  assert.ok(!fits("BF16", addBits(base, difference), difference, [base]));
});

test("a value is exact if rounding and widening give its bits again: every value of the dtype, its neighbours, and random others", () => {
  const byRounding = {
    F16: (bits: number) => widenF16(narrowBits("F16", bits)),
    BF16: (bits: number) => widenBF16(narrowBits("BF16", bits)),
  };
  const halves = Array.from({ length: 65536 }, (_, half) => [widenF16(half), widenBF16(half)]).flat();
  const near = halves.flatMap((bits) => [0, 1, -1, 0x1000, 0x1fff, 0x2000, 0x8000].map((step) => (bits + step) >>> 0));
  let exact = 0;
  for (const dtype of ["F16", "BF16"] as const) {
    for (const bits of near) {
      const expected = byRounding[dtype](bits) === bits;
      exact += expected ? 1 : 0;
      if (isExact(dtype, bits) !== expected) {
        assert.fail(`${dtype} ${bits.toString(16)}: ${expected}`);
      }
    }
    fc.assert(
      fc.property(fc.nat(0xffffffff), (bits) => isExact(dtype, bits) === (byRounding[dtype](bits) === bits)),
      { numRuns: 10_000, seed: 16 },
    );
  }
  assert.ok(exact > 65536, `${exact} were exact`);
});
