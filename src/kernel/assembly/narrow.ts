/** F32 -> F16 | BF16, nearest even, and sums of two such tensors through F32 (docs/arithmetic.md 3, 4). */
import { addBits, addend, BF16, F16, loadBits, narrowBits, signsOf } from "./bits";
import { BLOCK, F16_NORMAL, isFinite16, isFinite8x2, isNormal16, load4 } from "./widen";

/** The smallest magnitude that rounds to infinity: 65520 for F16, 2^128 - 2^119 for BF16. */
@inline
function overflowFrom(dtype: u32): u32 {
  return dtype == F16 ? 0x477ff000 : 0x7f7f8000;
}

@inline
export function abs4(wide: v128): v128 {
  return v128.and(wide, i32x4.splat(0x7fffffff));
}

/** Are all 16 values below overflowFrom? */
@inline
function isPlain16(dtype: u32, a: v128, b: v128, c: v128, d: v128): bool {
  const ab = i32x4.max_s(abs4(a), abs4(b));
  const cd = i32x4.max_s(abs4(c), abs4(d));
  const most = i32x4.splat(overflowFrom(dtype));
  return i32x4.all_true(i32x4.lt_s(i32x4.max_s(ab, cd), most));
}

/**
 * Magnitudes below overflowFrom as halves. The addend is 2^13 times the value's own power of two, or that of the smallest normal half. Its
 * ulp is the step of the halves there, so the addition rounds.
 */
@inline
function roundF16(magnitude: v128): v128 {
  // Exponents beyond that of the smallest normal half. The lower half of each lane, which has mantissa bits, stays 0.
  const beyond = i16x8.sub_sat_u(v128.and(magnitude, i32x4.splat(0x7f800000)), i32x4.splat(0x38800000));
  const large = i32x4.add(beyond, i32x4.splat(0x38800000 + (13 << 23)));
  const steps = i32x4.sub(f32x4.add(magnitude, large), large);
  return i32x4.add(steps, i32x4.shr_u(beyond, 13));
}

@inline
function roundBF16(wide: v128): v128 {
  const odd = v128.and(i32x4.shr_u(wide, 16), i32x4.splat(1));
  return i32x4.shr_u(i32x4.add(i32x4.add(wide, odd), i32x4.splat(0x7fff)), 16);
}

/** Eight plain values. */
@inline
function plain8(dtype: u32, a: v128, b: v128): v128 {
  return dtype == F16
    ? v128.or(i16x8.narrow_i32x4_u(roundF16(abs4(a)), roundF16(abs4(b))), sign8(a, b))
    : i16x8.narrow_i32x4_u(roundBF16(a), roundBF16(b));
}

/** The signs of eight values: saturation keeps them. */
@inline
export function sign8(a: v128, b: v128): v128 {
  return v128.and(i16x8.narrow_i32x4_s(a, b), i16x8.splat(<i16>0x8000));
}

/** Any four values, NaN included. For F16 only the magnitudes. */
@inline
function narrow4(dtype: u32, wide: v128): v128 {
  const magnitude = abs4(wide);
  const isNaN4 = i32x4.gt_s(magnitude, i32x4.splat(0x7f800000));
  if (dtype == BF16) {
    return v128.bitselect(i32x4.splat(0xffff), roundBF16(wide), isNaN4);
  }
  const plain = roundF16(i32x4.min_s(magnitude, i32x4.splat(overflowFrom(F16))));
  const payload = v128.and(i32x4.shr_u(magnitude, 13), i32x4.splat(0x3ff));
  return v128.bitselect(v128.or(payload, i32x4.splat(0x7e00)), plain, isNaN4);
}

/** Any eight values. */
@inline
function narrow8(dtype: u32, a: v128, b: v128): v128 {
  const halves = i16x8.narrow_i32x4_u(narrow4(dtype, a), narrow4(dtype, b));
  return dtype == F16 ? v128.or(halves, sign8(a, b)) : halves;
}

@inline
function storePlain16(dtype: u32, target: usize, a: v128, b: v128, c: v128, d: v128): void {
  v128.store(target, plain8(dtype, a, b));
  v128.store(target, plain8(dtype, c, d), 16);
}

@inline
function store16(dtype: u32, target: usize, a: v128, b: v128, c: v128, d: v128): void {
  v128.store(target, narrow8(dtype, a, b));
  v128.store(target, narrow8(dtype, c, d), 16);
}

/** -1 in each lane whose finite value becomes infinite. */
@inline
function overflow4(dtype: u32, wide: v128): v128 {
  const magnitude = abs4(wide);
  const large = i32x4.gt_s(magnitude, i32x4.splat(overflowFrom(dtype) - 1));
  return v128.and(large, i32x4.lt_s(magnitude, i32x4.splat(0x7f800000)));
}

@inline
function countOverflows(dtype: u32, a: v128, b: v128, c: v128, d: v128): u32 {
  const ab = i32x4.add(overflow4(dtype, a), overflow4(dtype, b));
  const cd = i32x4.add(overflow4(dtype, c), overflow4(dtype, d));
  const sums = i32x4.add(ab, cd);
  const low = i32x4.extract_lane(sums, 0) + i32x4.extract_lane(sums, 1);
  return -(low + i32x4.extract_lane(sums, 2) + i32x4.extract_lane(sums, 3));
}

/** 1 for a finite value that becomes infinite. */
@inline
function overflowsBits(dtype: u32, bits: u32): u32 {
  const magnitude = bits & 0x7fffffff;
  return u32(magnitude >= overflowFrom(dtype) && magnitude < 0x7f800000);
}

