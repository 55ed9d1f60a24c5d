/**
 * The rules for one element, on bit patterns. WASM leaves the bits of a NaN result open, but torch on x86 does not. So every NaN that
 * leaves the kernel is made here, with integers. The SIMD loops use these functions for tails, and for a block that holds a NaN.
 */

/** Numbers of the dtypes in calls of this module. The module exports them, so simd.ts need not repeat them. */
export const F16: u32 = 0;
export const BF16: u32 = 1;
export const F32: u32 = 2;
export const F64: u32 = 3;

/** What is done with a source: torch's add_(source), its sub_(source), and its add_(-source). The module exports these, too. */
export const ADD: u32 = 0;
export const SUBTRACT: u32 = 1;
export const ADD_NEGATED: u32 = 2;

const SIGN: u32 = 0x80000000;
const QUIET: u32 = 0x00400000;
const INFINITY: u32 = 0x7f800000;
/** The result of inf - inf on x86. */
const INDEFINITE: u32 = 0xffc00000;

/** log2 of the bytes of an element. */
@inline
export function sizeShift(dtype: u32): u32 {
  return dtype == F64 ? 3 : dtype == F32 ? 2 : 1;
}

@inline
function isNaNBits(bits: u32): bool {
  return (bits & 0x7fffffff) > INFINITY;
}

/** first + second like `addss first, second`: of two NaNs the first stays (docs/arithmetic.md 2). */
export function addBits(first: u32, second: u32): u32 {
  if (isNaNBits(first)) {
    return first | QUIET;
  }
  if (isNaNBits(second)) {
    return second | QUIET;
  }
  const sum = reinterpret<f32>(first) + reinterpret<f32>(second);
  return sum != sum ? INDEFINITE : reinterpret<u32>(sum);
}

/** What to add of a source: a subtraction leaves a NaN as it is, a negation flips its sign too (docs/arithmetic.md 2). */
export function addend(bits: u32, operation: u32): u32 {
  return operation == ADD || (operation == SUBTRACT && isNaNBits(bits)) ? bits : bits ^ SIGN;
}

/** The sign bits that the operation flips in four numbers. */
@inline
export function signsOf(operation: u32): v128 {
  return i32x4.splat(operation == ADD ? 0 : SIGN);
}

/** docs/arithmetic.md 1 */
function widenF16Bits(half: u32): u32 {
  const sign = (half & 0x8000) << 16;
  const magnitude = half & 0x7fff;
  if (magnitude > 0x7c00) {
    return sign | INFINITY | QUIET | ((magnitude & 0x3ff) << 13);
  }
  if (magnitude == 0x7c00) {
    return sign | INFINITY;
  }
  if (magnitude < 0x400) {
    return sign | reinterpret<u32>(<f32>magnitude * reinterpret<f32>(0x33800000)); // 2^-24
  }
  return sign | ((magnitude << 13) + 0x38000000);
}

/** Like cvtpd2ps: nearest even. A NaN is quieted and cut to its top bits. */
function widenF64Bits(bits: u64): u32 {
  if ((bits & 0x7fffffffffffffff) > 0x7ff0000000000000) {
    return (<u32>(bits >> 32) & 0x80000000) | INFINITY | QUIET | (<u32>(bits >> 29) & 0x7fffff);
  }
  return reinterpret<u32>(<f32>reinterpret<f64>(bits));
}

/** The element at `at`, widened to F32 bits. */
export function loadBits(dtype: u32, at: usize): u32 {
  if (dtype == F16) {
    return widenF16Bits(load<u16>(at));
  }
  if (dtype == BF16) {
    return (<u32>load<u16>(at)) << 16;
  }
  return dtype == F32 ? load<u32>(at) : widenF64Bits(load<u64>(at));
}

/** docs/arithmetic.md 3 */
function narrowF16Bits(bits: u32): u32 {
  const sign = (bits >> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > INFINITY) {
    return sign | 0x7e00 | ((magnitude >> 13) & 0x3ff);
  }
  if (magnitude >= 0x477ff000) {
    return sign | 0x7c00; // 65520 and above
  }
  if (magnitude < 0x38800000) {
    // Below 2^-14: in 0.5 + x one ulp is 2^-24, the step of the subnormal halves, so the addition rounds for us.
    return sign | (reinterpret<u32>(reinterpret<f32>(magnitude) + 0.5) - 0x3f000000);
  }
  return sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >> 13) & 1)) >> 13);
}

/** docs/arithmetic.md 3 */
function narrowBF16Bits(bits: u32): u32 {
  return isNaNBits(bits) ? 0xffff : (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
}

/** F32 bits to the 16 bits of `dtype`. */
export function narrowBits(dtype: u32, bits: u32): u32 {
  return dtype == F16 ? narrowF16Bits(bits) : narrowBF16Bits(bits);
}
