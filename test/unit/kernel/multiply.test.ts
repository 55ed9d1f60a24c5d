/** The products of both kernels: the same bits, whatever the size and place, and whatever lies beside a row or a token. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import "../../support/seed.js";
import type { Kernel } from "../../../src/kernel/kernel.js";
import type { Product } from "../../../src/kernel/multiply.js";
import { bothKernels, hashed, peek, poke } from "../../support/kernels.js";

const BYTES = 2 ** 20;
const [simd, scalar] = bothKernels(BYTES);
const PLACES = { weights: 0, inputs: BYTES / 2, outputs: (3 * BYTES) / 4 };
/** The limit is for a failure only. */
const RUNS = { numRuns: 200, interruptAfterTimeLimit: 20_000 } as const;

/** Magnitudes from 2^-20 to 2, either sign, all bits of the mantissa in use. */
function ordinary(seed: number, count: number): Uint32Array {
  return hashed(seed, count).map((h) => (h & 0x807fffff) | ((107 + ((h >>> 23) % 21)) << 23));
}

/** Among them some of everything else: NaN, infinities, zeros, subnormals, the largest. */
function anything(seed: number, count: number): Uint32Array {
  const odd = [0x7fc00000, 0xffc12345, 0x7f800000, 0xff800000, 0, 0x80000000, 1, 0x807fffff, 0x7f7fffff, 0xff7fffff];
  const where = hashed(seed + 1, count);
  return ordinary(seed, count).map((bits, k) => {
    const h = where[k] ?? 0;
    return h % 16 === 0 ? (odd[(h >>> 8) % odd.length] ?? 0) : bits;
  });
}

interface Case {
  readonly rows: number;
  readonly columns: number;
  readonly tokens: number;
  /** Values between the products of two tokens. */
  readonly gap: number;
  /** Bytes by which each place is off the start of a line of 16. */
  readonly off: readonly [number, number, number];
  readonly seed: number;
}

/** Runs it. @returns the values from the first product to the last; those between tokens too, which nobody may touch. */
function productsOf(
  kernel: Kernel,
  { rows, columns, tokens, gap, off }: Case,
  weights: Uint32Array,
  inputs: Uint32Array,
): Uint32Array {
  const product: Product = {
    weights: kernel.base + PLACES.weights + off[0],
    inputs: kernel.base + PLACES.inputs + off[1],
    outputs: kernel.base + PLACES.outputs + off[2],
    ...{ rows, columns, tokens, stride: rows + gap },
  };
  const values = (tokens - 1) * product.stride + rows;
  poke(kernel, product.weights, weights);
  poke(kernel, product.inputs, inputs);
  poke(kernel, product.outputs, new Uint32Array(values + 4).fill(0x5a5a5a5a));
  kernel.multiply(product);
  return new Uint32Array(peek(kernel, product.outputs, 4 * (values + 4)).buffer);
}

/** One NaN is as good as another: which bits it has is for no processor to say. */
function plain(bits: Uint32Array): readonly string[] {
  return Array.from(bits, (value) => ((value & 0x7fffffff) > 0x7f800000 ? "NaN" : value.toString(16)));
}

const cases = fc.record({
  rows: fc.integer({ min: 1, max: 19 }),
  columns: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.constantFrom(63, 64, 65, 172, 576, 1000)),
  tokens: fc.integer({ min: 1, max: 9 }),
  gap: fc.nat(5),
  off: fc.tuple(fc.nat(15), fc.nat(15), fc.nat(15)),
  seed: fc.nat(1_000_000),
});

for (const [what, make] of [
  ["ordinary values", ordinary],
  ["NaN, infinities and subnormals among them", anything],
] as const) {
  test(`multiplies as scalar: ${what}`, () => {
    fc.assert(
      fc.property(cases, (each) => {
        const weights = make(each.seed, each.rows * each.columns);
        const inputs = make(each.seed + 7, each.tokens * each.columns);
        const [found, expected] = [simd, scalar].map((kernel) => plain(productsOf(kernel, each, weights, inputs)));
        assert.deepEqual(found, expected);
      }),
      RUNS,
    );
  });
}

test("a product does not depend on the rows and tokens beside it", () => {
  fc.assert(
    fc.property(cases, (each) => {
      const { rows, columns, tokens, gap, seed } = each;
      const weights = ordinary(seed, rows * columns);
      const inputs = ordinary(seed + 7, tokens * columns);
      const together = productsOf(simd, each, weights, inputs);
      for (let row = 0; row < rows; row++) {
        for (let token = 0; token < tokens; token++) {
          const alone = productsOf(
            simd,
            { ...each, rows: 1, tokens: 1, off: [0, 0, 0] },
            weights.subarray(row * columns, (row + 1) * columns),
            inputs.subarray(token * columns, (token + 1) * columns),
          );
          assert.equal(together[token * (rows + gap) + row], alone[0], `row ${row}, token ${token}`);
        }
      }
    }),
    { ...RUNS, numRuns: 30 },
  );
});

test("every sum has four lanes in the order of the columns, then the remaining columns", () => {
  // 2^24 + 1 is no F32: each order of these would give another sum.
  const row = Float32Array.of(2 ** 24, 1, -(2 ** 24), 3, 1, 2 ** -24, 1, 2 ** -25, 0.5, 2 ** -24);
  const one = Float32Array.from({ length: row.length }, () => 1);
  const sum = [2 ** 24 + 1, 1 + 2 ** -24, -(2 ** 24) + 1, 3 + 2 ** -25].map(Math.fround);
  const [a = 0, b = 0, c = 0, d = 0] = sum;
  const lanes = Math.fround(Math.fround(a + b) + Math.fround(c + d));
  const expected = Math.fround(Math.fround(lanes + 0.5) + 2 ** -24);
  for (const kernel of [simd, scalar]) {
    const each = { rows: 1, columns: row.length, tokens: 1, gap: 0, off: [0, 0, 0], seed: 0 } as const;
    const found = productsOf(kernel, each, new Uint32Array(row.buffer), new Uint32Array(one.buffer));
    assert.equal(new Float32Array(found.buffer)[0], expected, kernel.kind);
  }
});

test("positions outside the memory, and invalid sizes, are refused", () => {
  for (const kernel of [simd, scalar]) {
    const at = kernel.base;
    const good: Product = {
      weights: at,
      rows: 2,
      columns: 3,
      inputs: at + 64,
      tokens: 2,
      outputs: at + 128,
      stride: 2,
    };
    kernel.multiply(good);
    for (const change of [
      { weights: kernel.memory.byteLength - 23 },
      { inputs: kernel.memory.byteLength - 23 },
      { outputs: kernel.memory.byteLength - 15 },
      { weights: at - 1 },
      { outputs: -1 },
      { rows: 0 },
      { columns: 0 },
      { tokens: 0 },
      { rows: 1.5 },
      { columns: 2 ** 53 },
      { tokens: Number.NaN },
    ]) {
      assert.throws(() => kernel.multiply({ ...good, ...change }), RangeError, JSON.stringify(change));
    }
  }
});
