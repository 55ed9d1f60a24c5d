/**
 * `W.mean(dim=0)` of an F32 matrix in one pass, by lanes, on one thread (docs/arithmetic.md 5). The first columns, a multiple of 32, are
 * plain cascades. The others ("tail") are four cascades each: stream k takes rows k, k+4, k+8 …, and stream 0 takes the last rows % 4 rows
 * at its end. A single column is a contiguous sum.
 */
import { addRows, cascadeShift, collapse, flush } from "./cascade";
import { SUM_BYTES, sumBegin, sumBits, sumPush } from "./sum";

/** State: u64 rows, u64 rows done, u32 columns, u32 columns done of the next row, u32 shift of plain, u32 of tail; the levels. */
const ROWS: usize = 0;
const DONE: usize = 8;
const COLUMNS: usize = 16;
const POSITION: usize = 20;
const SHIFT: usize = 24;
const TAIL_SHIFT: usize = 28;
const LEVELS: usize = 32;

function plainColumns(columns: u32): u32 {
  return columns < 8 ? columns & ~3 : columns & ~31;
}

/** See Kernel.meanBytes. At most 2^24 columns, so that the bytes fit 32 bits. */
export function meanBytes(columns: u32): u32 {
  if (columns == 1) {
    return <u32>LEVELS + SUM_BYTES;
  }
  const plain = plainColumns(columns);
  return <u32>LEVELS + 16 * plain + 64 * (columns - plain);
}

/** See Kernel.meanBegin. */
export function meanBegin(state: usize, rows: f64, columns: u32): void {
  memory.fill(state, 0, meanBytes(columns));
  store<u64>(state, <u64>rows, ROWS);
  store<u32>(state, columns, COLUMNS);
  store<u32>(state, cascadeShift(<u64>rows), SHIFT);
  store<u32>(state, cascadeShift(<u64>rows / 4), TAIL_SHIFT);
  if (columns == 1) {
    sumBegin(state + LEVELS, rows);
  }
}

/** See Kernel.meanPush. */
export function meanPush(state: usize, at: usize, count: u32): void {
  const columns = load<u32>(state, COLUMNS);
  if (columns == 1) {
    sumPush(state + LEVELS, at, count);
    return;
  }
  while (count > 0) {
    const position = load<u32>(state, POSITION);
    if (position > 0 || count < columns) {
      const taken = min(columns - position, count);
      pushPart(state, at, position, position + taken);
      at += (<usize>taken) << 2;
      count -= taken;
    } else {
      const rows = pushRows(state, at, count / columns);
      at += (<usize>rows * columns) << 2;
      count -= rows * columns;
    }
  }
}

/** Columns [from, to) of the next row. */
function pushPart(state: usize, at: usize, from: u32, to: u32): void {
  const columns = load<u32>(state, COLUMNS);
  const plain = plainColumns(columns);
  const middle = max(from, min(to, plain));
  addRows(state + LEVELS + ((<usize>from) << 2), at, 0, 1, middle - from);
  if (to > middle) {
    tailPart(state, load<u64>(state, DONE), at + ((<usize>(middle - from)) << 2), middle - plain, to - plain);
  }
  if (to < columns) {
    store<u32>(state, to, POSITION);
    return;
  }
  store<u32>(state, 0, POSITION);
  tailRowEnd(state, load<u64>(state, DONE));
  plainRowsEnd(state, 1);
}

/** Adds whole rows up to the next flush. @returns how many. */
function pushRows(state: usize, at: usize, available: u32): u32 {
  const done = load<u64>(state, DONE);
  const columns = load<u32>(state, COLUMNS);
  const step: u64 = (<u64>1) << load<u32>(state, SHIFT);
  const rows = <u32>min<u64>(available, step - (done & (step - 1)));
  const plain = plainColumns(columns);
  const stride = (<usize>columns) << 2;
  addRows(state + LEVELS, at, stride, rows, plain);
  if (columns > plain) {
    const tail = at + ((<usize>plain) << 2);
    for (let i: u32 = 0; i < rows; i++) {
      tailPart(state, done + i, tail + <usize>i * stride, 0, columns - plain);
      tailRowEnd(state, done + i);
    }
  }
  plainRowsEnd(state, rows);
  return rows;
}

function plainRowsEnd(state: usize, rows: u32): void {
  const done = load<u64>(state, DONE) + rows;
  store<u64>(state, done, DONE);
  flush(state + LEVELS, plainColumns(load<u32>(state, COLUMNS)), done, load<u32>(state, SHIFT));
}

/** The levels of tail stream k. */
@inline
function stream(state: usize, k: u32): usize {
  const columns = load<u32>(state, COLUMNS);
  const plain = plainColumns(columns);
  return state + LEVELS + 16 * <usize>plain + 16 * <usize>k * (columns - plain);
}

/** Columns [from, to) of the tail in row `row`. */
function tailPart(state: usize, row: u64, at: usize, from: u32, to: u32): void {
  const streamed = load<u64>(state, ROWS) & ~3;
  const k = row < streamed ? <u32>(row & 3) : 0;
  addRows(stream(state, k) + ((<usize>from) << 2), at, 0, 1, to - from);
}

function tailRowEnd(state: usize, row: u64): void {
  const columns = load<u32>(state, COLUMNS);
  const tail = columns - plainColumns(columns);
  const streamed = load<u64>(state, ROWS) & ~3;
  if (tail == 0 || row >= streamed) {
    return;
  }
  const k = <u32>(row & 3);
  flush(stream(state, k), tail, (row >> 2) + 1, load<u32>(state, TAIL_SHIFT));
  if (row + 4 >= streamed) {
    collapse(stream(state, k), tail);
  }
}

/** See Kernel.meanEnd. The state cannot be used afterwards. */
export function meanEnd(state: usize, target: usize): void {
  const columns = load<u32>(state, COLUMNS);
  const rows = <f32>load<u64>(state, ROWS);
  if (columns == 1) {
    store<u32>(state + LEVELS, sumBits(state + LEVELS));
    divide(state + LEVELS, target, 1, rows);
    return;
  }
  const plain = plainColumns(columns);
  collapse(state + LEVELS, plain);
  divide(state + LEVELS, target, plain, rows);
  const tail = columns - plain;
  const sums = stream(state, 0);
  addRows(sums, stream(state, 1), 16 * <usize>tail, 3, tail);
  divide(sums, target + ((<usize>plain) << 2), tail, rows);
}

/** A NaN is already quiet, and division keeps it, so it is copied as bits. */
function divide(sums: usize, target: usize, count: u32, rows: f32): void {
  for (let c: usize = 0; c < count; c++) {
    const sum = load<f32>(sums + (c << 2));
    if (sum != sum) {
      store<u32>(target + (c << 2), load<u32>(sums + (c << 2)));
    } else {
      store<f32>(target + (c << 2), sum / rows);
    }
  }
}
