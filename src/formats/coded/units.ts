/**
 * What a coded tensor is cut into (docs/formats.md 3): units of 8, 16 or 32 bits, and windows of them. A unit of a float has an
 * order of value and a class, the exponent of the base's unit, which says how far apart neighbouring values lie.
 */
import { type Dtype, dtypeBits, elementCount, tensorBytes } from "../dtype.js";

export interface Unit {
  /** Bytes. */
  readonly width: 1 | 2 | 4;
  /** Sign and magnitude, as floats are: differences go by value. Otherwise modulo 2^bits. */
  readonly ordered: boolean;
  /** Its class is (bits >> shift) & mask. */
  readonly shift: number;
  readonly mask: number;
}

/** The exponents of the floats. F64 goes by halves of 32 bits, which have none in common. */
const EXPONENTS: Partial<Readonly<Record<Dtype, readonly [shift: number, mask: number]>>> = {
  BF16: [7, 255],
  F16: [10, 31],
  F32: [23, 255],
  F8_E4M3: [3, 15],
  F8_E4M3FNUZ: [3, 15],
  F8_E5M2: [2, 31],
  F8_E5M2FNUZ: [2, 31],
};

/** Units of a window, but for a tensor's last: 1 MiB of bfloat16. */
export const WINDOW_UNITS = 1 << 19;

/** What a tensor of this dtype is coded in. Packed dtypes go by the byte, those of 64 bits by halves. */
export function unitOf(dtype: Dtype): Unit {
  const exponent = EXPONENTS[dtype];
  const bits = dtypeBits(dtype);
  const width = bits <= 8 ? 1 : bits === 16 ? 2 : 4;
  return exponent === undefined
    ? { width, ordered: false, shift: 0, mask: 0 }
    : { width, ordered: true, shift: exponent[0], mask: exponent[1] };
}

/** Units of a tensor; undefined where its bytes overflow. */
export function unitCount(dtype: Dtype, shape: readonly number[]): number | undefined {
  const bytes = tensorBytes(dtype, shape);
  return bytes === undefined ? undefined : bytes / unitOf(dtype).width;
}

/** Elements of a window; no packed dtypes. */
export function windowElements(dtype: Dtype): number {
  return (WINDOW_UNITS * unitOf(dtype).width * 8) / dtypeBits(dtype);
}

export function windowCount(dtype: Dtype, shape: readonly number[]): number {
  return Math.ceil((elementCount(shape) ?? 0) / windowElements(dtype));
}

/** The highest token that a difference of such units can have: the number's highest bits, and how many follow. */
export function highestToken({ width }: Unit, alone: boolean): number {
  return alone || width === 1 ? 255 : width === 2 ? 207 : 239;
}

/** Extra bits of a token. */
export function extraBits({ width }: Unit, alone: boolean, token: number): number {
  if (alone) {
    return 8 * width - 8;
  }
  const mantissa = mantissaBits(width);
  return token < 2 << mantissa ? 0 : (token >> mantissa) - 1;
}

/** Bits below the highest one that a token of a difference holds. */
export function mantissaBits(width: Unit["width"]): number {
  return width === 1 ? 7 : width === 2 ? 4 : 3;
}
