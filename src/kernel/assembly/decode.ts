/**
 * Turns words and extra bits into units (docs/formats.md 3.3): eight interleaved rANS coders give tokens, and these become units. The caller makes
 * the tables. coder-scalar.ts is the oracle.
 */
import { applyTokens, eightDistances, endsOfFours } from "./apply";
import { applyEight } from "./eights";
import { BITS, EXTRA, EXTRA_END, LANES, LEAST, ROOM, SLOTS, TABLE_BITS, WORDS, WORDS_END } from "./lanes";
import { classOf, loadUnit, mantissaBits } from "./units";

/** How many tokens are decoded before their units are made. So many stay in the first-level cache. */
const CHUNK: u32 = 4096;
/** Extra bits are rare if a chunk has fewer than one for 2^RARE_BITS units. */
const RARE_BITS: u32 = 4;

@inline
function entryFor(tables: usize, group: u32, x: u32): u32 {
  return load<u32>(<usize>load<u32>(tables + group) + (<usize>(x & (SLOTS - 1)) << 2));
}

/** Four times the class of a unit: the offset at which its table's position is stored. */
@inline
function groupOf(width: u32, base: usize, shift: u32, mask: u32): u32 {
  return classOf(loadUnit(width, base), shift, mask) << 2;
}

@inline
function advance(x: u32, entry: u32): u32 {
  return ((entry >> TABLE_BITS) & (2 * SLOTS - 1)) * (x >> TABLE_BITS) + (entry & (SLOTS - 1));
}

/** Refills one lane: a short one takes in the next word. It uses arithmetic and no `select`: V8 turns `select` into a branch, and the processor would predict half of these wrong. */
@inline
function refill(x: u32, words: usize): u32 {
  const short = <u32>(x < LEAST);
  return (x << (short << 4)) | (load<u16>(words) & (0 - short));
}

/** How many bytes a lane reads. */
@inline
function took(x: u32): usize {
  return <usize>(x < LEAST) << 1;
}

/** The position of the table of unit k of eight. */
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

/** `advance` for four lanes. */
@inline
function advanceFour(x: v128, entry: v128): v128 {
  const frequency = v128.and(i32x4.shr_u(entry, TABLE_BITS), i32x4.splat(<i32>(2 * SLOTS - 1)));
  const offset = v128.and(entry, i32x4.splat(<i32>(SLOTS - 1)));
  return i32x4.add(i32x4.mul(frequency, i32x4.shr_u(x, TABLE_BITS)), offset);
}

/** Which of four lanes read a word. */
@inline
function shortLanes(x: v128): v128 {
  return i32x4.eq(i32x4.shr_u(x, 16), i32x4.splat(0));
}

/** For each set of lanes that read: which bytes of the next words go to each of four lanes, and 128 for a lane that reads none. */
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

/** Refills four lanes: each short one takes in the next word. */
@inline
function refillFour(x: v128, short: v128, which: usize, words: usize): v128 {
  const next = i8x16.swizzle(v128.load16x4_u(words), v128.load(TURNS + (which << 4)));
  return v128.bitselect(v128.or(i32x4.shl(x, 16), next), x, short);
}

/** Can units be made from tokens right away? */
@inline
function isDirect(width: u32, ordered: bool, alone: bool): bool {
  return width == 2 && ordered && !alone;
}

/**
 * Tokens of `units` units, which begin with lane 0. Of units of 16 bits that are floats, given the base, whole eights go to `target` at
 * once: while the lanes wait for each other, the processor makes units. @param rare few tokens have extra bits: it pays to ask for them,
 * and costs more than they do where the answer is hard to guess. @returns false where words or extra bits end too early.
 */
@inline
function decodeTokens(
  width: u32,
  ordered: bool,
  alone: bool,
  rare: bool,
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
    } else if (rare && !v128.any_true(i16x8.gt_s(found, most))) {
      applyEight(base, target, found);
    } else {
      if (position > last) {
        return false;
      }
      const n = i16x8.sub_sat_u(i16x8.shr_u(found, m), one);
      const ends = endsOfFours(n);
      const first = <u64>i64x2.extract_lane(ends, 0);
      const second = <u64>i64x2.extract_lane(ends, 1);
      applyEight(base, target, eightDistances(found, n, first, second, start, position));
      position += <u32>(first >> 48) + <u32>(second >> 48);
    }
    base += step;
    target += step;
  }
  store<u32>(state, position, BITS);
  v128.store(state, xs);
  v128.store(state, ys, 16);
  for (let i = whole; i < units; i++) {
    const lane = state + ((i & (LANES - 1)) << 2);
    const x = load<u32>(lane);
    const e = entryFor(tables, groupOf(width, base, shift, mask), x);
    store<u8>(tokens, e >> 23);
    const y = advance(x, e);
    store<u32>(lane, refill(y, words));
    words += took(y);
    tokens++;
    base += width;
  }
  store<u32>(state, <u32>words, WORDS);
  return words <= end;
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
  let rare = false;
  for (let i: u32 = 0; i < units; i += CHUNK) {
    const some = units - i < CHUNK ? units - i : CHUNK;
    const from = base + <usize>i * width;
    const to = target + <usize>i * width;
    // What decodeTokens has made already.
    const made = isDirect(width, ordered, alone) ? some & ~(LANES - 1) : 0;
    const skip = <usize>made * width;
    const passed = load<u32>(state, BITS);
    const decoded =
      isDirect(width, ordered, alone) && rare
        ? decodeTokens(width, ordered, alone, true, shift, mask, from, to, some, tokens, tables, state)
        : decodeTokens(width, ordered, alone, false, shift, mask, from, to, some, tokens, tables, state);
    if (!decoded || !applyTokens(width, ordered, alone, from + skip, to + skip, some - made, tokens, state)) {
      return false;
    }
    rare = load<u32>(state, BITS) - passed < some >> RARE_BITS;
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
