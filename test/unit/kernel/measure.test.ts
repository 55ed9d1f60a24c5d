/** How far a tensor lies from its base: both kernels have the same bits, whatever the split. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { unitOf } from "../../../src/formats/coded/units.js";
import type { Kernel } from "../../../src/kernel/kernel.js";
import { HISTOGRAM_BYTES, MEASURE_BYTES, STEPS } from "../../../src/kernel/measure.js";
import { bothKernels, hashed, peek, poke, spread } from "../../support/kernels.js";

const COUNT = 9001;
const [simd, scalar] = bothKernels(2 ** 20);
const room = (kernel: Kernel) => ({
  base: kernel.base,
  tuned: kernel.base + 65_536,
  state: kernel.base + 131_072,
  histogram: kernel.base + 196_608,
  steps: kernel.base + 196_608 + HISTOGRAM_BYTES,
});

/** The sums of `count` values, given in calls of `step`. */
function measured(kernel: Kernel, base: Uint32Array, tuned: Uint32Array, step = base.length): Float64Array {
  const at = room(kernel);
  poke(kernel, at.base, base);
  poke(kernel, at.tuned, tuned);
  poke(kernel, at.state, new Uint8Array(MEASURE_BYTES));
  for (let i = 0; i < base.length; i += step) {
    kernel.measureValues(at.base + 4 * i, at.tuned + 4 * i, Math.min(step, base.length - i), at.state);
  }
  return new Float64Array(peek(kernel, at.state, MEASURE_BYTES).buffer);
}

test("the sums of both kernels are equal bit for bit, at every length and in calls of 4096", () => {
  for (const count of [0, 1, 2, 3, 4, 5, 7, 4095, 4096, 4097, 8192, COUNT]) {
    const [base, tuned] = [spread(1, count, 100, 30), spread(2, count, 100, 30)];
    const expected = measured(scalar, base, tuned);
    assert.deepEqual(measured(simd, base, tuned), expected, `${count}`);
    assert.deepEqual(measured(simd, base, tuned, 4096), expected);
    assert.deepEqual(measured(scalar, base, tuned, 8192), expected);
  }
});

test("the sums are those of the definition", () => {
  const [base, tuned] = [Float32Array.of(1, -2, 3), Float32Array.of(1.5, -2, -1)];
  const bits = (values: Float32Array): Uint32Array => new Uint32Array(values.buffer);
  assert.deepEqual([...measured(simd, bits(base), bits(tuned))], [0.25 + 16, 14, 2.25 + 4 + 1, 1.5 + 4 - 3, 4]);
});

test("a NaN is in the sums and not the largest; an infinity is", () => {
  for (const kernel of [simd, scalar]) {
    const base = new Uint32Array([0, 0, 0, 0, 0, 0x3f800000]);
    const nan = measured(kernel, base, new Uint32Array([0, 0x7fc00000, 0, 0, 0x40000000, 0]));
    assert.deepEqual([...nan], [Number.NaN, 1, Number.NaN, Number.NaN, 2]);
    const infinite = measured(kernel, base, new Uint32Array([0, 0, 0xff800000, 0, 0, 0]));
    assert.deepEqual(
      [...infinite],
      [Number.POSITIVE_INFINITY, 1, Number.POSITIVE_INFINITY, Number.NaN, Number.POSITIVE_INFINITY],
    );
  }
});

for (const dtype of ["BF16", "F16", "F32"] as const) {
  test(`${dtype}: classes, tokens and steps of both kernels are equal, and count every unit`, () => {
    const unit = unitOf(dtype);
    const [one, two] = [simd, scalar].map((kernel) => {
      const at = room(kernel);
      const words = hashed(3, COUNT);
      // Half of them lie near their base, on both sides of zero, too.
      const near = hashed(4, COUNT).map((h, i) => ((words[i] ?? 0) + (h % 97) - 48) ^ (h & 1 ? 0 : 0x80008000));
      poke(kernel, at.base, words);
      poke(
        kernel,
        at.tuned,
        words.map((_, i) => (i % 2 === 0 ? (near[i] ?? 0) : (hashed(5, 1, i)[0] ?? 0))),
      );
      poke(kernel, at.histogram, new Uint8Array(HISTOGRAM_BYTES + 4 * STEPS));
      const units = (4 * COUNT) / unit.width;
      kernel.measureUnits(unit, at, 1);
      kernel.measureUnits(unit, { ...at, base: at.base + unit.width, tuned: at.tuned + unit.width }, units - 1);
      const counts = new Uint32Array(peek(kernel, at.histogram, HISTOGRAM_BYTES).buffer);
      const steps = new Uint32Array(peek(kernel, at.steps, 4 * STEPS).buffer);
      for (const all of [counts, steps]) {
        assert.equal(
          all.reduce((sum, count) => sum + count, 0),
          units,
        );
      }
      return { counts, steps };
    });
    assert.deepEqual(one, two);
  });
}
