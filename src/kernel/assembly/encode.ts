/** Turns tokens into words by eight interleaved rANS coders (docs/formats.md 3.3). The caller makes the tables. coder-scalar.ts is the oracle. */
import { LANES, SLOTS, TABLE_BITS, WORDS } from "./lanes";

/** An entry of a table. floor(x / frequency) is (x * its first 64 bits) >> 43, for every x that occurs. */
const RECIPROCAL_BITS: u64 = 43;

@inline
function entryAt(tables: usize, tokens: usize, classes: usize): usize {
  return <usize>load<u32>(tables + (<usize>load<u8>(classes) << 2)) + (<usize>load<u8>(tokens) << 4);
}

/** For each set of lanes that give a word: the bytes of their lower halves, in order, at the end of eight bytes. 128 fills the front. */
const GIVEN: usize = memory.data<u8>([
  128, 128, 128, 128, 128, 128, 128, 128,
  128, 128, 128, 128, 128, 128, 0, 1,
  128, 128, 128, 128, 128, 128, 4, 5,
  128, 128, 128, 128, 0, 1, 4, 5,
  128, 128, 128, 128, 128, 128, 8, 9,
  128, 128, 128, 128, 0, 1, 8, 9,
  128, 128, 128, 128, 4, 5, 8, 9,
  128, 128, 0, 1, 4, 5, 8, 9,
  128, 128, 128, 128, 128, 128, 12, 13,
  128, 128, 128, 128, 0, 1, 12, 13,
  128, 128, 128, 128, 4, 5, 12, 13,
  128, 128, 0, 1, 4, 5, 12, 13,
  128, 128, 128, 128, 8, 9, 12, 13,
  128, 128, 0, 1, 8, 9, 12, 13,
  128, 128, 4, 5, 8, 9, 12, 13,
  0, 1, 4, 5, 8, 9, 12, 13,
]);

/** The frequencies of four entries. An entry has four words of 32 bits: two of the reciprocal, the frequency, and the sum of those before it. */
@inline
function frequencies(e0: v128, e1: v128, e2: v128, e3: v128): v128 {
  return i64x2.shuffle(i32x4.shuffle(e0, e1, 2, 6, 3, 7), i32x4.shuffle(e2, e3, 2, 6, 3, 7), 0, 2);
}

/** Which of four lanes write their lower half as a word before they take a token. */
@inline
function givingFour(x: v128, frequency: v128): v128 {
  return i32x4.ge_s(i32x4.shr_u(x, 32 - TABLE_BITS), frequency);
}

/** Writes the lower halves of those lanes. */
@inline
function give(x: v128, which: usize, words: usize): void {
  v128.store64_lane(words - 8, i8x16.swizzle(x, v128.load64_zero(GIVEN + (which << 3))), 0);
}

/** Puts a token into each of four lanes: SLOTS * floor(x / frequency) + x modulo frequency + the sum of the frequencies before it. */
@inline
function putFour(lanes: v128, giving: v128, e0: v128, e1: v128, e2: v128, e3: v128): v128 {
  const x = v128.bitselect(i32x4.shr_u(lanes, 16), lanes, giving);
  const reciprocals = i32x4.shuffle(e0, e1, 0, 4, 1, 5);
  const others = i32x4.shuffle(e2, e3, 0, 4, 1, 5);
  const low = i64x2.shuffle(reciprocals, others, 0, 2);
  const high = i64x2.shuffle(reciprocals, others, 1, 3);
  const before = i64x2.shuffle(i32x4.shuffle(e0, e1, 2, 6, 3, 7), i32x4.shuffle(e2, e3, 2, 6, 3, 7), 1, 3);
  // The product's bits from the 32nd on are less than 2^32, since the quotient is less than 2^21.
  const carried = i32x4.shuffle(i64x2.extmul_low_i32x4_u(x, low), i64x2.extmul_high_i32x4_u(x, low), 1, 3, 5, 7);
  const quotient = i32x4.shr_u(i32x4.add(i32x4.mul(x, high), carried), <i32>(RECIPROCAL_BITS - 32));
  const rest = i32x4.sub(i32x4.splat(SLOTS), frequencies(e0, e1, e2, e3));
  return i32x4.add(i32x4.add(x, before), i32x4.mul(quotient, rest));
}

/** See Coder.encode. It may also write to the eight bytes below the words. */
export function encodeTokens(units: u32, tokens: usize, classes: usize, tables: usize, state: usize): void {
  let words = <usize>load<u32>(state, WORDS);
  let i = units;
  for (; (i & (LANES - 1)) != 0; i--) {
    const lane = state + (((i - 1) & (LANES - 1)) << 2);
    const entry = entryAt(tables, tokens + i - 1, classes + i - 1);
    const frequency = load<u32>(entry, 8);
    let x = load<u32>(lane);
    if (x >> (32 - TABLE_BITS) >= frequency) {
      words -= 2;
      store<u16>(words, x);
      x >>= 16;
    }
    const quotient = <u32>((<u64>x * load<u64>(entry)) >> RECIPROCAL_BITS);
    store<u32>(lane, x + load<u32>(entry, 12) + quotient * (SLOTS - frequency));
  }
  let xs = v128.load(state);
  let ys = v128.load(state, 16);
  let e0: v128;
  let e1: v128;
  let e2: v128;
  let e3: v128;
  let giving: v128;
  let which: usize;
  for (; i > 0; i -= LANES) {
    const t = tokens + i - LANES;
    const c = classes + i - LANES;
    // The last lanes come first, since a decoder reads the words forwards.
    e0 = v128.load(entryAt(tables, t + 4, c + 4));
    e1 = v128.load(entryAt(tables, t + 5, c + 5));
    e2 = v128.load(entryAt(tables, t + 6, c + 6));
    e3 = v128.load(entryAt(tables, t + 7, c + 7));
    giving = givingFour(ys, frequencies(e0, e1, e2, e3));
    which = <usize>i32x4.bitmask(giving);
    give(ys, which, words);
    words -= <usize>popcnt<u32>(<u32>which) << 1;
    ys = putFour(ys, giving, e0, e1, e2, e3);
    e0 = v128.load(entryAt(tables, t + 0, c + 0));
    e1 = v128.load(entryAt(tables, t + 1, c + 1));
    e2 = v128.load(entryAt(tables, t + 2, c + 2));
    e3 = v128.load(entryAt(tables, t + 3, c + 3));
    giving = givingFour(xs, frequencies(e0, e1, e2, e3));
    which = <usize>i32x4.bitmask(giving);
    give(xs, which, words);
    words -= <usize>popcnt<u32>(<u32>which) << 1;
    xs = putFour(xs, giving, e0, e1, e2, e3);
  }
  v128.store(state, xs);
  v128.store(state, ys, 16);
  store<u32>(state, <u32>words, WORDS);
}
