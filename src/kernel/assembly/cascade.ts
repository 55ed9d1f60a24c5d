/**
 * torch's cascade of four accumulators for each column (docs/arithmetic.md 5), with columns side by side. `levels` is the address of
 * L0[columns], L1[columns], L2[columns], L3[columns], in F32. If two NaNs meet, the accumulator's stays; torch itself is not consistent
 * there.
 */
import { addBits } from "./bits";

/** log2 of the rows between two flushes, for a column of `rows` rows. */
export function cascadeShift(rows: u64): u32 {
  const log2 = rows <= 2 ? 1 : 64 - <u32>clz<u64>(rows - 1);
  return max<u32>(4, log2 / 4);
}

/** target[c] += row[c] for each of `rows` rows in order. Rows are `stride` bytes apart. */
export function addRows(target: usize, at: usize, stride: usize, rows: u32, columns: u32): void {
  while (columns >= 32) {
    add32(target, at, stride, rows);
    target += 128;
    at += 128;
    columns -= 32;
  }
  while (columns >= 4) {
    add4(target, at, stride, rows);
    target += 16;
    at += 16;
    columns -= 4;
  }
  addEach(target, at, stride, rows, columns);
}

@inline
function add32(target: usize, at: usize, stride: usize, rows: u32): void {
  let a = v128.load(target);
  let b = v128.load(target, 16);
  let c = v128.load(target, 32);
  let d = v128.load(target, 48);
  let e = v128.load(target, 64);
  let f = v128.load(target, 80);
  let g = v128.load(target, 96);
  let h = v128.load(target, 112);
  let row = at;
  for (let i: u32 = 0; i < rows; i++) {
    a = f32x4.add(a, v128.load(row));
    b = f32x4.add(b, v128.load(row, 16));
    c = f32x4.add(c, v128.load(row, 32));
    d = f32x4.add(d, v128.load(row, 48));
    e = f32x4.add(e, v128.load(row, 64));
    f = f32x4.add(f, v128.load(row, 80));
    g = f32x4.add(g, v128.load(row, 96));
    h = f32x4.add(h, v128.load(row, 112));
    row += stride;
  }
  // A NaN never goes away, so one test after the last row is enough.
  const abcd = v128.or(v128.or(f32x4.ne(a, a), f32x4.ne(b, b)), v128.or(f32x4.ne(c, c), f32x4.ne(d, d)));
  const efgh = v128.or(v128.or(f32x4.ne(e, e), f32x4.ne(f, f)), v128.or(f32x4.ne(g, g), f32x4.ne(h, h)));
  if (v128.any_true(v128.or(abcd, efgh))) {
    addEach(target, at, stride, rows, 32);
    return;
  }
  v128.store(target, a);
  v128.store(target, b, 16);
  v128.store(target, c, 32);
  v128.store(target, d, 48);
  v128.store(target, e, 64);
  v128.store(target, f, 80);
  v128.store(target, g, 96);
  v128.store(target, h, 112);
}

@inline
function add4(target: usize, at: usize, stride: usize, rows: u32): void {
  let sum = v128.load(target);
  let row = at;
  for (let i: u32 = 0; i < rows; i++) {
    sum = f32x4.add(sum, v128.load(row));
    row += stride;
  }
  if (v128.any_true(f32x4.ne(sum, sum))) {
    addEach(target, at, stride, rows, 4);
  } else {
    v128.store(target, sum);
  }
}

function addEach(target: usize, at: usize, stride: usize, rows: u32, columns: u32): void {
  for (let c: usize = 0; c < columns; c++) {
    const place = target + (c << 2);
    let sum = load<u32>(place);
    let row = at + (c << 2);
    for (let i: u32 = 0; i < rows; i++) {
      sum = addBits(sum, load<u32>(row));
      row += stride;
    }
    store<u32>(place, sum);
  }
}

/** Adds L0 to the next level, and so on upwards as far as is due after `done` rows in all. */
export function flush(levels: usize, columns: u32, done: u64, shift: u32): void {
  const size = (<usize>columns) << 2;
  let lower = levels;
  for (let level: u32 = 1; level <= 3; level++) {
    if ((done & (((<u64>1) << (shift * level)) - 1)) != 0) {
      return;
    }
    addRows(lower + size, lower, 0, 1, columns);
    memory.fill(lower, 0, size);
    lower += size;
  }
}

/** L0 = ((L0 + L1) + L2) + L3. */
export function collapse(levels: usize, columns: u32): void {
  const size = (<usize>columns) << 2;
  addRows(levels, levels + size, size, 3, columns);
}
