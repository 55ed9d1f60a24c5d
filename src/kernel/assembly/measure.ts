/** How far a tuned tensor lies from its base: sums in f64, and counts of steps between neighbouring values. measure.ts is the oracle. */
import { eightDifferences, eightTokens } from "./eights";
import { difference, loadUnit, mantissaBits } from "./units";

/** Elements whose sums stand by themselves before they are added to the total. */
const CHUNK: u32 = 4096;

@inline
function high(four: v128): v128 {
  return f64x2.promote_low_f32x4(i32x4.shuffle(four, four, 2, 3, 2, 3));
}

@inline
function addTo(state: usize, even: f64, odd: f64): void {
  store<f64>(state, load<f64>(state) + (even + odd));
}

/** See Kernel.measureValues. */
export function measureValues(base: usize, tuned: usize, count: u32, state: usize): void {
  let most = load<f64>(state, 32);
  for (let done: u32 = 0; done < count; done += CHUNK) {
    const items = min(CHUNK, count - done);
    const whole = items & ~3;
    let dd = f64x2.splat(0);
    let bb = f64x2.splat(0);
    let tt = f64x2.splat(0);
    let bt = f64x2.splat(0);
    let gap = f64x2.splat(0);
    for (let i: u32 = 0; i < whole; i += 4) {
      const b = v128.load(base + (<usize>i << 2));
      const t = v128.load(tuned + (<usize>i << 2));
      const b0 = f64x2.promote_low_f32x4(b);
      const t0 = f64x2.promote_low_f32x4(t);
      const d0 = f64x2.sub(t0, b0);
      dd = f64x2.add(dd, f64x2.mul(d0, d0));
      bb = f64x2.add(bb, f64x2.mul(b0, b0));
      tt = f64x2.add(tt, f64x2.mul(t0, t0));
      bt = f64x2.add(bt, f64x2.mul(b0, t0));
      gap = f64x2.pmax(gap, f64x2.abs(d0));
      const b1 = high(b);
      const t1 = high(t);
      const d1 = f64x2.sub(t1, b1);
      dd = f64x2.add(dd, f64x2.mul(d1, d1));
      bb = f64x2.add(bb, f64x2.mul(b1, b1));
      tt = f64x2.add(tt, f64x2.mul(t1, t1));
      bt = f64x2.add(bt, f64x2.mul(b1, t1));
      gap = f64x2.pmax(gap, f64x2.abs(d1));
    }
    let ddEven = f64x2.extract_lane(dd, 0);
    let ddOdd = f64x2.extract_lane(dd, 1);
    let bbEven = f64x2.extract_lane(bb, 0);
    let bbOdd = f64x2.extract_lane(bb, 1);
    let ttEven = f64x2.extract_lane(tt, 0);
    let ttOdd = f64x2.extract_lane(tt, 1);
    let btEven = f64x2.extract_lane(bt, 0);
    let btOdd = f64x2.extract_lane(bt, 1);
    const gapEven = f64x2.extract_lane(gap, 0);
    const gapOdd = f64x2.extract_lane(gap, 1);
    most = gapEven > most ? gapEven : most;
    most = gapOdd > most ? gapOdd : most;
    for (let i = whole; i < items; i++) {
      const b = <f64>load<f32>(base + (<usize>i << 2));
      const t = <f64>load<f32>(tuned + (<usize>i << 2));
      const d = t - b;
      if (i & 1) {
        ddOdd += d * d;
        bbOdd += b * b;
        ttOdd += t * t;
        btOdd += b * t;
      } else {
        ddEven += d * d;
        bbEven += b * b;
        ttEven += t * t;
        btEven += b * t;
      }
      most = abs(d) > most ? abs(d) : most;
    }
    addTo(state, ddEven, ddOdd);
    addTo(state + 8, bbEven, bbOdd);
    addTo(state + 16, ttEven, ttOdd);
    addTo(state + 24, btEven, btOdd);
    base += <usize>items << 2;
    tuned += <usize>items << 2;
  }
  store<f64>(state, most, 32);
}

/** Counters side by side for each class and token, taken in turns: the same one twice in a row would wait for itself. */
const BANKS: u32 = 4;

@inline
function count(at: usize): void {
  store<u32>(at, load<u32>(at) + 1);
}

/** Counts in bank 0 to 3 what lies in the 16 bits of each. */
@inline
function countFour(histogram: usize, four: u64): void {
  count(histogram + <usize>((<u32>four & 0xffff) << 4));
  count(histogram + <usize>(((<u32>four >> 16) << 4) + 4));
  count(histogram + <usize>((<u32>(four >> 32) & 0xffff) << 4) + 8);
  count(histogram + <usize>((<u32>(four >> 48) << 4) + 12));
}

/** Class and token of one unit, the class in the higher eight bits. */
@inline
function tokenOf(width: u32, shift: u32, mask: u32, own: u32, value: u32): u32 {
  const m = mantissaBits(width);
  const n = <u32>max<i32>(0, 31 - clz(value | 1) - m);
  return (((own >> shift) & mask) << 8) + (n << m) + (value >> n);
}

/** A difference of ones only that its token does not show in full, by its bits. */
@inline
function countOnes(width: u32, value: u32, ones: usize): void {
  if (value >> (mantissaBits(width) + 1) && (value & (value + 1)) == 0) {
    count(ones + <usize>((32 - clz(value)) << 2));
  }
}

