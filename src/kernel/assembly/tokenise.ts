/**
 * Turns units into tokens, extra bits and counts (docs/formats.md 3.3): of their differences from the base's units, or of the units alone.
 * coder-scalar.ts is the oracle.
 */
import { BITS, EXTRA, ROOM } from "./lanes";
import { eightDifferences, eightTokens, powers } from "./eights";
import { classOf, difference, loadUnit, mantissaBits, rotate } from "./units";

/** The bytes of 256 counters of 32 bits for each class. There are two such tables: with one, neighbours with the same token would wait for each other. */
const COUNTERS: usize = 256 * 256 * 4;

@inline
function count(histogram: usize, group: u32, token: u32): void {
  const at = histogram + (((group << 8) | token) << 2);
  store<u32>(at, load<u32>(at) + 1);
}

/** How many bits a value has below its highest `mantissa` + 1; 0 if it has no more. */
@inline
function extraBits(value: u32, mantissa: u32): u32 {
  return 31 - mantissa - clz(value | (1 << mantissa));
}

/** The two tables of counters take turns: with one, the second of two equal neighbours would wait until the first is stored. */
@inline
function countEight(histogram: usize, places: usize): void {
  for (let k: u32 = 0; k < 8; k += 2) {
    const at = histogram + (<usize>load<u16>(places + 2 * k) << 2);
    store<u32>(at, load<u32>(at) + 1);
    const other = histogram + (<usize>load<u16>(places + 2 * k + 2) << 2);
    store<u32>(other, load<u32>(other, COUNTERS) + 1, COUNTERS);
  }
}

/** Adds the second table of counters to the first, and clears the second. */
function addSecond(histogram: usize): void {
  const zero = i32x4.splat(0);
  for (let at = histogram; at < histogram + COUNTERS; at += 16) {
    const second = v128.load(at, COUNTERS);
    if (v128.any_true(second)) {
      v128.store(at, i32x4.add(v128.load(at), second));
      v128.store(at, zero, COUNTERS);
    }
  }
}

/** Handles the whole eights of 16-bit float units, given the base. The caller handles the rest. */
function tokeniseEights(
  shift: u32,
  mask: u32,
  base: usize,
  tuned: usize,
  units: u32,
  tokens: usize,
  classes: usize,
  histogram: usize,
  state: usize,
): void {
  const m = mantissaBits(2);
  const start = <usize>load<u32>(state, EXTRA);
  let at = start + (load<u32>(state, BITS) >> 3);
  let pending = load<u32>(state, BITS) & 7;
  let bits: u64 = pending == 0 ? 0 : load<u8>(at);
  const room = state + ROOM;
  const even = i32x4.splat(0xffff);
  const one = i16x8.splat(1);
  for (let i: u32 = 0; i + 8 <= units; i += 8) {
    const values = eightDifferences(base + 2 * i, tuned + 2 * i);
    const found = eightTokens(values);
    const groups = v128.and(i16x8.shr_u(v128.load(base + 2 * i), shift), i16x8.splat(<i16>mask));
    v128.store64_lane(tokens + i, i8x16.narrow_i16x8_u(found, found), 0);
    v128.store64_lane(classes + i, i8x16.narrow_i16x8_u(groups, groups), 0);
    v128.store(room, v128.or(i16x8.shl(groups, 8), found));
    countEight(histogram, room);
    const n = i16x8.sub_sat_u(i16x8.shr_u(found, m), one);
    if (!v128.any_true(n)) {
      continue;
    }
    // Two units at a time: the extra bits of the second go above those of the first.
    const power = powers(n);
    const extra = v128.and(values, i16x8.sub(power, one));
    const second = i32x4.mul(i32x4.shr_u(extra, 16), v128.and(power, even));
    const lengths = i32x4.add(v128.and(n, even), i32x4.shr_u(n, 16));
    const pairs = v128.or(v128.and(extra, even), second);
    bits |= <u64>(<u32>i32x4.extract_lane(pairs, 0)) << pending;
    pending += i32x4.extract_lane(lengths, 0);
    bits |= <u64>(<u32>i32x4.extract_lane(pairs, 1)) << pending;
    pending += i32x4.extract_lane(lengths, 1);
    store<u64>(at, bits);
    at += pending >> 3;
    bits >>= pending & 56;
    pending &= 7;
    bits |= <u64>(<u32>i32x4.extract_lane(pairs, 2)) << pending;
    pending += i32x4.extract_lane(lengths, 2);
    bits |= <u64>(<u32>i32x4.extract_lane(pairs, 3)) << pending;
    pending += i32x4.extract_lane(lengths, 3);
    store<u64>(at, bits);
    at += pending >> 3;
    bits >>= pending & 56;
    pending &= 7;
  }
  addSecond(histogram);
  store<u64>(at, bits);
  store<u32>(state, (<u32>(at - start) << 3) + pending, BITS);
}

