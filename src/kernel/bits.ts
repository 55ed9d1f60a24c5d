/**
 * What torch on an x86 CPU does with one element, on bit patterns, in a form that can be checked by eye. NaN is handled with integers
 * throughout, since JavaScript does not keep the bits of a NaN in a number (docs/arithmetic.md 2).
 */
import type { FloatDtype } from "../formats/dtype.js";
import type { NarrowDtype } from "./kernel.js";

export const ELEMENT_BYTES = { F16: 2, BF16: 2, F32: 4, F64: 8 } as const satisfies Record<FloatDtype, number>;

const SIGN = 0x80000000;
const INFINITY = 0x7f800000;
const QUIET = 0x00400000;
/** The result of inf - inf on x86. */
const INDEFINITE = 0xffc00000;

const scratch = new DataView(new ArrayBuffer(8));

/** The F32 with these bits; a NaN loses its payload. */
export function fromBits(bits: number): number {
  scratch.setUint32(0, bits);
  return scratch.getFloat32(0);
}

/** The bits of the nearest F32, ties to even. */
export function toBits(value: number): number {
  scratch.setFloat32(0, value);
  return scratch.getUint32(0);
}

export function isNaNBits(bits: number): boolean {
  return (bits & 0x7fffffff) > INFINITY;
}

/** The bits with the other sign, for a NaN too. */
export function negateBits(bits: number): number {
  return (bits ^ SIGN) >>> 0;
}

/**
 * first + second in F32, like x86's `addss first, second`: of two NaNs the first stays, quieted. The sum in binary64 rounded to binary32 is
 * the binary32 sum, since 53 >= 2 * 24 + 2 (docs/arithmetic.md 2).
 */
export function addBits(first: number, second: number): number {
  if (isNaNBits(first)) {
    return (first | QUIET) >>> 0;
  }
  if (isNaNBits(second)) {
    return (second | QUIET) >>> 0;
  }
  const sum = fromBits(first) + fromBits(second);
  return Number.isNaN(sum) ? INDEFINITE : toBits(sum);
}

/** first - second in F32, like torch's `first.sub_(second)`: a NaN keeps its sign, and of two NaNs the second stays (docs/arithmetic.md 2). */
export function subtractBits(first: number, second: number): number {
  return addBits(isNaNBits(second) ? second : negateBits(second), first);
}

/** sum / count in F32. `count` is rounded to F32 first, as in torch (docs/arithmetic.md 5). */
export function divideBits(sum: number, count: number): number {
  return isNaNBits(sum) ? (sum | QUIET) >>> 0 : toBits(fromBits(sum) / Math.fround(count));
}

/** F16 -> F32 (docs/arithmetic.md 1). */
export function widenF16(half: number): number {
  const sign = half & 0x8000 ? SIGN : 0;
  const exponent = (half >>> 10) & 31;
  const mantissa = half & 0x3ff;
  if (exponent === 31) {
    return (sign | INFINITY | (mantissa === 0 ? 0 : QUIET | (mantissa << 13))) >>> 0;
  }
  if (exponent === 0) {
    return (sign | toBits(mantissa * 2 ** -24)) >>> 0;
  }
  return (sign | ((exponent + 112) << 23) | (mantissa << 13)) >>> 0;
}

/** BF16 -> F32: the upper half, NaN untouched (docs/arithmetic.md 1). */
export function widenBF16(half: number): number {
  return (half << 16) >>> 0;
}

/** F64 -> F32 like x86's cvtpd2ps: nearest even. A NaN is quieted and keeps the top bits of its payload. */
export function widenF64(high: number, low: number): number {
  const magnitude = high & 0x7fffffff;
  if (magnitude > 0x7ff00000 || (magnitude === 0x7ff00000 && low !== 0)) {
    return ((high & SIGN) | INFINITY | QUIET | ((high & 0xfffff) << 3) | (low >>> 29)) >>> 0;
  }
  scratch.setUint32(0, high);
  scratch.setUint32(4, low);
  return toBits(scratch.getFloat64(0));
}

/** The nearest integer, ties to even, for 0 <= value < 2^51: at 2^52 one ulp is 1. */
function roundToEven(value: number): number {
  return value + 2 ** 52 - 2 ** 52;
}

/** The number of last-place units of an F16 in 1, for the exponents -14 to 127. */
const HALF_UNITS = Float64Array.from({ length: 142 }, (_, i) => 2 ** (24 - i));

/** F32 -> F16, ties to even. A NaN keeps its sign and top bits, as in F16C hardware (docs/arithmetic.md 3). */
function narrowF16(bits: number): number {
  const sign = bits >>> 31 ? 0x8000 : 0;
  const magnitude = bits & 0x7fffffff;
  if (magnitude >= INFINITY) {
    return magnitude === INFINITY ? sign | 0x7c00 : sign | 0x7e00 | ((magnitude >>> 13) & 0x3ff);
  }
  // The exponent of the half, but not below that of its subnormals; then the mantissa in units of its last place.
  const exponent = Math.max((magnitude >>> 23) - 127, -14);
  const units = roundToEven(fromBits(magnitude) * (HALF_UNITS[exponent + 14] ?? 0));
  // The hidden bit adds 1 to the exponent field, and so does a carry.
  return sign | Math.min((exponent + 14) * 1024 + units, 0x7c00);
}

/** F32 -> BF16, ties to even; every NaN becomes 0xffff (docs/arithmetic.md 3). */
function narrowBF16(bits: number): number {
  if (isNaNBits(bits)) {
    return 0xffff;
  }
  return (bits >>> 31 ? 0x8000 : 0) | roundToEven((bits & 0x7fffffff) / 65536);
}

export function narrowBits(dtype: NarrowDtype, bits: number): number {
  return dtype === "F16" ? narrowF16(bits) : narrowBF16(bits);
}

/** Does this finite F32 become an infinity in `dtype`? */
export function overflows(dtype: NarrowDtype, bits: number): boolean {
  const infinity = dtype === "F16" ? 0x7c00 : 0x7f80;
  return (bits & 0x7fffffff) < INFINITY && (narrowBits(dtype, bits) & 0x7fff) === infinity;
}
