/** Tokens and extra bits to units (docs/formats.md 3.3, "Values" and "Units"). coder-scalar.ts is the oracle. */
import { powers } from "./eights";
import { BITS, EXTRA, EXTRA_END } from "./lanes";
import { apply, loadUnit, mantissaBits, rotateBack, storeUnit } from "./units";

/** The bits from `position` on, at least 57 of them. */
@inline
function bitsAt(start: usize, position: u32): u64 {
  return load<u64>(start + (position >> 3)) >> (position & 7);
}

/** Four extra values, each in 16 bits with what lies above it. @param ends as endsOfFours has them. */
@inline
function fourExtras(bits: u64, ends: u64): u64 {
  return (
    (bits & 0xffff) |
    (((bits >> ends) & 0xffff) << 16) |
    (((bits >> (ends >> 16)) & 0xffff) << 32) |
    ((bits >> (ends >> 32)) << 48)
  );
}

/** Where the extra bits of eight units end, 16 bits for each, from the first's and from the fifth's on. @param n how many each has. */
@inline
export function endsOfFours(n: v128): v128 {
  const pairs = i16x8.add(n, i64x2.shl(n, 16));
  return i16x8.add(pairs, i64x2.shl(pairs, 32));
}

/**
 * How far eight units of 16 bits lie from the base's. @param n extra bits of each. @param first, second as endsOfFours has them.
 * @param position where the bits begin.
 */
@inline
export function eightDistances(tokens: v128, n: v128, first: u64, second: u64, start: usize, position: u32): v128 {
  const low = fourExtras(bitsAt(start, position), first);
  const high = fourExtras(bitsAt(start, position + <u32>(first >> 48)), second);
  const power = powers(n);
  const extra = v128.and(i64x2.replace_lane(i64x2.splat(low), 1, high), i16x8.sub(power, i16x8.splat(1)));
  return v128.or(i16x8.mul(i16x8.sub(tokens, i16x8.shl(n, mantissaBits(2))), power), extra);
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
export function applyTokens(
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
