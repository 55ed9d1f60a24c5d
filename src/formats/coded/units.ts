/**
 * A coded tensor is cut into windows, and these into units of 8, 16 or 32 bits (docs/formats.md 3). The units of a float dtype are ordered by
 * value. Each has a class: the exponent of the base's unit, which says how far apart neighbouring values lie.
 */
import { type Dtype, dtypeBits, elementCount, tensorBytes } from "../dtype.js";

export interface Unit {
  /** In bytes. */
  readonly width: 1 | 2 | 4;
  /** Are units sign and magnitude, as in floats? Then a difference counts the values between two units. Otherwise it is taken modulo 2^bits. */
  readonly ordered: boolean;
  /** Its class is (bits >> shift) & mask. */
  readonly shift: number;
  readonly mask: number;
}

/** Where the exponent is in each float dtype. F64 is missing: it is coded in halves of 32 bits, and only one of the two has an exponent. */
const EXPONENTS: Partial<Readonly<Record<Dtype, readonly [shift: number, mask: number]>>> = {
  BF16: [7, 255],
  F16: [10, 31],
  F32: [23, 255],
  F8_E4M3: [3, 15],
  F8_E4M3FNUZ: [3, 15],
  F8_E5M2: [2, 31],
  F8_E5M2FNUZ: [2, 31],
};

/** The number of units in a window, except the last one of a tensor: 1 MiB of bfloat16. */
export const WINDOW_UNITS = 1 << 19;

/** The unit of a dtype. It is a byte for packed dtypes, and half an element for dtypes of 64 bits. */
export function unitOf(dtype: Dtype): Unit {
  const exponent = EXPONENTS[dtype];
  const bits = dtypeBits(dtype);
  const width = bits <= 8 ? 1 : bits === 16 ? 2 : 4;
  return exponent === undefined
    ? { width, ordered: false, shift: 0, mask: 0 }
    : { width, ordered: true, shift: exponent[0], mask: exponent[1] };
}

/** The number of units in a tensor; undefined if its number of bytes overflows. */
export function unitCount(dtype: Dtype, shape: readonly number[]): number | undefined {
  const bytes = tensorBytes(dtype, shape);
  return bytes === undefined ? undefined : bytes / unitOf(dtype).width;
}

/** The number of elements in a window. */
export function windowElements(dtype: Dtype): number {
  return (WINDOW_UNITS * unitOf(dtype).width * 8) / dtypeBits(dtype);
}

export function windowCount(dtype: Dtype, shape: readonly number[]): number {
  return Math.ceil((elementCount(shape) ?? 0) / windowElements(dtype));
}

/** The highest token of such units. A token has the highest bits of a number, and how many more bits follow. */
export function highestToken({ width }: Unit, alone: boolean): number {
  return alone || width === 1 ? 255 : width === 2 ? 207 : 239;
}

/** How many extra bits follow a token. */
export function extraBits({ width }: Unit, alone: boolean, token: number): number {
  if (alone) {
    return 8 * width - 8;
  }
  const mantissa = mantissaBits(width);
  return token < 2 << mantissa ? 0 : (token >> mantissa) - 1;
}

/** How many bits below the highest one a token of a difference holds. */
export function mantissaBits(width: Unit["width"]): number {
  return width === 1 ? 7 : width === 2 ? 4 : 3;
}
