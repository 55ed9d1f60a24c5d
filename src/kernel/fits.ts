/**
 * Does a 16-bit dtype hold a recovered value? A float32 base makes the publisher's subtraction round. For a bfloat16 model on such a base,
 * up to one sum in 300 comes back with a different last place (measured with torch on normal weights; on a 16-bit base, none of 8 million
 * does). So a value also fits if the rounded value gives exactly the published difference.
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
  // F16 holds this exponent with all digits. With fewer digits, rounding tells whether it fits.
  return (exponent >= -14 && exponent <= 15) || roundBits(dtype, bits) === bits;
}

/**
 * Does the value fit? A NaN always does, since it stays a NaN.
 * @param bits the sum of `difference` and `bases`, in this order, all F32.
 * @param difference null if the value is not a sum; then only the value itself counts.
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
