/**
 * Sums of two tensors of 16 bits, and the sum of all of them, in one pass (docs/arithmetic.md 4, 6): a rounded value goes to its column of the
 * cascade while it is in a register.
 */
import { BF16, F16, signsOf } from "./bits";
import { addRows } from "./cascade";
import { addNarrow, sign8, sum4 } from "./narrow";
import { columnsOf, hasUnfinishedRow, rowsAdded, rowsAhead, sumPush, unfinishedRow } from "./sum";
import { F16_NORMAL, widen } from "./widen";

/** Elements of a row of the cascade. */
export const ROW: u32 = 32;

/** Magnitudes from here on may add up to what rounds to infinity, or are no numbers. */
@inline
function largeFrom(dtype: u32): i16 {
  return dtype == F16 ? 0x7400 : 0x7f00;
}

@inline
function magnitude8(at: usize): v128 {
  return v128.and(v128.load(at), i16x8.splat(0x7fff));
}

@inline
function most32(at: usize): v128 {
  const low = i16x8.max_s(magnitude8(at), magnitude8(at + 16));
  return i16x8.max_s(low, i16x8.max_s(magnitude8(at + 32), magnitude8(at + 48)));
}

@inline
function either32(at: usize): v128 {
  return v128.or(v128.or(v128.load(at), v128.load(at, 16)), v128.or(v128.load(at, 32), v128.load(at, 48)));
}

/** Whether neither row of 32 has a magnitude of largeFrom or more. Of weights nearly all are below 2, which one bit tells of any number of them. */
@inline
function isPlainRow(dtype: u32, source: usize, target: usize): bool {
  if (!v128.any_true(v128.and(v128.or(either32(source), either32(target)), i16x8.splat(0x4000)))) {
    return true;
  }
  return i16x8.all_true(i16x8.lt_s(i16x8.max_s(most32(source), most32(target)), i16x8.splat(largeFrom(dtype))));
}

@inline
function exponent8(at: usize): v128 {
  return v128.and(v128.load(at), i16x8.splat(0x7c00));
}

/** Whether none of 32 plain halves is subnormal or zero. */
@inline
function isNormalRow(at: usize): bool {
  const low = i16x8.min_u(exponent8(at), exponent8(at + 16));
  return i16x8.all_true(i16x8.min_u(low, i16x8.min_u(exponent8(at + 32), exponent8(at + 48))));
}

@inline
function addTo(columns: usize, value: v128): void {
  v128.store(columns, f32x4.add(v128.load(columns), value));
}

/** Exponents beyond that of the smallest normal half. */
@inline
function beyondHalves(wide: v128): v128 {
  // The lower half of each lane, which has mantissa bits, stays 0.
  return i16x8.sub_sat_u(v128.and(wide, i32x4.splat(0x7f800000)), i32x4.splat(0x38800000));
}

/** What is added to round, as narrow.ts has it, but half as large again: a value of either sign then leaves its power of two as it is. */
@inline
function largeFor(beyond: v128): v128 {
  return i32x4.add(beyond, i32x4.splat(0x38800000 + (13 << 23) + (1 << 22)));
}

/** The magnitudes of halves: the steps that rounding has left of each value. */
@inline
function halves4(near: v128, large: v128, beyond: v128): v128 {
  return i32x4.add(i32x4.abs(i32x4.sub(near, large)), i32x4.shr_u(beyond, 13));
}

/** Adds eight pairs of halves. A zero goes to its column without its sign, which no sum shows: none begins at -0. */
@inline
function sumHalves8(own: u32, source: usize, target: usize, columns: usize, flip: v128): void {
  const a = sum4(F16, own, source, target, flip);
  const b = sum4(F16, own, source + 8, target + 8, flip);
  const beyondA = beyondHalves(a);
  const beyondB = beyondHalves(b);
  const largeA = largeFor(beyondA);
  const largeB = largeFor(beyondB);
  const nearA = f32x4.add(a, largeA);
  const nearB = f32x4.add(b, largeB);
  addTo(columns, f32x4.sub(nearA, largeA));
  addTo(columns + 16, f32x4.sub(nearB, largeB));
  const magnitudes = i16x8.narrow_i32x4_u(halves4(nearA, largeA, beyondA), halves4(nearB, largeB, beyondB));
  v128.store(target, v128.or(magnitudes, sign8(a, b)));
}

