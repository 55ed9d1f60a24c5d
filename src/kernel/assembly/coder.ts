/**
 * The loops of coded windows: units to tokens, tokens to words by eight interleaved rANS coders, and both ways back (docs/formats.md
 * 6). Tables are made by the caller. coder-scalar.ts is the oracle.
 */
import { apply, difference, loadUnit, mantissaBits, rotate, rotateBack, storeUnit } from "./units";

/** Frequencies of a table add up to 2^TABLE_BITS. */
const TABLE_BITS: u32 = 11;
const SLOTS: u32 = 1 << TABLE_BITS;
/** A coder's state lies in [LEAST, 2^32). */
const LEAST: u32 = 1 << 16;
const LANES: u32 = 8;
/** Tokens that are decoded before their units are made: they stay in the first cache. */
const CHUNK: u32 = 4096;

/** Bytes of the state: the lanes, then what is at these offsets; room for three vectors at the end. */
export const CODER_BYTES: u32 = 112;
const WORDS: usize = 32;
const WORDS_END: usize = 36;
/** Where the extra bits begin, and end; how many have passed. */
const EXTRA: usize = 40;
const EXTRA_END: usize = 44;
const BITS: usize = 48;
const ROOM: usize = 64;

@inline
function classOf(unit: u32, shift: u32, mask: u32): u32 {
  return (unit >> shift) & mask;
}

@inline
function count(histogram: usize, group: u32, token: u32): void {
  const at = histogram + (((group << 8) | token) << 2);
  store<u32>(at, load<u32>(at) + 1);
}

/** Bits below the highest `mantissa` + 1 of a value: none where it has no more. */
@inline
function extraBits(value: u32, mantissa: u32): u32 {
  return 31 - mantissa - clz(value | (1 << mantissa));
}

/** Differences of eight units of 16 bits. */
@inline
function eightDifferences(base: usize, tuned: usize): v128 {
  const low = i16x8.splat(0x7fff);
  const top = i16x8.splat(<i16>0x8000);
  const b = v128.load(base);
  const t = v128.xor(v128.load(tuned), v128.and(b, top));
  const value = v128.xor(t, v128.and(i16x8.shr_s(t, 15), low));
  const steps = i16x8.sub(value, v128.and(b, low));
  return v128.xor(i16x8.shl(steps, 1), i16x8.shr_s(steps, 15));
}

/** How many extra bits each of four values below 2^16 has: by the exponent that it has as a float. */
@inline
function fourLengths(values: v128, mantissa: u32): v128 {
  const exponents = i32x4.shr_u(f32x4.convert_i32x4_s(values), 23);
  return i32x4.max_s(i32x4.sub(exponents, i32x4.splat(127 + mantissa)), i32x4.splat(0));
}

/** 2^n of four lanes, n up to 30. */
@inline
function fourPowers(n: v128): v128 {
  return i32x4.trunc_sat_f32x4_s(i32x4.shl(i32x4.add(n, i32x4.splat(127)), 23));
}

/** Four values without their extra bits. */
@inline
function fourHigh(values: v128, n: v128): v128 {
  return i32x4.shr_u(i32x4.mul(values, fourPowers(i32x4.sub(i32x4.splat(16), n))), 16);
}

/** Counts eight places of a histogram, 16 bits each. */
@inline
function countEight(histogram: usize, places: usize): void {
  for (let k: u32 = 0; k < 8; k++) {
    const at = histogram + (<usize>load<u16>(places + 2 * k) << 2);
    store<u32>(at, load<u32>(at) + 1);
  }
}

