/**
 * What one tensor becomes under a blend, element by element, written from docs/arithmetic.md 2 and the scripts without a look at the
 * kernel: halves are found by searching all of them, not by arithmetic on exponents.
 */
import type { Blend, ComputeDtype } from "../../src/engine/job/job.js";

const QUIET = 0x00400000;
const INFINITY = 0x7f800000;
const view = new DataView(new ArrayBuffer(4));

const numberOf = (bits: number): number => {
  view.setUint32(0, bits >>> 0);
  return view.getFloat32(0);
};
const bitsOf = (value: number): number => {
  view.setFloat32(0, value);
  return view.getUint32(0);
};
const isNaNBits = (bits: number): boolean => (bits & 0x7fffffff) > INFINITY;

/** Every finite half that is not negative, in order: its place is its bit pattern. */
const HALVES = Float64Array.from({ length: 0x7c00 }, (_, pattern) => {
  const exponent = pattern >>> 10;
  const mantissa = pattern & 0x3ff;
  return exponent === 0 ? mantissa / 2 ** 24 : (1 + mantissa / 1024) * 2 ** (exponent - 15);
});
/** Where the next half would be if there were one: from halfway to it on, a value is infinite. */
const BEYOND = 65_536;

/** Stored bits as those of an F32. */
export function widened(dtype: ComputeDtype, bits: number): number {
  if (dtype === "F32") {
    return bits;
  }
  if (dtype === "BF16") {
    return (bits << 16) >>> 0;
  }
  const sign = bits & 0x8000 ? 0x80000000 : 0;
  const magnitude = bits & 0x7fff;
  if (magnitude >= 0x7c00) {
    const payload = magnitude & 0x3ff;
    return (sign | INFINITY | (payload === 0 ? 0 : QUIET | (payload << 13))) >>> 0;
  }
  return (sign | bitsOf(HALVES[magnitude] ?? 0)) >>> 0;
}

/** The bits of the nearest value of `dtype`, of two the even one. */
export function rounded(dtype: ComputeDtype, bits: number): number {
  if (dtype === "F32") {
    return bits;
  }
  const negative = bits >>> 31 === 1;
  if (dtype === "BF16") {
    if (isNaNBits(bits)) {
      return 0xffff;
    }
    const below = (bits & 0x7fffffff) >>> 16;
    const rest = bits & 0xffff;
    const up = rest > 0x8000 || (rest === 0x8000 && below % 2 === 1);
    return (negative ? 0x8000 : 0) | (below + (up ? 1 : 0));
  }
  const sign = negative ? 0x8000 : 0;
  if (isNaNBits(bits)) {
    return sign | 0x7e00 | ((bits >>> 13) & 0x3ff);
  }
  const value = Math.abs(numberOf(bits));
  if (value === Number.POSITIVE_INFINITY) {
    return sign | 0x7c00;
  }
  let [low, high] = [0, 0x7c00];
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    [low, high] = (HALVES[middle] ?? BEYOND) <= value ? [middle, high] : [low, middle];
  }
  const [under, over] = [HALVES[low] ?? 0, HALVES[low + 1] ?? BEYOND];
  const up = value - under > over - value || (value - under === over - value && low % 2 === 1);
  return sign | (low + (up ? 1 : 0));
}

/** self + other in F32: of two NaNs the other's stays; inf - inf is x86's. */
export function added(self: number, other: number): number {
  for (const bits of [other, self]) {
    if (isNaNBits(bits)) {
      return (bits | QUIET) >>> 0;
    }
  }
  const sum = Math.fround(numberOf(self) + numberOf(other));
  return Number.isNaN(sum) ? 0xffc00000 : bitsOf(sum);
}

/** A matrix as it is stored: the top left block of the output, or all of it. */
export interface Side {
  readonly dtype: ComputeDtype;
  readonly rows: number;
  readonly columns: number;
  readonly bits: readonly number[];
}

export interface BlendCase {
  readonly blend: Blend;
  readonly shape: readonly [rows: number, columns: number];
  readonly start: Side;
  readonly terms: readonly Side[];
  readonly output: ComputeDtype;
}

/** Bits of the output, row by row. Rows that an operand lacks: "zero" and "verbatim" only, and "verbatim" only in terms. */
export function blended({ blend, shape, start, terms, output }: BlendCase): readonly number[] {
  const { operands, result, rows, operation } = blend;
  const [, columns] = shape;
  const loaded = (dtype: ComputeDtype, bits: number): number =>
    operands === "F32" || operands === dtype
      ? widened(dtype, bits)
      : widened(operands, rounded(operands, widened(dtype, bits)));
  const stored = (side: Side, index: number): number | null => {
    const [row, column] = [Math.floor(index / columns), index % columns];
    return row < side.rows && column < side.columns ? (side.bits[row * side.columns + column] ?? 0) : null;
  };
  const valueIn = (side: Side, index: number): number | null => {
    const bits = stored(side, index);
    return bits === null ? (rows === "zero" ? 0 : null) : loaded(side.dtype, bits);
  };
  return Array.from({ length: shape[0] * columns }, (_, index) => {
    const others = terms.flatMap((side) => valueIn(side, index) ?? []);
    const same = start.dtype === result && start.dtype === output && (operands === "F32" || operands === start.dtype);
    if (others.length === 0 && same && rows === "verbatim") {
      return stored(start, index) ?? 0;
    }
    let sum = valueIn(start, index) ?? 0;
    for (const other of others) {
      sum = widened(
        result,
        rounded(result, added(sum, operation === "subtract" && !isNaNBits(other) ? (other ^ 0x80000000) >>> 0 : other)),
      );
    }
    return rounded(output, widened(result, rounded(result, sum)));
  });
}
