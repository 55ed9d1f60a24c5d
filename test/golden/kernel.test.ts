/** Both kernels against what torch computed: fixtures/kernel/golden.json, made by make.py beside it. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { FloatDtype } from "../../src/formats/dtype.js";
import type { Kernel, NarrowDtype } from "../../src/kernel/kernel.js";
import { FIXTURES } from "../support/fixtures.js";
import { assertBytes, bothKernels, hashed, meanRow, peek, poke, sha256, spread, sum } from "../support/kernels.js";

interface Golden {
  readonly special: { readonly F32: number[]; readonly F16: number[]; readonly BF16: number[]; readonly F64: string[] };
  readonly elementWise: {
    readonly widen: Record<NarrowDtype, { readonly every: string }> & { readonly F64: { readonly special: string } };
    readonly narrow: Record<NarrowDtype, { readonly special: string; readonly hashed: string; readonly near: string }>;
    readonly add: Record<"special" | "negated" | "subtracted" | "firstRows" | "hashed" | "near", string>;
    readonly addNarrow: Record<NarrowDtype, Record<"special" | "subtracted" | "hashed", string>>;
  };
  readonly means: { readonly rows: number; readonly columns: number; readonly seed: number; readonly mean: string }[];
  readonly loneNaNs: { readonly rows: number; readonly columns: number; readonly mean: string }[];
  readonly sums: { readonly count: number; readonly seed: number; readonly sum: string }[];
}

const golden: Golden = JSON.parse(readFileSync(join(FIXTURES, "kernel/golden.json"), "utf8"));
const { special, elementWise } = golden;
const MILLION = 2 ** 20;
const NARROW = ["F16", "BF16"] as const;

const signed32 = [...special.F32, ...special.F32.map((bits) => bits + 2 ** 31)];
const signed16 = (dtype: NarrowDtype): number[] => [...special[dtype], ...special[dtype].map((bits) => bits + 2 ** 15)];
/** All pairs, self-major. */
const selves = (values: readonly number[]): number[] => values.flatMap((value) => values.map(() => value));
const others = (values: readonly number[]): number[] => values.flatMap(() => values);
const repeated = <T>(values: readonly T[]): T[] =>
  Array.from({ length: 256 }, (_, i) => values[i % values.length] as T);

/** Runs `run(source, target)` with these contents and returns the target's bytes. */
function inPlace(
  kernel: Kernel,
  source: ArrayBufferView,
  target: ArrayBufferView,
  run: (source: number, target: number) => void,
): Uint8Array {
  const to = kernel.base + source.byteLength;
  poke(kernel, kernel.base, source);
  poke(kernel, to, target);
  run(kernel.base, to);
  return peek(kernel, to, target.byteLength);
}

for (const kernel of bothKernels(9 * MILLION)) {
  const widened = (dtype: FloatDtype, source: ArrayBufferView, count: number): Uint8Array =>
    inPlace(kernel, source, new Uint32Array(count), (from, to) => kernel.widen(dtype, from, to, count));
  const narrowed = (dtype: NarrowDtype, source: Uint32Array): Uint8Array =>
    inPlace(kernel, source, new Uint16Array(source.length), (from, to) =>
      kernel.narrow(dtype, from, to, source.length),
    );

  test(`${kernel.kind}: widens every F16 and BF16 as torch`, () => {
    const every = Uint16Array.from({ length: 65536 }, (_, i) => i);
    for (const dtype of NARROW) {
      assert.equal(sha256(widened(dtype, every, 65536)), elementWise.widen[dtype].every, dtype);
    }
  });

  test(`${kernel.kind}: rounds F64 to F32 as torch, NaN payloads included`, () => {
    const values = special.F64.map((text) => BigInt(`0x${text}`));
    const signed = [...values, ...values.map((bits) => bits | (1n << 63n))];
    assertBytes(widened("F64", new BigUint64Array(repeated(signed)), 256), elementWise.widen.F64.special, "F64");
  });

  test(`${kernel.kind}: narrows to F16 and BF16 as torch, NaN payloads included`, () => {
    for (const dtype of NARROW) {
      const expected = elementWise.narrow[dtype];
      assertBytes(narrowed(dtype, new Uint32Array(repeated(signed32))), expected.special, dtype);
      assert.equal(sha256(narrowed(dtype, hashed(21, MILLION))), expected.hashed, dtype);
      assert.equal(sha256(narrowed(dtype, spread(22, MILLION, 98, 48))), expected.near, dtype);
    }
  });

  test(`${kernel.kind}: adds and subtracts F32 as torch, pairs of NaN included`, () => {
    const [self, other] = [new Uint32Array(selves(signed32)), new Uint32Array(others(signed32))];
    const { add } = elementWise;
    const run = (method: "add" | "subtract" | "addNegated", a: Uint32Array, b: Uint32Array): Uint8Array =>
      inPlace(kernel, b, a, (from, to) => kernel[method]("F32", from, to, a.length));
    assertBytes(run("add", self, other).subarray(0, 1024), add.firstRows, "first rows");
    assert.equal(sha256(run("add", self, other)), add.special);
    assert.equal(sha256(run("subtract", self, other)), add.subtracted);
    assert.equal(sha256(run("addNegated", self, other)), add.negated);
    assert.equal(sha256(run("add", hashed(24, MILLION), hashed(25, MILLION))), add.hashed);
    assert.equal(sha256(run("add", spread(26, MILLION, 100, 40), spread(27, MILLION, 100, 40))), add.near);
  });

  test(`${kernel.kind}: adds and subtracts F16 and BF16 tensors as torch, pairs of NaN included`, () => {
    for (const dtype of NARROW) {
      const [self, other] = [new Uint16Array(selves(signed16(dtype))), new Uint16Array(others(signed16(dtype)))];
      const expected = elementWise.addNarrow[dtype];
      const run = (method: "addNarrow" | "subtractNarrow", a: Uint16Array, b: Uint16Array): Uint8Array =>
        inPlace(kernel, b, a, (from, to) => kernel[method](dtype, from, to, a.length));
      assertBytes(run("addNarrow", self, other), expected.special, dtype);
      assertBytes(run("subtractNarrow", self, other), expected.subtracted, dtype);
      const more = hashed(23, MILLION);
      const high = Uint16Array.from(more, (bits) => bits >>> 16);
      assert.equal(sha256(run("addNarrow", high, Uint16Array.from(more))), expected.hashed, dtype);
    }
  });

  for (const { rows, columns, seed, mean } of golden.means) {
    test(`${kernel.kind}: averages ${rows} rows of ${columns} as torch`, () => {
      const found = meanRow(kernel, rows, columns, (first, count) => spread(seed, count, 100, 34, first));
      assertBytes(found, mean, `${rows} x ${columns}`);
    });
  }

  test(`${kernel.kind}: keeps the payload of a column's only NaN in its mean`, () => {
    for (const { rows, columns, mean } of golden.loneNaNs) {
      const weights = spread(rows, rows * columns, 120, 8);
      for (let c = 0; c < columns; c++) {
        weights[(c % rows) * columns + c] = 0x7fa00001 + c;
      }
      const found = meanRow(kernel, rows, columns, (first, count) => weights.subarray(first, first + count));
      assertBytes(found, mean, `${rows} x ${columns}`);
    }
  });

  test(`${kernel.kind}: sums as torch with one thread`, () => {
    for (const { count, seed, sum: expected } of golden.sums) {
      const found = sum(kernel, count, (first, part) => spread(seed, part, 100, 34, first));
      assertBytes(found, expected, `${count} elements`);
    }
  });
}
