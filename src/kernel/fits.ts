/**
 * Does a dtype of 16 bits hold a recovered value? A base in float32 makes the publisher's subtraction round: of a bfloat16 model on
 * such a base, up to one sum in 300 comes back a last place beside its value (measured with torch on normal weights; on a base in 16
 * bits, none of 8 million). So a value also fits if the difference that is published is exactly the one that the rounded value gives.
 */
import { addBits, isNaNBits, narrowBits, negateBits, widenBF16, widenF16 } from "./bits.js";
import type { NarrowDtype } from "./kernel.js";

/** Does rounding to `dtype` and back give the same F32? */
export function isExact(dtype: NarrowDtype, bits: number): boolean {
  if (isNaNBits(bits)) {
    return roundBits(dtype, bits) === bits;
  }
  // All digits that `dtype` lacks are 0.
  if (dtype === "BF16") {
    return (bits & 0xffff) === 0;
  }
  if ((bits & 0x1fff) !== 0) {
    return false;
  }
  const exponent = ((bits >>> 23) & 255) - 127;
  // What F16 holds with all its digits; with fewer of them, or none, it is rounded to see.
  return (exponent >= -14 && exponent <= 15) || roundBits(dtype, bits) === bits;
}

/**
 * A NaN always fits: it stays one. @param bits the sum of `difference` and `bases`, in this order, all F32.
 * @param difference null where the value is no sum, and only itself can be asked.
 */
export function fits(dtype: NarrowDtype, bits: number, difference: number | null, bases: readonly number[]): boolean {
  if (isExact(dtype, bits) || isNaNBits(bits)) {
    return true;
  }
  const rounded = roundBits(dtype, bits);
  return difference !== null && difference === bases.reduce((left, base) => addBits(negateBits(base), left), rounded);
}

function roundBits(dtype: NarrowDtype, bits: number): number {
  return (dtype === "F16" ? widenF16 : widenBF16)(narrowBits(dtype, bits));
}