/** As many units of 16 bits that are floats as there are eights of, given the base. */
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
  for (let i: u32 = 0; i + 8 <= units; i += 8) {
    const values = eightDifferences(base + 2 * i, tuned + 2 * i);
    const low = i32x4.extend_low_i16x8_u(values);
    const high = i32x4.extend_high_i16x8_u(values);
    const lowN = fourLengths(low, m);
    const highN = fourLengths(high, m);
    const n = i16x8.narrow_i32x4_u(lowN, highN);
    const top = i16x8.narrow_i32x4_u(fourHigh(low, lowN), fourHigh(high, highN));
    const found = i16x8.add(i16x8.shl(n, m), top);
    const groups = v128.and(i16x8.shr_u(v128.load(base + 2 * i), shift), i16x8.splat(<i16>mask));
    v128.store64_lane(tokens + i, i8x16.narrow_i16x8_u(found, found), 0);
    v128.store64_lane(classes + i, i8x16.narrow_i16x8_u(groups, groups), 0);
    v128.store(room, v128.or(i16x8.shl(groups, 8), found));
    countEight(histogram, room);
    if (!v128.any_true(n)) {
      continue;
    }
    // Two units at a time: the second's extra bits above the first's.
    const power = powers(n);
    const extra = i16x8.sub(values, i16x8.mul(top, power));
    const second = i32x4.mul(i32x4.shr_u(extra, 16), v128.and(power, even));
    v128.store(room + 16, i32x4.add(v128.and(n, even), i32x4.shr_u(n, 16)));
    v128.store(room + 32, v128.or(v128.and(extra, even), second));
    bits |= <u64>load<u32>(room, 32) << pending;
    pending += load<u32>(room, 16);
    bits |= <u64>load<u32>(room, 36) << pending;
    pending += load<u32>(room, 20);
    store<u64>(at, bits);
    at += pending >> 3;
    bits >>= pending & 56;
    pending &= 7;
    bits |= <u64>load<u32>(room, 40) << pending;
    pending += load<u32>(room, 24);
    bits |= <u64>load<u32>(room, 44) << pending;
    pending += load<u32>(room, 28);
    store<u64>(at, bits);
    at += pending >> 3;
    bits >>= pending & 56;
    pending &= 7;
  }
  store<u64>(at, bits);
  store<u32>(state, (<u32>(at - start) << 3) + pending, BITS);
}

/** The same alone: a token and a byte each. */
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

/** A table's entry: floor(x / frequency) is x * this >> 43, for all x that are divided. */
const RECIPROCAL_BITS: u64 = 43;

@inline
function entryAt(tables: usize, tokens: usize, classes: usize): usize {
  return <usize>load<u32>(tables + (<usize>load<u8>(classes) << 2)) + (<usize>load<u8>(tokens) << 4);
}

/** Does the lane's lower half go to the words first? */
@inline
function gives(x: u32, entry: usize): u32 {
  return <u32>(x >> (32 - TABLE_BITS) >= load<u32>(entry, 8));
}

/** The lane with the token put into it: SLOTS * floor(x / frequency) + x modulo frequency + what lies before. */
@inline
function put(x: u32, entry: usize): u32 {
  const quotient = <u32>((<u64>x * load<u64>(entry)) >> RECIPROCAL_BITS);
  return x + load<u32>(entry, 12) + quotient * (SLOTS - load<u32>(entry, 8));
}

/** See Coder.encode. The word below the words is written to as well. */
export function encodeTokens(units: u32, tokens: usize, classes: usize, tables: usize, state: usize): void {
  let words = <usize>load<u32>(state, WORDS);
  let e: usize;
  let g: u32;
  let i = units;
  for (; (i & (LANES - 1)) != 0; i--) {
    const lane = state + (((i - 1) & (LANES - 1)) << 2);
    const x = load<u32>(lane);
    e = entryAt(tables, tokens + i - 1, classes + i - 1);
    store<u16>(words - 2, x);
    g = gives(x, e);
    words -= g << 1;
    store<u32>(lane, put(x >> (g << 4), e));
  }
  let x0 = load<u32>(state);
  let x1 = load<u32>(state, 4);
  let x2 = load<u32>(state, 8);
  let x3 = load<u32>(state, 12);
  let x4 = load<u32>(state, 16);
  let x5 = load<u32>(state, 20);
  let x6 = load<u32>(state, 24);
  let x7 = load<u32>(state, 28);
  for (; i > 0; i -= LANES) {
    const t = tokens + i - LANES;
    const c = classes + i - LANES;
    e = entryAt(tables, t + 7, c + 7);
    store<u16>(words - 2, x7);
    g = gives(x7, e);
    words -= g << 1;
    x7 = put(x7 >> (g << 4), e);
    e = entryAt(tables, t + 6, c + 6);
    store<u16>(words - 2, x6);
    g = gives(x6, e);
    words -= g << 1;
    x6 = put(x6 >> (g << 4), e);
    e = entryAt(tables, t + 5, c + 5);
    store<u16>(words - 2, x5);
    g = gives(x5, e);
    words -= g << 1;
    x5 = put(x5 >> (g << 4), e);
    e = entryAt(tables, t + 4, c + 4);
    store<u16>(words - 2, x4);
    g = gives(x4, e);
    words -= g << 1;
    x4 = put(x4 >> (g << 4), e);
    e = entryAt(tables, t + 3, c + 3);
    store<u16>(words - 2, x3);
    g = gives(x3, e);
    words -= g << 1;
    x3 = put(x3 >> (g << 4), e);
    e = entryAt(tables, t + 2, c + 2);
    store<u16>(words - 2, x2);
    g = gives(x2, e);
    words -= g << 1;
    x2 = put(x2 >> (g << 4), e);
    e = entryAt(tables, t + 1, c + 1);
    store<u16>(words - 2, x1);
    g = gives(x1, e);
    words -= g << 1;
    x1 = put(x1 >> (g << 4), e);
    e = entryAt(tables, t + 0, c + 0);
    store<u16>(words - 2, x0);
    g = gives(x0, e);
    words -= g << 1;
    x0 = put(x0 >> (g << 4), e);
  }
  store<u32>(state, x0);
  store<u32>(state, x1, 4);
  store<u32>(state, x2, 8);
  store<u32>(state, x3, 12);
  store<u32>(state, x4, 16);
  store<u32>(state, x5, 20);
  store<u32>(state, x6, 24);
  store<u32>(state, x7, 28);
  store<u32>(state, <u32>words, WORDS);
}