/** Reads a block before it writes it, so target may equal source. */
@inline
function narrowAll(dtype: u32, source: usize, target: usize, count: u32): u32 {
  let overflows: u32 = 0;
  const blocks = count / BLOCK;
  for (let block: u32 = 0; block < blocks; block++) {
    const a = v128.load(source);
    const b = v128.load(source, 16);
    const c = v128.load(source, 32);
    const d = v128.load(source, 48);
    if (isPlain16(dtype, a, b, c, d)) {
      storePlain16(dtype, target, a, b, c, d);
    } else {
      store16(dtype, target, a, b, c, d);
      overflows += countOverflows(dtype, a, b, c, d);
    }
    source += 64;
    target += 32;
  }
  for (let i: usize = 0; i < count % BLOCK; i++) {
    const bits = load<u32>(source + (i << 2));
    overflows += overflowsBits(dtype, bits);
    store<u16>(target + (i << 1), <u16>narrowBits(dtype, bits));
  }
  return overflows;
}

/** See Kernel.narrow. */
export function narrow(dtype: u32, source: usize, target: usize, count: u32): u32 {
  return dtype == F16 ? narrowAll(F16, source, target, count) : narrowAll(BF16, source, target, count);
}

/** Four sums in F32. `own`: how the target's elements are read (load4). */
@inline
export function sum4(dtype: u32, own: u32, source: usize, target: usize, flip: v128): v128 {
  return f32x4.add(load4(own, target), v128.xor(load4(dtype, source), flip));
}

/** Eight rounded sums of finite halves. Sums beyond the largest half get the exponent of infinity. `own`: how the target's are read. */
@inline
function sumHalves8(own: u32, source: usize, target: usize, flip: v128): v128 {
  const a = sum4(F16, own, source, target, flip);
  const b = sum4(F16, own, source + 8, target + 8, flip);
  return plain8(F16, a, b);
}

/** Are all 32 halves below 2? One bit tells. */
@inline
function areSmall16(source: usize, target: usize): bool {
  const low = v128.or(v128.load(source), v128.load(target));
  const high = v128.or(v128.load(source, 16), v128.load(target, 16));
  return !v128.any_true(v128.and(v128.or(low, high), i16x8.splat(0x4000)));
}

/** 16 elements. Overflows are rare and are handled one by one. @returns the number of overflows. */
@inline
function addHalves16(source: usize, target: usize, operation: u32): u32 {
  const signs = signsOf(operation);
  if (areSmall16(source, target)) {
    // Weights are normal in nearly all blocks; differences often are not.
    const isNormal = isNormal16(target);
    const low = isNormal ? sumHalves8(F16_NORMAL, source, target, signs) : sumHalves8(F16, source, target, signs);
    const high = isNormal
      ? sumHalves8(F16_NORMAL, source + 16, target + 16, signs)
      : sumHalves8(F16, source + 16, target + 16, signs);
    v128.store(target, low);
    v128.store(target, high, 16);
    return 0;
  }
  if (isFinite16(source) && isFinite16(target)) {
    const low = sumHalves8(F16, source, target, signs);
    const high = sumHalves8(F16, source + 16, target + 16, signs);
    if (isFinite8x2(low, high)) {
      v128.store(target, low);
      v128.store(target, high, 16);
      return 0;
    }
  }
  return addNarrowEach(F16, source, target, BLOCK, operation);
}

@inline
function addBF16x16(source: usize, target: usize, operation: u32): u32 {
  const signs = signsOf(operation);
  const a = sum4(BF16, BF16, source, target, signs);
  const b = sum4(BF16, BF16, source + 8, target + 8, signs);
  const c = sum4(BF16, BF16, source + 16, target + 16, signs);
  const d = sum4(BF16, BF16, source + 24, target + 24, signs);
  if (isPlain16(BF16, a, b, c, d)) {
    storePlain16(BF16, target, a, b, c, d);
    return 0;
  }
  return addNarrowEach(BF16, source, target, BLOCK, operation);
}

@inline
function addNarrowAll(dtype: u32, source: usize, target: usize, count: u32, operation: u32): u32 {
  let overflows: u32 = 0;
  const blocks = count / BLOCK;
  for (let block: u32 = 0; block < blocks; block++) {
    overflows += dtype == F16 ? addHalves16(source, target, operation) : addBF16x16(source, target, operation);
    source += 32;
    target += 32;
  }
  return overflows + addNarrowEach(dtype, source, target, count % BLOCK, operation);
}

/** Of two NaNs the source's stays, as in add.ts. */
function addNarrowEach(dtype: u32, source: usize, target: usize, count: u32, operation: u32): u32 {
  let overflows: u32 = 0;
  for (let i: usize = 0; i < count; i++) {
    const at = target + (i << 1);
    const sum = addBits(addend(loadBits(dtype, source + (i << 1)), operation), loadBits(dtype, at));
    overflows += overflowsBits(dtype, sum);
    store<u16>(at, <u16>narrowBits(dtype, sum));
  }
  return overflows;
}

/** See Kernel.addNarrow and Kernel.subtractNarrow. */
export function addNarrow(dtype: u32, source: usize, target: usize, count: u32, operation: u32): u32 {
  return dtype == F16
    ? addNarrowAll(F16, source, target, count, operation)
    : addNarrowAll(BF16, source, target, count, operation);
}
