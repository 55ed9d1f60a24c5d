/** How far a tuned tensor lies from its base: sums in f64, and counts of steps between neighbouring values. measure.ts is the oracle. */
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

@inline
function count(at: usize): void {
  store<u32>(at, load<u32>(at) + 1);
}

@inline
function measureAll(
  width: u32,
  shift: u32,
  mask: u32,
  base: usize,
  tuned: usize,
  units: u32,
  histogram: usize,
  steps: usize,
): void {
  const m = mantissaBits(width);
  for (let i: u32 = 0; i < units; i++) {
    const own = loadUnit(width, base + <usize>i * width);
    const value = difference(width, true, own, loadUnit(width, tuned + <usize>i * width));
    const group = (own >> shift) & mask;
    const n = <u32>max<i32>(0, 31 - clz(value | 1) - m);
    const token = (n << m) + (value >> n);
    count(histogram + (<usize>((group << 8) + token) << 2));
    count(steps + (<usize>(32 - clz((value >> 1) + (value & 1))) << 2));
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
  steps: usize,
): void {
  // The width is a constant in each loop.
  if (width == 2) {
    measureAll(2, shift, mask, base, tuned, units, histogram, steps);
  } else {
    measureAll(4, shift, mask, base, tuned, units, histogram, steps);
  }
}