@inline
function entryFor(tables: usize, group: u32, x: u32): u32 {
  return load<u32>(<usize>load<u32>(tables + group) + (<usize>(x & (SLOTS - 1)) << 2));
}

/** Four times the class of a unit: the place of its table's position. */
@inline
function groupOf(width: u32, base: usize, shift: u32, mask: u32): u32 {
  return classOf(loadUnit(width, base), shift, mask) << 2;
}

@inline
function advance(x: u32, entry: u32): u32 {
  return ((entry >> TABLE_BITS) & (2 * SLOTS - 1)) * (x >> TABLE_BITS) + (entry & (SLOTS - 1));
}

/** Of one lane. Arithmetic in place of a choice: V8 makes a branch of `select`, and every other one would be guessed wrong. */
@inline
function refill(x: u32, words: usize): u32 {
  const short = <u32>(x < LEAST);
  return (x << (short << 4)) | (load<u16>(words) & (0 - short));
}

/** Bytes that a lane takes. */
@inline
function took(x: u32): usize {
  return <usize>(x < LEAST) << 1;
}

/** Where the table of unit k of eight is. */
@inline
function tableFor(
  width: u32,
  alone: bool,
  shift: u32,
  mask: u32,
  base: usize,
  k: usize,
  room: usize,
  tables: usize,
): usize {
  return alone
    ? <usize>load<u32>(tables)
    : width == 2
      ? <usize>load<u32>(tables + <usize>load<u16>(room + 2 * k))
      : <usize>load<u32>(tables + groupOf(width, base + k * width, shift, mask));
}

/** `advance` of four lanes. */
@inline
function advanceFour(x: v128, entry: v128): v128 {
  const frequency = v128.and(i32x4.shr_u(entry, TABLE_BITS), i32x4.splat(<i32>(2 * SLOTS - 1)));
  const offset = v128.and(entry, i32x4.splat(<i32>(SLOTS - 1)));
  return i32x4.add(i32x4.mul(frequency, i32x4.shr_u(x, TABLE_BITS)), offset);
}

/** Which of four lanes take a word. */
@inline
function shortLanes(x: v128): v128 {
  return i32x4.eq(i32x4.shr_u(x, 16), i32x4.splat(0));
}

