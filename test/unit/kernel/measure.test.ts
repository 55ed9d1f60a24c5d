/** How far a tensor lies from its base: both kernels have the same bits, whatever the split. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { unitOf } from "../../../src/formats/coded/units.js";
import type { Kernel } from "../../../src/kernel/kernel.js";
import { BANKS, HISTOGRAM_BYTES, LENGTHS, MEASURE_BYTES, stepsOf } from "../../../src/kernel/measure.js";
import { bothKernels, hashed, peek, poke, spread } from "../../support/kernels.js";

const COUNT = 9001;
const [simd, scalar] = bothKernels(2 ** 21);
const room = (kernel: Kernel) => ({
  base: kernel.base,
  tuned: kernel.base + 65_536,
  state: kernel.base + 131_072,
  histogram: kernel.base + 196_608,
  ones: kernel.base + 196_608 + HISTOGRAM_BYTES,
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

/** Half of them lie near their base, on both sides of zero, too; some are all ones away. */
function pair(): readonly [Uint32Array, Uint32Array] {
  const words = hashed(3, COUNT);
  const near = hashed(4, COUNT).map((h, i) => ((words[i] ?? 0) + (h % 97) - 48) ^ (h & 1 ? 0 : 0x80008000));
  const far = hashed(5, COUNT);
  const away = hashed(6, COUNT).map((h, i) => (words[i] ?? 0) + (2 ** (h % 16) - 1) * (h & 256 ? 1 : -1));
  return [words, words.map((_, i) => [near, far, away][i % 3]?.[i] ?? 0)];
}

for (const dtype of ["BF16", "F16", "F32"] as const) {
  const unit = unitOf(dtype);
  const units = (4 * COUNT) / unit.width;
  const counted = (kernel: Kernel) => {
    const at = room(kernel);
    const [base, tuned] = pair();
    poke(kernel, at.base, base);
    poke(kernel, at.tuned, tuned);
    poke(kernel, at.histogram, new Uint8Array(HISTOGRAM_BYTES + 4 * LENGTHS));
    for (const [from, count] of [
      [0, 1],
      [1, 7],
      [8, units - 8],
    ] as const) {
      const [base, tuned] = [at.base + from * unit.width, at.tuned + from * unit.width];
      kernel.measureUnits(unit, { ...at, base, tuned }, count);
    }
    const histogram = new Uint32Array(peek(kernel, at.histogram, HISTOGRAM_BYTES).buffer);
    return { histogram, ones: new Uint32Array(peek(kernel, at.ones, 4 * LENGTHS).buffer) };
  };

  test(`${dtype}: classes and tokens of both kernels are equal, and every unit is counted once`, () => {
    const [one, two] = [counted(simd), counted(scalar)];
    assert.deepEqual(one, two);
    assert.equal(
      one.histogram.reduce((sum, count) => sum + count, 0),
      units,
    );
    assert.ok(one.ones.some((count) => count > 0));
  });

  test(`${dtype}: the steps follow from tokens and ones`, () => {
    const [base, tuned] = pair().map((words) =>
      unit.width === 2 ? new Uint16Array(words.buffer, words.byteOffset, units) : words,
    );
    // In order of value, both zeros beside each other: the way from one value to another.
    const place = (bits: number): number => {
      const top = 2 ** (8 * unit.width - 1);
      return bits < top ? bits : top - 1 - bits;
    };
    const expected: number[] = new Array(LENGTHS).fill(0);
    base?.forEach((own, i) => {
      const [all, way] = [2 ** (8 * unit.width), place(tuned?.[i] ?? 0) - place(own)];
      // Modulo 2^bits: the shorter way round.
      const shorter = way < -all / 2 ? way + all : way >= all / 2 ? way - all : way;
      const length = shorter === 0 ? 0 : Math.floor(Math.log2(Math.abs(shorter))) + 1;
      expected[length] = (expected[length] ?? 0) + 1;
    });
    const { histogram, ones } = counted(simd);
    const tokens = new Float64Array(256);
    histogram.forEach((count, at) => {
      const token = Math.floor(at / BANKS) % 256;
      tokens[token] = (tokens[token] ?? 0) + count;
    });
    const found = stepsOf(unit, tokens, Float64Array.from(ones));
    assert.deepEqual(found, expected.slice(0, found.length));
    assert.equal(
      found.reduce((sum, count) => sum + count, 0),
      units,
    );
  });
}
