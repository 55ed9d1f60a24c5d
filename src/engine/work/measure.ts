/** Measures how far a tensor lies from its base, block by block while it is made: sums, counts, and the rows that moved most. */
import { extraBits, type Unit, unitOf } from "../../formats/coded/units.js";
import { type Dtype, elementCount, isFloatDtype } from "../../formats/dtype.js";
import type { Kernel } from "../../kernel/kernel.js";
import { BANKS, LENGTHS, MEASURE_BYTES, stepsOf } from "../../kernel/measure.js";
import type { MemoryPlan } from "../io/memory.js";
import type { TensorJob } from "../job/job.js";
import { narrowerColumns, operandDtype, widthOf } from "../job/operand.js";
import type { Measured, MeasuredRow } from "../job/result.js";
import { bringBase } from "./base.js";
import type { Part } from "./stage.js";

export interface MeasureRun {
  /** Takes elements [first, first + items): those of the tensor, at `outAt`, and those of its operands. Blocks come in order. */
  take(first: number, items: number, outAt: number, parts: readonly Part[]): void;
  finish(): Measured;
}

/** How many rows are reported for each embedding. */
const MOST_ROWS = 20;
/** Counters of 32 bits are emptied before they can overflow. */
const MOST_COUNTED = 2 ** 31;

/** Null if the job wants no measurement. */
export function startMeasure(job: TensorJob, kernel: Kernel, areas: MemoryPlan): MeasureRun | null {
  const { measure: wanted } = job;
  const room = areas.measure;
  if (wanted === undefined || room === null) {
    return null;
  }
  const elements = elementCount(job.shape) ?? 0;
  const zero = wanted.base === "zero";
  const index = zero ? 0 : wanted.base;
  const term = index === null ? undefined : [job.start, ...job.terms][index as number];
  const base = term === undefined || narrowerColumns(job, term.operand) !== null ? null : operandDtype(term.operand);
  if (base === null || index === null) {
    return {
      take: () => {},
      finish: () => ({ elements, compared: 0, changed: 0, values: null, units: null, rows: [] }),
    };
  }
  const memory = new Uint8Array(kernel.memory);
  const floats = isFloatDtype(base) && isFloatDtype(job.dtype);
  const unit = floats && job.dtype !== "F64" ? unitOf(job.dtype) : null;
  const counts = startCounts(kernel, areas, unit);
  const columns = job.shape.length === 2 && wanted.rows ? (job.shape[1] ?? 0) : 0;
  const rows = columns > 0 && floats ? startRows(kernel, room.base, room.tuned, columns) : null;
  memory.fill(0, room.state, room.state + MEASURE_BYTES);
  /** Gives that many zeros of the job's dtype. */
  const zeros = (items: number): Part => {
    memory.fill(0, room.zeros, room.zeros + items * widthOf(job.dtype));
    return { at: room.zeros, stored: items };
  };
  let compared = 0;
  let changed = 0;
  return {
    take(first, items, outAt, parts) {
      const part = zero ? zeros(items) : (parts[index as number] ?? { at: 0, stored: 0 });
      const count = Math.min(items, part.stored);
      compared += count;
      if (count === 0) {
        return;
      }
      if (!isFloatDtype(base) || !isFloatDtype(job.dtype)) {
        changed += base === job.dtype ? differentElements(memory, part.at, outAt, count, widthIn(base)) : count;
        return;
      }
      kernel.widen(base, part.at, room.base, count);
      kernel.widen(job.dtype, outAt, room.tuned, count);
      if (unit === null || base !== job.dtype) {
        changed += kernel.countDifferent(room.base, room.tuned, count);
      }
      kernel.measureValues(room.base, room.tuned, count, room.state);
      rows?.take(first, count);
      if (unit !== null) {
        const ready = base === job.dtype;
        if (!ready) {
          const from = { dtype: base, part: { at: part.at, stored: count } };
          bringBase(kernel, areas, from, { dtype: job.dtype, items: count, target: room.units });
        }
        counts.take(ready ? part.at : room.units, outAt, count);
      }
    },
    finish() {
      const [difference = 0, ofBase = 0, ofTuned = 0, product = 0, most = 0] = new Float64Array(
        memory.slice(room.state, room.state + MEASURE_BYTES).buffer,
      );
      const values = floats ? { difference, base: ofBase, tuned: ofTuned, product, most } : null;
      const units = counts.finish();
      // Where the base is not rounded, a distance of 0 is the same bits.
      const moved = units !== null && base === job.dtype ? compared - (units.steps[0] ?? 0) : changed;
      return { elements, compared, changed: moved, values, units, rows: rows?.finish() ?? [] };
    },
  };
}

function widthIn(dtype: Dtype): number {
  return unitOf(dtype).width * (dtype === "I64" || dtype === "U64" ? 2 : 1);
}

function differentElements(memory: Uint8Array, one: number, two: number, count: number, width: number): number {
  let different = 0;
  for (let i = 0; i < count * width; i += width) {
    let same = true;
    for (let k = i; k < i + width; k++) {
      same &&= memory[one + k] === memory[two + k];
    }
    different += same ? 0 : 1;
  }
  return different;
}

