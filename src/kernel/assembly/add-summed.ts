/**
 * F32 + F16 | BF16 | F32 | F64, and the sum of all that comes of it, in one pass (docs/arithmetic.md 2, 6): a value goes to its column of the
 * cascade while it is in a register. summed.ts does so for 16 bits.
 */
import { add } from "./add";
import { BF16, F16, F32, F64, sizeShift } from "./bits";
import { addRows } from "./cascade";
import { abs4 } from "./narrow";
import { columnsOf, hasUnfinishedRow, KEPT_ROWS, keptRows, rowsAdded, rowsAhead, sumPush } from "./sum";
import { ROW } from "./summed";
import { F16_NORMAL, isFinite16, isNormal16, load4 } from "./widen";

const ADD: u32 = 0;

/** What was there before is kept, as the target may be where it was. */
@inline
function sum4(dtype: u32, from: usize, source: usize, target: usize, kept: usize): v128 {
  const before = v128.load(from);
  const sum = f32x4.add(before, load4(dtype, source));
  v128.store(kept, before);
  v128.store(target, sum);
  return sum;
}

@inline
function isFinite4(a: v128, b: v128, c: v128, d: v128): bool {
  const most = i32x4.max_s(i32x4.max_s(abs4(a), abs4(b)), i32x4.max_s(abs4(c), abs4(d)));
  return i32x4.all_true(i32x4.lt_s(most, i32x4.splat(0x7f800000)));
}

/**
 * Rows whose sums are all finite. Infinity and NaN never go away, so one test of the columns after the last row is enough.
 * @returns false if a column is not finite in the end, or a half is not: then all has to be done again, from the rows that are kept.
 */
@inline
function addPlain(
  dtype: u32,
  from: usize,
  source: usize,
  target: usize,
  rows: u32,
  columns: usize,
  kept: usize,
): bool {
  const size: usize = 4 << sizeShift(dtype);
  let a = v128.load(columns);
  let b = v128.load(columns, 16);
  let c = v128.load(columns, 32);
  let d = v128.load(columns, 48);
  let e = v128.load(columns, 64);
  let f = v128.load(columns, 80);
  let g = v128.load(columns, 96);
  let h = v128.load(columns, 112);
  for (let row: u32 = 0; row < rows; row++) {
    if (dtype == F16 && isNormal16(source) && isNormal16(source + 32)) {
      a = f32x4.add(a, sum4(F16_NORMAL, from, source, target, kept));
      b = f32x4.add(b, sum4(F16_NORMAL, from + 16, source + size, target + 16, kept + 16));
      c = f32x4.add(c, sum4(F16_NORMAL, from + 32, source + size * 2, target + 32, kept + 32));
      d = f32x4.add(d, sum4(F16_NORMAL, from + 48, source + size * 3, target + 48, kept + 48));
      e = f32x4.add(e, sum4(F16_NORMAL, from + 64, source + size * 4, target + 64, kept + 64));
      f = f32x4.add(f, sum4(F16_NORMAL, from + 80, source + size * 5, target + 80, kept + 80));
      g = f32x4.add(g, sum4(F16_NORMAL, from + 96, source + size * 6, target + 96, kept + 96));
      h = f32x4.add(h, sum4(F16_NORMAL, from + 112, source + size * 7, target + 112, kept + 112));
    } else {
      if (dtype == F16 && !(isFinite16(source) && isFinite16(source + 32))) {
        memory.copy(kept, from, (<usize>(rows - row) * 4) * ROW);
        return false;
      }
      a = f32x4.add(a, sum4(dtype, from, source, target, kept));
      b = f32x4.add(b, sum4(dtype, from + 16, source + size, target + 16, kept + 16));
      c = f32x4.add(c, sum4(dtype, from + 32, source + size * 2, target + 32, kept + 32));
      d = f32x4.add(d, sum4(dtype, from + 48, source + size * 3, target + 48, kept + 48));
      e = f32x4.add(e, sum4(dtype, from + 64, source + size * 4, target + 64, kept + 64));
      f = f32x4.add(f, sum4(dtype, from + 80, source + size * 5, target + 80, kept + 80));
      g = f32x4.add(g, sum4(dtype, from + 96, source + size * 6, target + 96, kept + 96));
      h = f32x4.add(h, sum4(dtype, from + 112, source + size * 7, target + 112, kept + 112));
    }
    from += 4 * ROW;
    source += size * 8;
    target += 4 * ROW;
    kept += 4 * ROW;
  }
  if (!isFinite4(a, b, c, d) || !isFinite4(e, f, g, h)) {
    return false;
  }
  v128.store(columns, a);
  v128.store(columns, b, 16);
  v128.store(columns, c, 32);
  v128.store(columns, d, 48);
  v128.store(columns, e, 64);
  v128.store(columns, f, 80);
  v128.store(columns, g, 96);
  v128.store(columns, h, 112);
  return true;
}

/** In two passes, whatever the values. */
function addApart(dtype: u32, from: usize, source: usize, target: usize, count: u32): void {
  memory.copy(target, from, (<usize>count) << 2);
  add(dtype, source, target, count, ADD);
}

@inline
function addAll(dtype: u32, from: usize, source: usize, target: usize, count: u32, state: usize): void {
  if (count == 0) {
    return;
  }
  if (hasUnfinishedRow(state)) {
    unreachable(); // nobody calls so
  }
  const columns = columnsOf(state);
  const kept = keptRows(state);
  for (let left = count / ROW; left > 0; ) {
    const batch = rowsAhead(state, min(left, KEPT_ROWS));
    const elements = batch * ROW;
    if (!addPlain(dtype, from, source, target, batch, columns, kept)) {
      addApart(dtype, kept, source, target, elements);
      addRows(columns, target, 4 * ROW, batch, ROW);
    }
    rowsAdded(state, batch);
    from += elements << 2;
    source += (<usize>elements) << sizeShift(dtype);
    target += elements << 2;
    left -= batch;
  }
  const rest = count % ROW;
  addApart(dtype, from, source, target, rest);
  sumPush(state, target, rest);
}

/** See Kernel.addSummed. */
export function addSummed(dtype: u32, source: usize, from: usize, target: usize, count: u32, state: usize): void {
  if (dtype == F16) {
    addAll(F16, from, source, target, count, state);
  } else if (dtype == BF16) {
    addAll(BF16, from, source, target, count, state);
  } else if (dtype == F32) {
    addAll(F32, from, source, target, count, state);
  } else {
    addAll(F64, from, source, target, count, state);
  }
}