/** For each set of four lanes: the bytes of four 32-bit words that go to them in turn, and 128 where none goes. */
const TURNS: usize = memory.data<u8>([
  128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128,
  0, 1, 2, 3, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128,
  128, 128, 128, 128, 0, 1, 2, 3, 128, 128, 128, 128, 128, 128, 128, 128,
  0, 1, 2, 3, 4, 5, 6, 7, 128, 128, 128, 128, 128, 128, 128, 128,
  128, 128, 128, 128, 128, 128, 128, 128, 0, 1, 2, 3, 128, 128, 128, 128,
  0, 1, 2, 3, 128, 128, 128, 128, 4, 5, 6, 7, 128, 128, 128, 128,
  128, 128, 128, 128, 0, 1, 2, 3, 4, 5, 6, 7, 128, 128, 128, 128,
  0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 128, 128, 128, 128,
  128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 0, 1, 2, 3,
  0, 1, 2, 3, 128, 128, 128, 128, 128, 128, 128, 128, 4, 5, 6, 7,
  128, 128, 128, 128, 0, 1, 2, 3, 128, 128, 128, 128, 4, 5, 6, 7,
  0, 1, 2, 3, 4, 5, 6, 7, 128, 128, 128, 128, 8, 9, 10, 11,
  128, 128, 128, 128, 128, 128, 128, 128, 0, 1, 2, 3, 4, 5, 6, 7,
  0, 1, 2, 3, 128, 128, 128, 128, 4, 5, 6, 7, 8, 9, 10, 11,
  128, 128, 128, 128, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11,
  0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
]);

/** Four lanes, the short ones with the next words in them. */
@inline
function refillFour(x: v128, short: v128, which: usize, words: usize): v128 {
  const next = i8x16.swizzle(v128.load16x4_u(words), v128.load(TURNS + (which << 4)));
  return v128.bitselect(v128.or(i32x4.shl(x, 16), next), x, short);
}

/** Eight units of 16 bits from their differences. */
@inline
function applyEight(base: usize, target: usize, differences: v128): void {
  const top = i16x8.splat(<i16>0x8000);
  const low = i16x8.splat(0x7fff);
  const one = i16x8.splat(1);
  const b = v128.load(base);
  const steps = v128.xor(i16x8.shr_u(differences, 1), i16x8.neg(v128.and(differences, one)));
  const value = i16x8.add(v128.and(b, low), steps);
  const folded = v128.xor(value, v128.and(i16x8.shr_s(value, 15), low));
  v128.store(target, v128.xor(folded, v128.and(b, top)));
}

/** 2^n of eight lanes of 16 bits, n < 16. */
@inline
function powers(n: v128): v128 {
  const low = i8x16(1, 2, 4, 8, 16, 32, 64, -128, 0, 0, 0, 0, 0, 0, 0, 0);
  const high = i8x16(0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, -128);
  const byte = i16x8.splat(255);
  return v128.or(
    v128.and(i8x16.swizzle(low, n), byte),
    i16x8.shl(v128.and(i8x16.swizzle(high, n), byte), 8),
  );
}

/** The bits from `position` on, at least 57 of them. */
@inline
function bitsAt(start: usize, position: u32): u64 {
  return load<u64>(start + (position >> 3)) >> (position & 7);
}

/** Four extra values of 16 bits at most, each with what lies above it; how many bits each has lies at `lengths`. @returns the position behind them. */
@inline
function fourExtras(start: usize, position: u32, lengths: usize, target: usize): u32 {
  const n0 = <u32>load<u16>(lengths);
  const n1 = n0 + load<u16>(lengths, 2);
  const n2 = n1 + load<u16>(lengths, 4);
  const bits = bitsAt(start, position);
  store<u16>(target, bits);
  store<u16>(target, bits >> n0, 2);
  store<u16>(target, bits >> n1, 4);
  store<u16>(target, bits >> n2, 6);
  return position + n2 + load<u16>(lengths, 6);
}

/** Can units be made of tokens as soon as these are there? */
@inline
function isDirect(width: u32, ordered: bool, alone: bool): bool {
  return width == 2 && ordered && !alone;
}

/**
 * Tokens of `units` units, which begin with lane 0. Of units of 16 bits that are floats, given the base, whole eights go to `target` at
 * once: while the lanes wait for each other, the processor makes units. @returns false where words or extra bits end too early.
 */