/** The same for units alone: each gives a token and a byte of extra bits. */
function tokeniseAloneEights(tuned: usize, units: u32, tokens: usize, classes: usize, histogram: usize, state: usize): void {
  const room = state + ROOM;
  const start = <usize>load<u32>(state, EXTRA) + (load<u32>(state, BITS) >> 3);
  const byte = i16x8.splat(255);
  const whole = units & ~7;
  for (let i: u32 = 0; i < whole; i += 8) {
    const t = v128.load(tuned + 2 * i);
    const values = v128.or(i16x8.shl(t, 1), i16x8.shr_u(t, 15));
    const found = i16x8.shr_u(values, 8);
    const extra = v128.and(values, byte);
    v128.store64_lane(tokens + i, i8x16.narrow_i16x8_u(found, found), 0);
    v128.store64_lane(start + i, i8x16.narrow_i16x8_u(extra, extra), 0);
    store<u64>(classes + i, 0);
    v128.store(room, found);
    countEight(histogram, room);
  }
  addSecond(histogram);
  store<u32>(state, load<u32>(state, BITS) + (whole << 3), BITS);
}

@inline
function tokeniseAll(
  width: u32,
  ordered: bool,
  alone: bool,
  shift: u32,
  mask: u32,
  base: usize,
  tuned: usize,
  units: u32,
  tokens: usize,
  classes: usize,
  histogram: usize,
  state: usize,
): void {
  const m = mantissaBits(width);
  let i: u32 = 0;
  if (width == 2 && ordered) {
    if (alone) {
      tokeniseAloneEights(tuned, units, tokens, classes, histogram, state);
    } else {
      tokeniseEights(shift, mask, base, tuned, units, tokens, classes, histogram, state);
    }
    i = units & ~7;
  }
  const start = <usize>load<u32>(state, EXTRA);
  let at = start + (load<u32>(state, BITS) >> 3);
  let pending = load<u32>(state, BITS) & 7;
  let bits: u64 = pending == 0 ? 0 : load<u8>(at);
  for (; i < units; i++) {
    const t = loadUnit(width, tuned + i * width);
    const b = loadUnit(width, base + i * width);
    const value = alone ? rotate(width, ordered, t) : difference(width, ordered, b, t);
    const n = alone ? 8 * width - 8 : extraBits(value, m);
    const token = alone ? value >> n : (n << m) + (value >> n);
    const group = alone ? 0 : classOf(b, shift, mask);
    store<u8>(tokens + i, token);
    store<u8>(classes + i, group);
    count(histogram, group, token);
    bits |= <u64>(value & ((<u32>1 << n) - 1)) << pending;
    pending += n;
    store<u64>(at, bits);
    at += pending >> 3;
    bits >>= pending & 56;
    pending &= 7;
  }
  store<u64>(at, bits);
  store<u32>(state, (<u32>(at - start) << 3) + pending, BITS);
}

/** See Coder.tokenise. */
export function tokenise(
  width: u32,
  ordered: bool,
  alone: bool,
  shift: u32,
  mask: u32,
  base: usize,
  tuned: usize,
  units: u32,
  tokens: usize,
  classes: usize,
  histogram: usize,
  state: usize,
): void {
  if (alone) {
    if (width == 1) {
      tokeniseAll(1, ordered, true, shift, mask, base, tuned, units, tokens, classes, histogram, state);
    } else if (width == 2 && ordered) {
      tokeniseAll(2, true, true, shift, mask, base, tuned, units, tokens, classes, histogram, state);
    } else if (width == 2) {
      tokeniseAll(2, false, true, shift, mask, base, tuned, units, tokens, classes, histogram, state);
    } else {
      tokeniseAll(4, ordered, true, shift, mask, base, tuned, units, tokens, classes, histogram, state);
    }
  } else if (width == 1) {
    tokeniseAll(1, ordered, false, shift, mask, base, tuned, units, tokens, classes, histogram, state);
  } else if (width == 2 && ordered) {
    tokeniseAll(2, true, false, shift, mask, base, tuned, units, tokens, classes, histogram, state);
  } else if (width == 2) {
    tokeniseAll(2, false, false, shift, mask, base, tuned, units, tokens, classes, histogram, state);
  } else if (ordered) {
    tokeniseAll(4, true, false, shift, mask, base, tuned, units, tokens, classes, histogram, state);
  } else {
    tokeniseAll(4, false, false, shift, mask, base, tuned, units, tokens, classes, histogram, state);
  }
}

