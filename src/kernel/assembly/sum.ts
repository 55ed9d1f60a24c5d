/** The sum of a contiguous F32 tensor, one thread, 8 lanes (docs/arithmetic.md 6): a cascade over rows of 32 elements. */
import { addBits } from "./bits";
import { addRows, cascadeShift, collapse, flush } from "./cascade";

const COLUMNS: u32 = 32;
const ROW: usize = 128;

/** State: u64 total, u64 rows done, u32 shift, u32 carried elements, the levels, the carry (an unfinished row), rows that are kept. */
const TOTAL: usize = 0;
const DONE: usize = 8;
const SHIFT: usize = 16;
const CARRIED: usize = 20;
const LEVELS: usize = 32;
const CARRY: usize = LEVELS + 4 * ROW;
const KEPT: usize = CARRY + ROW;
/** What add-summed.ts may have to do again: few enough for the nearest cache. */
export const KEPT_ROWS: u32 = 64;
export const SUM_BYTES: u32 = <u32>KEPT + KEPT_ROWS * <u32>ROW;

/** See Kernel.sumBegin. */
export function sumBegin(state: usize, total: f64): void {
  memory.fill(state, 0, KEPT);
  store<u64>(state, <u64>total, TOTAL);
  store<u32>(state, cascadeShift(<u64>total / COLUMNS), SHIFT);
}

/** See Kernel.sumPush. Here any split is allowed; whole rows are fastest. */
export function sumPush(state: usize, at: usize, count: u32): void {
  const carried = load<u32>(state, CARRIED);
  if (carried > 0) {
    const taken = min(COLUMNS - carried, count);
    memory.copy(state + CARRY + ((<usize>carried) << 2), at, (<usize>taken) << 2);
    store<u32>(state, carried + taken, CARRIED);
    if (carried + taken < COLUMNS) {
      return;
    }
    pushRows(state, state + CARRY, 1);
    store<u32>(state, 0, CARRIED);
    at += (<usize>taken) << 2;
    count -= taken;
  }
  const rows = count / COLUMNS;
  const rest = count % COLUMNS;
  pushRows(state, at, rows);
  if (rest > 0) {
    memory.copy(state + CARRY, at + <usize>rows * ROW, (<usize>rest) << 2);
    store<u32>(state, rest, CARRIED);
  }
}

/** How many of `rows` rows can follow before what was summed is moved up. */
@inline
export function rowsAhead(state: usize, rows: u32): u32 {
  const step: u64 = (<u64>1) << load<u32>(state, SHIFT);
  return <u32>min<u64>(rows, step - (load<u64>(state, DONE) & (step - 1)));
}

/** Where the columns' sums are, to which the next rows are added. */
@inline
export function columnsOf(state: usize): usize {
  return state + LEVELS;
}

@inline
export function hasUnfinishedRow(state: usize): bool {
  return load<u32>(state, CARRIED) > 0;
}

/** Its place: room for a row where there is none. */
@inline
export function unfinishedRow(state: usize): usize {
  return state + CARRY;
}

/** Room for KEPT_ROWS rows. */
@inline
export function keptRows(state: usize): usize {
  return state + KEPT;
}

/** `rows` rows were added to the columns: at most rowsAhead. */
export function rowsAdded(state: usize, rows: u32): void {
  const done = load<u64>(state, DONE) + rows;
  store<u64>(state, done, DONE);
  flush(state + LEVELS, COLUMNS, done, load<u32>(state, SHIFT));
}

function pushRows(state: usize, at: usize, rows: u32): void {
  const shift = load<u32>(state, SHIFT);
  let done = load<u64>(state, DONE);
  while (rows > 0) {
    const step: u64 = (<u64>1) << shift;
    const batch = <u32>min<u64>(rows, step - (done & (step - 1)));
    addRows(state + LEVELS, at, ROW, batch, COLUMNS);
    done += batch;
    flush(state + LEVELS, COLUMNS, done, shift);
    at += <usize>batch * ROW;
    rows -= batch;
  }
  store<u64>(state, done, DONE);
}

/** The sum's bits. The state cannot be used afterwards. */
export function sumBits(state: usize): u32 {
  const columns = state + LEVELS;
  const carry = state + CARRY;
  const carried = load<u32>(state, CARRIED);
  const short = load<u64>(state, TOTAL) < 8;
  // Fewer than 8 elements are summed with one lane: 4 columns of one element, and no tail.
  const lanes: u32 = short ? 1 : 8;
  if (short) {
    const rows = carried / 4;
    addRows(columns, carry, 16, rows, 4);
    for (let i = rows * 4; i < carried; i++) {
      addRows(columns, carry + ((<usize>i) << 2), 0, 1, 1);
    }
  } else {
    collapse(columns, COLUMNS);
    addRows(columns, carry, (<usize>lanes) << 2, carried / lanes, lanes);
  }
  addRows(columns, columns + ((<usize>lanes) << 2), (<usize>lanes) << 2, 3, lanes);
  let sum: u32 = 0;
  for (let i: u32 = carried - (carried % lanes); i < carried; i++) {
    sum = addBits(sum, load<u32>(carry + ((<usize>i) << 2)));
  }
  for (let lane: usize = 0; lane < lanes; lane++) {
    sum = addBits(sum, load<u32>(columns + (lane << 2)));
  }
  return sum;
}

/** See Kernel.sumEnd. */
export function sumEnd(state: usize): f32 {
  return reinterpret<f32>(sumBits(state));
}