interface Counts {
  take(base: number, tuned: number, units: number): void;
  finish(): Measured["units"];
}

/** The kernel's counters of 32 bits, and totals that hold what was in them each time they were cleared. */
function startCounts(kernel: Kernel, { measure: room }: MemoryPlan, unit: Unit | null): Counts {
  if (room === null || unit === null) {
    return { take: () => {}, finish: () => null };
  }
  const counters = new Uint32Array(kernel.memory, room.histogram, CLASSES * TOKENS * BANKS);
  const onesCounters = new Uint32Array(kernel.memory, room.ones, LENGTHS);
  const ones = new Float64Array(LENGTHS);
  let earlier: Float64Array | null = null;
  let counted = 0;
  const empty = (): void => {
    const sums = earlier ?? new Float64Array(counters.length);
    earlier = sums;
    counters.forEach((count, at) => {
      sums[at] = (sums[at] ?? 0) + count;
    });
    counters.fill(0);
    emptyOnes();
    counted = 0;
  };
  const emptyOnes = (): void => {
    onesCounters.forEach((count, at) => {
      ones[at] = (ones[at] ?? 0) + count;
    });
    onesCounters.fill(0);
  };
  counters.fill(0);
  onesCounters.fill(0);
  return {
    take(base, tuned, units) {
      if (counted + units > MOST_COUNTED) {
        empty();
      }
      counted += units;
      kernel.measureUnits(unit, { base, tuned, histogram: room.histogram, ones: room.ones }, units);
    },
    finish() {
      emptyOnes();
      const tokens = new Float64Array(TOKENS);
      const own = new Float64Array(TOKENS);
      let bits = 0;
      for (let group = 0; group < CLASSES; group++) {
        if (earlier !== null || isCounted(counters, group)) {
          tokensOf(counters, earlier, group, own);
          bits = addEntropy(bits, own, unit);
          own.forEach((count, token) => {
            tokens[token] = (tokens[token] ?? 0) + count;
          });
        }
      }
      return { steps: stepsOf(unit, tokens, ones), bits };
    },
  };
}

const CLASSES = 256;
const TOKENS = 256;

/** The bytes of the counters of one class. */
const CLASS_BYTES = 4 * TOKENS * BANKS;
const NOTHING = Buffer.alloc(CLASS_BYTES);

/** Most classes are empty, and there may be many small tensors. Comparing bytes is faster than a loop over the counters. */
function isCounted(counters: Uint32Array, group: number): boolean {
  const at = counters.byteOffset + group * CLASS_BYTES;
  return !NOTHING.equals(new Uint8Array(counters.buffer, at, CLASS_BYTES));
}

/** Writes to `own` how many differences of a class have each token. */
function tokensOf(counters: Uint32Array, earlier: Float64Array | null, group: number, own: Float64Array): void {
  for (let token = 0; token < TOKENS; token++) {
    let count = 0;
    for (let at = (group * TOKENS + token) * BANKS, end = at + BANKS; at < end; at++) {
      count += (counters[at] ?? 0) + (earlier?.[at] ?? 0);
    }
    own[token] = count;
  }
}

/**
 * Adds to `bits` what the differences of one class would cost, coded by an ideal coder that knows the base's exponents
 * (docs/formats.md 3).
 */
function addEntropy(bits: number, own: Float64Array, unit: Unit): number {
  const total = own.reduce((sum, count) => sum + count, 0);
  return own.reduce(
    (sum, count, token) =>
      count === 0 ? sum : sum + count * (Math.log2(total / count) + extraBits(unit, false, token)),
    bits,
  );
}

/** NaN counts as the largest move, since a user who looks for what changed most wants to see it. */
function distance({ difference }: { readonly difference: number }): number {
  return Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference;
}

/** Sums the squares of whole rows, wherever blocks end, and keeps the largest rows. */
function startRows(kernel: Kernel, base: number, tuned: number, columns: number) {
  const ours = new Float32Array(kernel.memory, tuned);
  const theirs = new Float32Array(kernel.memory, base);
  const top: MeasuredRow[] = [];
  let open = { difference: 0, base: 0 };
  const close = (row: number): void => {
    const least = top.at(-1);
    const moved = distance(open);
    if (moved > 0 && (top.length < MOST_ROWS || least === undefined || moved > distance(least))) {
      top.push({ row, ...open });
      // Of equal rows, the first one comes first.
      top.sort((a, b) => distance(b) - distance(a) || a.row - b.row);
      top.length = Math.min(top.length, MOST_ROWS);
    }
    open = { difference: 0, base: 0 };
  };
  return {
    take(first: number, count: number): void {
      for (let i = 0; i < count; ) {
        const row = Math.floor((first + i) / columns);
        const end = Math.min(count, (row + 1) * columns - first);
        let { difference, base: squares } = open;
        for (; i < end; i++) {
          const b = theirs[i] ?? 0;
          const d = (ours[i] ?? 0) - b;
          difference += d * d;
          squares += b * b;
        }
        open = { difference, base: squares };
        if (first + i === (row + 1) * columns) {
          close(row);
        }
      }
    },
    finish: (): readonly MeasuredRow[] => top,
  };
}
