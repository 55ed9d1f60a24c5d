/** Eight units of 16 bits that are floats at once, as units.ts has them one by one. */
import { mantissaBits } from "./units";

/** Differences of eight units of 16 bits. */
@inline
export function eightDifferences(base: usize, tuned: usize): v128 {
  const low = i16x8.splat(0x7fff);
  const top = i16x8.splat(<i16>0x8000);
  const b = v128.load(base);
  const t = v128.xor(v128.load(tuned), v128.and(b, top));
  const value = v128.xor(t, v128.and(i16x8.shr_s(t, 15), low));
  const steps = i16x8.sub(value, v128.and(b, low));
  return v128.xor(i16x8.shl(steps, 1), i16x8.shr_s(steps, 15));
}

/** Eight units of 16 bits from their differences. */
@inline
export function applyEight(base: usize, target: usize, differences: v128): void {
  const top = i16x8.splat(<i16>0x8000);
  const low = i16x8.splat(0x7fff);
  const one = i16x8.splat(1);
  const b = v128.load(base);
  const steps = v128.xor(i16x8.shr_u(differences, 1), i16x8.neg(v128.and(differences, one)));
  const value = i16x8.add(v128.and(b, low), steps);
  const folded = v128.xor(value, v128.and(i16x8.shr_s(value, 15), low));
  v128.store(target, v128.xor(folded, v128.and(b, top)));
}

/** The tokens of eight differences: the exponent and the highest mantissa bits that each has as a float, or the difference itself where it is small. */
@inline
export function eightTokens(differences: v128): v128 {
  const m = mantissaBits(2);
  const low = f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_u(differences));
  const high = f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_u(differences));
  const found = i16x8.narrow_i32x4_u(i32x4.shr_u(low, 23 - m), i32x4.shr_u(high, 23 - m));
  const least = i16x8.splat(<i16>((127 + m - 1) << m));
  return i16x8.max_s(i16x8.sub(found, least), i16x8.min_u(differences, i16x8.splat(<i16>(((1 as u32) << m) - 1))));
}

/** 2^n of eight lanes of 16 bits, n < 16. */
@inline
export function powers(n: v128): v128 {
  // A byte each: places from 8 on give the lower byte 0, and so do those below 0 the upper one.
  const places = i16x8.sub(v128.or(n, i16x8.shl(n, 8)), i16x8.splat(0x0800));
  return i8x16.swizzle(i8x16(1, 2, 4, 8, 16, 32, 64, -128, 0, 0, 0, 0, 0, 0, 0, 0), places);
}