@inline
function measureAt(width: u32, shift: u32, mask: u32, base: usize, tuned: usize, i: u32, histogram: usize, ones: usize): void {
  const own = loadUnit(width, base + <usize>i * width);
  const value = difference(width, true, own, loadUnit(width, tuned + <usize>i * width));
  count(histogram + <usize>(tokenOf(width, shift, mask, own, value) << 4) + <usize>((i & (BANKS - 1)) << 2));
  countOnes(width, value, ones);
}

/** Tokens of four differences, given their halves, which are no negative numbers: a bit below the token's is cleared first, so that nothing is rounded up into it. */
@inline
function longTokens(value: v128, half: v128): v128 {
  const cut = v128.andnot(half, i32x4.shr_u(half, 8));
  const float = i32x4.sub(i32x4.shr_u(f32x4.convert_i32x4_s(cut), 20), i32x4.splat(1024));
  return v128.bitselect(float, value, i32x4.gt_s(half, i32x4.splat(7)));
}

function measureShort(shift: u32, mask: u32, base: usize, tuned: usize, units: u32, histogram: usize, ones: usize): void {
  const whole = units & ~7;
  for (let i: u32 = 0; i < whole; i += 8) {
    const own = v128.load(base + (<usize>i << 1));
    const value = eightDifferences(base + (<usize>i << 1), tuned + (<usize>i << 1));
    const groups = v128.and(i16x8.shr_u(own, shift), i16x8.splat(<i16>mask));
    const places = v128.or(i16x8.shl(groups, 8), eightTokens(value));
    countFour(histogram, i64x2.extract_lane(places, 0));
    countFour(histogram, i64x2.extract_lane(places, 1));
    const even = i16x8.eq(v128.and(value, i16x8.add(value, i16x8.splat(1))), i16x8.splat(0));
    if (v128.any_true(v128.and(even, i16x8.sub_sat_u(value, i16x8.splat(31))))) {
      for (let k: u32 = i; k < i + 8; k++) {
        const unit = loadUnit(2, base + (<usize>k << 1));
        countOnes(2, difference(2, true, unit, loadUnit(2, tuned + (<usize>k << 1))), ones);
      }
    }
  }
  for (let i = whole; i < units; i++) {
    measureAt(2, shift, mask, base, tuned, i, histogram, ones);
  }
}

/** Differences of four units in order of value. */
@inline
function longDifferences(own: v128, tuned: v128): v128 {
  const low = i32x4.splat(0x7fffffff);
  const flipped = v128.xor(tuned, v128.andnot(own, low));
  const order = v128.xor(flipped, v128.and(i32x4.shr_s(flipped, 31), low));
  const steps = i32x4.sub(order, v128.and(own, low));
  return v128.xor(i32x4.shl(steps, 1), i32x4.shr_s(steps, 31));
}

/** Not zero where a difference of four is ones only, more of them than a token shows. */
@inline
function longOnes(value: v128, half: v128): v128 {
  const even = i32x4.eq(v128.and(value, i32x4.add(value, i32x4.splat(1))), i32x4.splat(0));
  return v128.and(even, i32x4.gt_s(half, i32x4.splat(7)));
}

function measureLong(shift: u32, mask: u32, base: usize, tuned: usize, units: u32, histogram: usize, ones: usize): void {
  const groups = i32x4.splat(mask);
  const whole = units & ~7;
  for (let i: u32 = 0; i < whole; i += 8) {
    const from = base + (<usize>i << 2);
    const to = tuned + (<usize>i << 2);
    const ownA = v128.load(from);
    const ownB = v128.load(from, 16);
    const a = longDifferences(ownA, v128.load(to));
    const b = longDifferences(ownB, v128.load(to, 16));
    const halfA = i32x4.shr_u(a, 1);
    const halfB = i32x4.shr_u(b, 1);
    const tokens = i16x8.narrow_i32x4_u(longTokens(a, halfA), longTokens(b, halfB));
    const classes = i16x8.narrow_i32x4_u(
      v128.and(i32x4.shr_u(ownA, shift), groups),
      v128.and(i32x4.shr_u(ownB, shift), groups),
    );
    const places = v128.or(i16x8.shl(classes, 8), tokens);
    countFour(histogram, i64x2.extract_lane(places, 0));
    countFour(histogram, i64x2.extract_lane(places, 1));
    if (v128.any_true(v128.or(longOnes(a, halfA), longOnes(b, halfB)))) {
      for (let k: u32 = i; k < i + 8; k++) {
        const unit = loadUnit(4, base + (<usize>k << 2));
        countOnes(4, difference(4, true, unit, loadUnit(4, tuned + (<usize>k << 2))), ones);
      }
    }
  }
  for (let i = whole; i < units; i++) {
    measureAt(4, shift, mask, base, tuned, i, histogram, ones);
  }
}

/** See Kernel.measureUnits. */
export function measureUnits(
  width: u32,
  shift: u32,
  mask: u32,
  base: usize,
  tuned: usize,
  units: u32,
  histogram: usize,
  ones: usize,
): void {
  if (width == 2) {
    measureShort(shift, mask, base, tuned, units, histogram, ones);
  } else {
    measureLong(shift, mask, base, tuned, units, histogram, ones);
  }
}