@inline
function decodeTokens(
  width: u32,
  ordered: bool,
  alone: bool,
  shift: u32,
  mask: u32,
  base: usize,
  target: usize,
  units: u32,
  tokens: usize,
  tables: usize,
  state: usize,
): bool {
  const m = mantissaBits(width);
  const one = i16x8.splat(1);
  const most = i16x8.splat(<i16>(((2 as u32) << m) - 1));
  const start = <usize>load<u32>(state, EXTRA);
  const last = (load<u32>(state, EXTRA_END) - <u32>start) << 3;
  let position = load<u32>(state, BITS);
  let words = <usize>load<u32>(state, WORDS);
  const end = <usize>load<u32>(state, WORDS_END);
  const step = width << 3;
  const room = state + ROOM;
  const fours = i32x4.splat(<i32>((SLOTS - 1) << 2));
  const whole = units & ~(LANES - 1);
  let xs = v128.load(state);
  let ys = v128.load(state, 16);
  for (let i: u32 = 0; i < whole; i += LANES) {
    if (words > end) {
      return false;
    }
    if (width == 2 && !alone) {
      v128.store(room, i16x8.shl(v128.and(i16x8.shr_u(v128.load(base), shift), i16x8.splat(<i16>mask)), 2));
    }
    const at = v128.and(i32x4.shl(xs, 2), fours);
    let es = v128.load32_zero(tableFor(width, alone, shift, mask, base, 0, room, tables) + i32x4.extract_lane(at, 0));
    es = v128.load32_lane(tableFor(width, alone, shift, mask, base, 1, room, tables) + i32x4.extract_lane(at, 1), es, 1);
    es = v128.load32_lane(tableFor(width, alone, shift, mask, base, 2, room, tables) + i32x4.extract_lane(at, 2), es, 2);
    es = v128.load32_lane(tableFor(width, alone, shift, mask, base, 3, room, tables) + i32x4.extract_lane(at, 3), es, 3);
    const to = v128.and(i32x4.shl(ys, 2), fours);
    let fs = v128.load32_zero(tableFor(width, alone, shift, mask, base, 4, room, tables) + i32x4.extract_lane(to, 0));
    fs = v128.load32_lane(tableFor(width, alone, shift, mask, base, 5, room, tables) + i32x4.extract_lane(to, 1), fs, 1);
    fs = v128.load32_lane(tableFor(width, alone, shift, mask, base, 6, room, tables) + i32x4.extract_lane(to, 2), fs, 2);
    fs = v128.load32_lane(tableFor(width, alone, shift, mask, base, 7, room, tables) + i32x4.extract_lane(to, 3), fs, 3);
    const found = i16x8.narrow_i32x4_u(i32x4.shr_u(es, TABLE_BITS * 2 + 1), i32x4.shr_u(fs, TABLE_BITS * 2 + 1));
    const next = advanceFour(xs, es);
    const short = shortLanes(next);
    const few = <usize>i32x4.bitmask(short);
    xs = refillFour(next, short, few, words);
    words += <usize>popcnt<u32>(<u32>few) << 1;
    const other = advanceFour(ys, fs);
    const lacking = shortLanes(other);
    const some = <usize>i32x4.bitmask(lacking);
    ys = refillFour(other, lacking, some, words);
    words += <usize>popcnt<u32>(<u32>some) << 1;
    if (!isDirect(width, ordered, alone)) {
      v128.store64_lane(tokens, i8x16.narrow_i16x8_u(found, found), 0);
      tokens += LANES;
    } else if (!v128.any_true(i16x8.gt_s(found, most))) {
      applyEight(base, target, found);
    } else {
      if (position > last) {
        return false;
      }
      const n = i16x8.sub_sat_u(i16x8.shr_u(found, m), one);
      v128.store(room + 16, n);
      position = fourExtras(start, position, room + 16, room + 32);
      position = fourExtras(start, position, room + 24, room + 40);
      const power = powers(n);
      const extra = v128.and(v128.load(room + 32), i16x8.sub(power, one));
      applyEight(base, target, v128.or(i16x8.mul(i16x8.sub(found, i16x8.shl(n, m)), power), extra));
    }
    base += step;
    target += step;
  }
  store<u32>(state, position, BITS);
  v128.store(state, xs);
  v128.store(state, ys, 16);
  let e: u32;
  let y: u32;
  for (let i = whole; i < units; i++) {
    const lane = state + ((i & (LANES - 1)) << 2);
    const x = load<u32>(lane);
    e = entryFor(tables, groupOf(width, base, shift, mask), x);
    store<u8>(tokens, e >> 23);
    y = advance(x, e);
    store<u32>(lane, refill(y, words));
    words += took(y);
    tokens++;
    base += width;
  }
  store<u32>(state, <u32>words, WORDS);
  return words <= end;
}

