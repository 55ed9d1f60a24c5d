/** F32 -> F16 | BF16, nearest even, and sums of two such tensors through F32 (EXACTNESS 2.4, 2.5, 2.6). */
import { addBits, BF16, F16, loadBits, narrowBits } from "./bits";
import { BLOCK, F16_NORMAL, isFinite16, isNormal16, load4 } from "./widen";

/** The smallest magnitude that rounds to infinity: 65520 for F16, 2^128 - 2^119 for BF16. */
@inline
function overflowFrom(dtype: u32): u32 {
  return dtype == F16 ? 0x477ff000 : 0x7f7f8000;
}

@inline
function abs4(wide: v128): v128 {
  return v128.and(wide, i32x4.splat(0x7fffffff));
}

/** Whether all 16 values are below overflowFrom. */
@inline
function isPlain16(dtype: u32, a: v128, b: v128, c: v128, d: v128): bool {
  const ab = i32x4.max_s(abs4(a), abs4(b));
  const cd = i32x4.max_s(abs4(c), abs4(d));
  const most = i32x4.splat(overflowFrom(dtype));
  return i32x4.all_true(i32x4.lt_s(i32x4.max_s(ab, cd), most));
}

/**
 * Magnitudes below overflowFrom as halves. In 2^13 times the value's own power of two, or that of the smallest normal half, one
 * ulp is the step of the halves there: adding that rounds for us.
 */
@inline
function roundF16(magnitude: v128): v128 {
  const power = i32x4.max_s(v128.and(magnitude, i32x4.splat(0x7f800000)), i32x4.splat(0x38800000));
  const large = i32x4.add(power, i32x4.splat(13 << 23));
  const steps = i32x4.sub(f32x4.add(magnitude, large), large);
  return i32x4.add(steps, i32x4.sub(i32x4.shr_u(power, 13), i32x4.splat(113 << 10)));
}

@inline
function sign4(wide: v128): v128 {
  return v128.and(i32x4.shr_u(wide, 16), i32x4.splat(0x8000));
}

/** Four plain values in the low 16 bits of each lane; above them are zeros. */
@inline
function round4(dtype: u32, wide: v128): v128 {
  if (dtype == F16) {
    return v128.or(roundF16(abs4(wide)), sign4(wide));
  }
  const odd = v128.and(i32x4.shr_u(wide, 16), i32x4.splat(1));
  return i32x4.shr_u(i32x4.add(i32x4.add(wide, odd), i32x4.splat(0x7fff)), 16);
}

/** Any four values, NaN included. */
@inline
function narrow4(dtype: u32, wide: v128): v128 {
  const magnitude = abs4(wide);
  const isNaN4 = i32x4.gt_s(magnitude, i32x4.splat(0x7f800000));
  if (dtype == BF16) {
    return v128.bitselect(i32x4.splat(0xffff), round4(BF16, wide), isNaN4);
  }
  const plain = roundF16(i32x4.min_s(magnitude, i32x4.splat(overflowFrom(F16))));
  const payload = v128.and(i32x4.shr_u(magnitude, 13), i32x4.splat(0x3ff));
  const nan = v128.or(payload, i32x4.splat(0x7e00));
  return v128.or(sign4(wide), v128.bitselect(nan, plain, isNaN4));
}

@inline
function storePlain16(dtype: u32, target: usize, a: v128, b: v128, c: v128, d: v128): void {
  v128.store(target, i16x8.narrow_i32x4_u(round4(dtype, a), round4(dtype, b)));
  v128.store(target, i16x8.narrow_i32x4_u(round4(dtype, c), round4(dtype, d)), 16);
}

@inline
function store16(dtype: u32, target: usize, a: v128, b: v128, c: v128, d: v128): void {
  v128.store(target, i16x8.narrow_i32x4_u(narrow4(dtype, a), narrow4(dtype, b)));
  v128.store(target, i16x8.narrow_i32x4_u(narrow4(dtype, c), narrow4(dtype, d)), 16);
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

/** A block is read before it is written, so that target may equal source. */
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

@inline
function sum4(dtype: u32, source: usize, target: usize, flip: v128): v128 {
  return f32x4.add(load4(dtype, target), v128.xor(load4(dtype, source), flip));
}

/** `wide`: what load4 is to take the elements for. @returns how many finite sums became infinite. */
@inline
function addNarrowBlock(dtype: u32, wide: u32, source: usize, target: usize, flip: u32): u32 {
  const signs = i32x4.splat(flip);
  const a = sum4(wide, source, target, signs);
  const b = sum4(wide, source + 8, target + 8, signs);
  const c = sum4(wide, source + 16, target + 16, signs);
  const d = sum4(wide, source + 24, target + 24, signs);
  if (isPlain16(dtype, a, b, c, d)) {
    storePlain16(dtype, target, a, b, c, d);
    return 0;
  }
  const nan = v128.or(v128.or(f32x4.ne(a, a), f32x4.ne(b, b)), v128.or(f32x4.ne(c, c), f32x4.ne(d, d)));
  if (v128.any_true(nan)) {
    return addNarrowEach(dtype, source, target, BLOCK, flip);
  }
  store16(dtype, target, a, b, c, d);
  return countOverflows(dtype, a, b, c, d);
}

@inline
function addNarrowAll(dtype: u32, source: usize, target: usize, count: u32, flip: u32): u32 {
  let overflows: u32 = 0;
  const blocks = count / BLOCK;
  for (let block: u32 = 0; block < blocks; block++) {
    if (dtype == F16 && isNormal16(source) && isNormal16(target)) {
      overflows += addNarrowBlock(F16, F16_NORMAL, source, target, flip);
    } else if (dtype == F16 && !(isFinite16(source) && isFinite16(target))) {
      overflows += addNarrowEach(F16, source, target, BLOCK, flip);
    } else {
      overflows += addNarrowBlock(dtype, dtype, source, target, flip);
    }
    source += 32;
    target += 32;
  }
  return overflows + addNarrowEach(dtype, source, target, count % BLOCK, flip);
}

/** Of two NaNs the source's stays, as in add.ts. */
function addNarrowEach(dtype: u32, source: usize, target: usize, count: u32, flip: u32): u32 {
  let overflows: u32 = 0;
  for (let i: usize = 0; i < count; i++) {
    const at = target + (i << 1);
    const sum = addBits(loadBits(dtype, source + (i << 1)) ^ flip, loadBits(dtype, at));
    overflows += overflowsBits(dtype, sum);
    store<u16>(at, <u16>narrowBits(dtype, sum));
  }
  return overflows;
}

/** See Kernel.addNarrow and Kernel.subtractNarrow. */
export function addNarrow(dtype: u32, source: usize, target: usize, count: u32, flip: u32): u32 {
  return dtype == F16
    ? addNarrowAll(F16, source, target, count, flip)
    : addNarrowAll(BF16, source, target, count, flip);
}