/** Half a step is added, less the least bit where the step is even, so that a tie goes to the even one. */
@inline
function nearBF16(wide: v128): v128 {
  const odd = v128.and(i32x4.shr_u(wide, 16), i32x4.splat(1));
  return i32x4.add(i32x4.add(wide, odd), i32x4.splat(0x7fff));
}

@inline
function sumBF16x8(source: usize, target: usize, columns: usize, flip: v128): void {
  const a = nearBF16(sum4(BF16, BF16, source, target, flip));
  const b = nearBF16(sum4(BF16, BF16, source + 8, target + 8, flip));
  const upper = i32x4.splat(<i32>0xffff0000);
  addTo(columns, v128.and(a, upper));
  addTo(columns + 16, v128.and(b, upper));
  v128.store(target, i16x8.narrow_i32x4_u(i32x4.shr_u(a, 16), i32x4.shr_u(b, 16)));
}

@inline
function sum8(dtype: u32, own: u32, source: usize, target: usize, columns: usize, flip: v128): void {
  if (dtype == F16) {
    sumHalves8(own, source, target, columns, flip);
  } else {
    sumBF16x8(source, target, columns, flip);
  }
}

@inline
function sumRow(dtype: u32, own: u32, source: usize, target: usize, columns: usize, flip: v128): void {
  sum8(dtype, own, source, target, columns, flip);
  sum8(dtype, own, source + 16, target + 16, columns + 32, flip);
  sum8(dtype, own, source + 32, target + 32, columns + 64, flip);
  sum8(dtype, own, source + 48, target + 48, columns + 96, flip);
}

@inline
function hasNaN(columns: usize): bool {
  for (let at: usize = 0; at < 128; at += 16) {
    const sums = v128.load(columns + at);
    if (v128.any_true(f32x4.ne(sums, sums))) {
      return true;
    }
  }
  return false;
}

/** Rows up to the first that is not plain. A NaN among the columns would have to stay as it is. @returns how many. */
@inline
function plainRows(dtype: u32, source: usize, target: usize, rows: u32, columns: usize, flip: v128): u32 {
  if (hasNaN(columns)) {
    return 0;
  }
  for (let row: u32 = 0; row < rows; row++) {
    if (!isPlainRow(dtype, source, target)) {
      return row;
    }
    // Weights have no subnormals in nearly all rows, differences in many.
    if (dtype == F16 && isNormalRow(target)) {
      sumRow(F16, F16_NORMAL, source, target, columns, flip);
    } else {
      sumRow(dtype, dtype, source, target, columns, flip);
    }
    source += 2 * ROW;
    target += 2 * ROW;
  }
  return rows;
}

@inline
function addAll(dtype: u32, source: usize, target: usize, count: u32, operation: u32, state: usize): u32 {
  if (count == 0) {
    return 0;
  }
  if (hasUnfinishedRow(state)) {
    unreachable(); // its place is wanted, and nobody calls so
  }
  const columns = columnsOf(state);
  const spare = unfinishedRow(state);
  const signs = signsOf(operation);
  let overflows: u32 = 0;
  for (let left = count / ROW; left > 0; ) {
    const batch = rowsAhead(state, left);
    for (let row: u32 = 0; row < batch; row++) {
      const plain = plainRows(dtype, source, target, batch - row, columns, signs);
      row += plain;
      source += 2 * ROW * plain;
      target += 2 * ROW * plain;
      if (row < batch) {
        overflows += addNarrow(dtype, source, target, ROW, operation);
        widen(dtype, target, spare, ROW);
        addRows(columns, spare, 0, 1, ROW);
        source += 2 * ROW;
        target += 2 * ROW;
      }
    }
    rowsAdded(state, batch);
    left -= batch;
  }
  const rest = count % ROW;
  overflows += addNarrow(dtype, source, target, rest, operation);
  widen(dtype, target, spare, rest);
  sumPush(state, spare, rest);
  return overflows;
}

/** See Kernel.addNarrowSummed and Kernel.subtractNarrowSummed. */
export function addNarrowSummed(dtype: u32, source: usize, target: usize, count: u32, operation: u32, state: usize): u32 {
  return dtype == F16
    ? addAll(F16, source, target, count, operation, state)
    : addAll(BF16, source, target, count, operation, state);
}