/** Units of 16 bits that are floats, alone: a token and a byte each. */
@inline
function aloneEights(target: usize, units: u32, tokens: usize, state: usize): bool {
  const one = i16x8.splat(1);
  const start = <usize>load<u32>(state, EXTRA) + (load<u32>(state, BITS) >> 3);
  const whole = units & ~7;
  if (start + whole > <usize>load<u32>(state, EXTRA_END)) {
    return false;
  }
  for (let i: u32 = 0; i < whole; i += 8) {
    const value = v128.or(i16x8.shl(v128.load8x8_u(tokens + i), 8), v128.load8x8_u(start + i));
    v128.store(target + 2 * i, v128.or(i16x8.shr_u(value, 1), i16x8.shl(v128.and(value, one), 15)));
  }
  store<u32>(state, load<u32>(state, BITS) + (whole << 3), BITS);
  return true;
}

/** @returns false where the extra bits end too early. */
@inline
function applyTokens(
  width: u32,
  ordered: bool,
  alone: bool,
  base: usize,
  target: usize,
  units: u32,
  tokens: usize,
  state: usize,
): bool {
  const m = mantissaBits(width);
  const start = <usize>load<u32>(state, EXTRA);
  const end = (load<u32>(state, EXTRA_END) - <u32>start) << 3;
  let i: u32 = 0;
  if (width == 2 && ordered && alone) {
    if (!aloneEights(target, units, tokens, state)) {
      return false;
    }
    i = units & ~7;
  }
  let position = load<u32>(state, BITS);
  for (; i < units; i++) {
    if (position > end) {
      return false;
    }
    const token = <u32>load<u8>(tokens + i);
    let n: u32 = 8 * width - 8;
    let high = token;
    if (!alone) {
      n = token >> m;
      n -= <u32>(n > 0);
      high = token - (n << m);
    }
    const bits = <u32>(load<u64>(start + (position >> 3)) >> (position & 7));
    const value = (high << n) | (bits & ((<u32>1 << n) - 1));
    position += n;
    const unit = alone
      ? rotateBack(width, ordered, value)
      : apply(width, ordered, loadUnit(width, base + i * width), value);
    storeUnit(width, target + i * width, unit);
  }
  store<u32>(state, position, BITS);
  return position <= end;
}

@inline
function decodeAll(
  width: u32,
  ordered: bool,
  alone: bool,
  shift: u32,
  mask: u32,
  base: usize,
  target: usize,
  units: u32,
  tokens: usize,
  tables: usize,
  state: usize,
): bool {
  for (let i: u32 = 0; i < units; i += CHUNK) {
    const some = units - i < CHUNK ? units - i : CHUNK;
    const from = base + <usize>i * width;
    const to = target + <usize>i * width;
    // What decodeTokens has made already.
    const made = isDirect(width, ordered, alone) ? some & ~(LANES - 1) : 0;
    const skip = <usize>made * width;
    if (
      !decodeTokens(width, ordered, alone, shift, mask, from, to, some, tokens, tables, state) ||
      !applyTokens(width, ordered, alone, from + skip, to + skip, some - made, tokens, state)
    ) {
      return false;
    }
  }
  return true;
}

/** See Coder.decode. */
export function decodeUnits(
  width: u32,
  ordered: bool,
  alone: bool,
  shift: u32,
  mask: u32,
  base: usize,
  target: usize,
  units: u32,
  tokens: usize,
  tables: usize,
  state: usize,
): bool {
  if (alone) {
    if (width == 1) {
      return decodeAll(1, ordered, true, shift, 0, base, target, units, tokens, tables, state);
    }
    if (width == 2 && ordered) {
      return decodeAll(2, true, true, shift, 0, base, target, units, tokens, tables, state);
    }
    if (width == 2) {
      return decodeAll(2, false, true, shift, 0, base, target, units, tokens, tables, state);
    }
    return decodeAll(4, ordered, true, shift, 0, base, target, units, tokens, tables, state);
  }
  if (width == 1) {
    return decodeAll(1, ordered, false, shift, mask, base, target, units, tokens, tables, state);
  }
  if (width == 2 && ordered) {
    return decodeAll(2, true, false, shift, mask, base, target, units, tokens, tables, state);
  }
  if (width == 2) {
    return decodeAll(2, false, false, shift, mask, base, target, units, tokens, tables, state);
  }
  if (ordered) {
    return decodeAll(4, true, false, shift, mask, base, target, units, tokens, tables, state);
  }
  return decodeAll(4, false, false, shift, mask, base, target, units, tokens, tables, state);
}
