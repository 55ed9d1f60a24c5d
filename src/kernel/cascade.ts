/**
 * torch's sums of F32 on a CPU with 8 lanes and one thread, one element at a time (docs/arithmetic.md 5, 6). Elements and results are F32
 * bit patterns. If two NaNs meet, the accumulator's stays; torch itself is not consistent there.
 */
import { addBits, divideBits } from "./bits.js";

const LANES = 8;

/** Takes elements in order, any number at a time. */
export interface Accumulator {
  push(bits: number): void;
  /** F32 bits: one value for a sum, one for each column of a mean. */
  result(): readonly number[];
}

interface Column {
  push(bits: number): void;
  result(): number;
}

/** One column of `rows` rows: four accumulators, each flushed into the next (docs/arithmetic.md 5). */
function createColumn(rows: number): Column {
  const step = 2 ** Math.max(4, Math.floor(ceilLog2(rows) / 4));
  let [l0, l1, l2, l3, done] = [0, 0, 0, 0, 0];
  return {
    push(bits) {
      l0 = addBits(l0, bits);
      done++;
      if (done % step === 0) {
        l1 = addBits(l1, l0);
        l0 = 0;
        if (done % step ** 2 === 0) {
          l2 = addBits(l2, l1);
          l1 = 0;
          if (done % step ** 3 === 0) {
            l3 = addBits(l3, l2);
            l2 = 0;
          }
        }
      }
    },
    result: () => [l1, l2, l3].reduce(addBits, l0),
  };
}

/** torch's CeilLog2: 1 for up to two rows. */
function ceilLog2(rows: number): number {
  let log = 1;
  while (2 ** log < rows) {
    log++;
  }
  return log;
}

function createColumns(count: number, rows: number): readonly Column[] {
  return Array.from({ length: count }, () => createColumn(rows));
}

/** The sum of `total` contiguous elements (docs/arithmetic.md 6). */
export function createSum(total: number): Accumulator {
  const lanes = total < LANES ? 1 : LANES;
  const rows = Math.floor(total / (4 * lanes));
  const columns = createColumns(4 * lanes, rows);
  const rest: number[] = [];
  let pushed = 0;
  return {
    push(bits) {
      if (pushed < rows * columns.length) {
        columns[pushed % columns.length]?.push(bits);
      } else {
        rest.push(bits);
      }
      pushed++;
    },
    result() {
      const sums = columns.map((column) => column.result());
      const tail = rest.length % lanes;
      // Step 2: whole vectors into the first, then the other three vectors of columns.
      const vectors = [...rest.slice(0, rest.length - tail), ...sums.slice(lanes)];
      const first = sums.slice(0, lanes).map((sum, lane) => {
        return vectors.filter((_, i) => i % lanes === lane).reduce(addBits, sum);
      });
      // Step 3: the tail before the lanes, from zero.
      return [[...rest.slice(rest.length - tail), ...first].reduce(addBits, 0)];
    },
  };
}

/** The mean of `rows` rows, for each of `columns` columns; elements come in row order (docs/arithmetic.md 5). */
export function createMean(rows: number, columns: number): Accumulator {
  if (columns === 1) {
    const sum = createSum(rows);
    return { push: sum.push, result: () => sum.result().map((bits) => divideBits(bits, rows)) };
  }
  const width = columns < LANES ? 4 : 4 * LANES;
  const plainColumns = width * Math.floor(columns / width);
  const plain = createColumns(plainColumns, rows);
  const tail = Array.from({ length: columns - plainColumns }, () => createTailColumn(rows));
  let next = 0;
  return {
    push(bits) {
      (plain[next] ?? tail[next - plainColumns])?.push(bits);
      next = (next + 1) % columns;
    },
    result: () => [...plain, ...tail].map((column) => divideBits(column.result(), rows)),
  };
}

/** "Row sum": four interleaved cascades, then the remaining rows, then the four together. */
function createTailColumn(rows: number): Column {
  const quarter = Math.floor(rows / 4);
  const streams = createColumns(4, quarter);
  const rest: number[] = [];
  let pushed = 0;
  return {
    push(bits) {
      if (pushed < 4 * quarter) {
        streams[pushed % 4]?.push(bits);
      } else {
        rest.push(bits);
      }
      pushed++;
    },
    result() {
      const [first = 0, ...others] = streams.map((stream) => stream.result());
      return [...rest, ...others].reduce(addBits, first);
    },
  };
}
