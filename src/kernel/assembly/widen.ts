/**
 * F16, BF16, F64 -> F32, four elements at a time. Halves never reach the adder as subnormals, which would cost x86 a microcode assist: they
 * are 0.2 % of real weights.
 */
import { BF16, F16, F32, F64, loadBits, sizeShift } from "./bits";

/**
 * F16 whose 16 elements all have an exponent of 1 to 30, as in nearly all blocks of weights. Widening is then a shift and an addition. This
 * dtype exists only inside the module.
 */
export const F16_NORMAL: u32 = 4;

/** Elements for each test for NaN and for the exponents of F16. */
export const BLOCK: u32 = 16;

/** Are the 16 halves at `at` F16_NORMAL? 1 is added to each exponent; only 0 and 31 then give 0 or 1. */
@inline
export function isNormal16(at: usize): bool {
  const one = i16x8.splat(0x400);
  const mask = i16x8.splat(0x7800);
  const low = v128.and(i16x8.add(v128.load(at), one), mask);
  const high = v128.and(i16x8.add(v128.load(at, 16), one), mask);
  return i16x8.all_true(i16x8.min_u(low, high));
}

/** Is none of 16 halves infinite or NaN? */
@inline
export function isFinite8x2(low: v128, high: v128): bool {
  const magnitude = i16x8.splat(0x7fff);
  const most = i16x8.max_s(v128.and(low, magnitude), v128.and(high, magnitude));
  return !v128.any_true(i16x8.gt_s(most, i16x8.splat(0x7bff)));
}

/** Is none of the 16 halves at `at` infinite or NaN? */
@inline
export function isFinite16(at: usize): bool {
  return isFinite8x2(v128.load(at), v128.load(at, 16));
}

/**
 * The four halves at `at`, none infinite or NaN, as sign and F32 magnitude. The magnitude is right if the exponent of the half is not 0.
 */
@inline
function widenNormal(at: usize): v128 {
  // Shifting the sign-extended half puts sign, exponent and mantissa in place, with copies of the sign between them.
  const shifted = i32x4.shl(v128.load_ext<i16>(at), 13);
  return i32x4.add(v128.and(shifted, i32x4.splat(0x8fffe000)), i32x4.splat(0x38000000));
}

/** The four halves at `at`, none infinite or NaN (docs/arithmetic.md 1). */
@inline
function widenFinite(at: usize): v128 {
  const shifted = i32x4.shl(v128.load_ext<i16>(at), 13);
  const bits = v128.and(shifted, i32x4.splat(0x0fffe000));
  // An exponent of 1 or more: twice the value minus the value. 0: m * 2^-24 = 2^-14 * (1 + m/1024) - 2^-14. All normal, and exact.
  const value = i32x4.add(bits, i32x4.splat(0x38000000));
  const raised = i32x4.add(bits, i32x4.splat(0x38800000));
  const magnitude = f32x4.sub(raised, i32x4.max_s(value, i32x4.splat(0x38800000)));
  return v128.or(magnitude, v128.and(shifted, i32x4.splat(<i32>0x80000000)));
}

/** The four elements at `at` as F32. F16 must be finite. The bits of a NaN are exact for BF16 and F32, but not for F64. */
@inline
export function load4(dtype: u32, at: usize): v128 {
  if (dtype == F16_NORMAL) {
    return widenNormal(at);
  }
  if (dtype == F16) {
    return widenFinite(at);
  }
  if (dtype == BF16) {
    return i32x4.shl(v128.load_ext<u16>(at), 16);
  }
  if (dtype == F32) {
    return v128.load(at);
  }
  const low = f32x4.demote_f64x2_zero(v128.load(at));
  const high = f32x4.demote_f64x2_zero(v128.load(at, 16));
  return v128.shuffle<i64>(low, high, 0, 2);
}

@inline
function widenBlock(dtype: u32, source: usize, target: usize): void {
  const size: usize = 4 << sizeShift(dtype);
  const a = load4(dtype, source);
  const b = load4(dtype, source + size);
  const c = load4(dtype, source + size * 2);
  const d = load4(dtype, source + size * 3);
  if (dtype == F64) {
    const nan = v128.or(v128.or(f32x4.ne(a, a), f32x4.ne(b, b)), v128.or(f32x4.ne(c, c), f32x4.ne(d, d)));
    if (v128.any_true(nan)) {
      widenEach(dtype, source, target, BLOCK);
      return;
    }
  }
  v128.store(target, a);
  v128.store(target, b, 16);
  v128.store(target, c, 32);
  v128.store(target, d, 48);
}

@inline
function widenAll(dtype: u32, source: usize, target: usize, count: u32): void {
  const size: usize = BLOCK << sizeShift(dtype);
  const blocks = count / BLOCK;
  for (let block: u32 = 0; block < blocks; block++) {
    if (dtype == F16 && isNormal16(source)) {
      widenBlock(F16_NORMAL, source, target);
    } else if (dtype == F16 && !isFinite16(source)) {
      widenEach(F16, source, target, BLOCK);
    } else {
      widenBlock(dtype, source, target);
    }
    source += size;
    target += 64;
  }
  widenEach(dtype, source, target, count % BLOCK);
}

function widenEach(dtype: u32, source: usize, target: usize, count: u32): void {
  for (let i: usize = 0; i < count; i++) {
    store<u32>(target + (i << 2), loadBits(dtype, source + (i << sizeShift(dtype))));
  }
}

/** See Kernel.widen. */
export function widen(dtype: u32, source: usize, target: usize, count: u32): void {
  if (dtype == F16) {
    widenAll(F16, source, target, count);
  } else if (dtype == BF16) {
    widenAll(BF16, source, target, count);
  } else if (dtype == F32) {
    memory.copy(target, source, (<usize>count) << 2);
  } else {
    widenAll(F64, source, target, count);
  }
}
