/** Codes and decodes whole windows with a kernel's coder: puts tables into its memory, runs the loops, and checks a window's end (docs/formats.md 3.3). */
import { type ErrorPlace, WeightDiffError } from "../../errors.js";
import { aloneBytes, type Choice, chooseTables } from "../../formats/coded/tables.js";
import type { Unit } from "../../formats/coded/units.js";
import { type Cluster, type CodedWindow, MODE, readWindow, writeWindowStart } from "../../formats/coded/window.js";
import { CODER_BYTES, COUNTER_BYTES, ENTRY_BYTES, LANES, LEAST_LANE, SLOTS, STATE } from "../../kernel/coder.js";
import type { Kernel } from "../../kernel/kernel.js";
import type { CoderAreas } from "../io/memory.js";

/** The result of coding a window. */
interface Coded {
  /** The length in bytes: at most one more than that of the units. */
  readonly bytes: number;
  /** How many units have the same bits as the base's. */
  readonly unchanged: number;
}

export interface Plain {
  /** Where the units of the base (+0 if it lacks them) and of the tuned tensor are. */
  readonly from: number;
  readonly tuned: number;
  readonly units: number;
}

/**
 * Codes a window of at most WINDOW_UNITS units into `target`: the base's own bits, given the base, alone, or stored, whichever is
 * smallest.
 */
export function encodeWindow(kernel: Kernel, areas: CoderAreas, unit: Unit, plain: Plain, target: number): Coded {
  const { from, tuned, units } = plain;
  const memory = Buffer.from(kernel.memory);
  const bytes = units * unit.width;
  const own = memory.subarray(tuned, tuned + bytes);
  if (own.equals(memory.subarray(from, from + bytes))) {
    memory[target] = MODE.base;
    return { bytes: 1, unchanged: units };
  }
  const tokenise = (alone: boolean): Choice => {
    memory.fill(0, areas.histogram, areas.histogram + COUNTER_BYTES);
    const histogram = new Uint32Array(kernel.memory, areas.histogram, 256 * 256);
    setState(kernel, areas, areas.wordsEnd, { words: 0, extra: areas.extra, extraEnd: 0 });
    kernel.tokenise(unit, alone, { ...areas, from, tuned }, units);
    return chooseTables(histogram, unit, alone, units);
  };
  const given = tokenise(false);
  const unchanged = countUnchanged(kernel, areas);
  const alone = aloneBytes(memory.subarray(tuned, tuned + bytes), unit, given.bytes) < given.bytes;
  const choice = alone ? tokenise(true) : given;
  const length = choice.bytes > 2 * bytes ? 0 : writeCoded(kernel, areas, choice.clusters, alone, units, target, bytes);
  if (length > 0) {
    return { bytes: length, unchanged };
  }
  memory[target] = MODE.stored;
  memory.copyWithin(target + 1, tuned, tuned + bytes);
  return { bytes: 1 + bytes, unchanged };
}

/** How many units have the difference 0, by the counts of all classes. */
function countUnchanged(kernel: Kernel, { histogram }: CoderAreas): number {
  const counts = new Uint32Array(kernel.memory, histogram, 256 * 256);
  let sum = 0;
  for (let at = 0; at < counts.length; at += 256) {
    sum += counts[at] ?? 0;
  }
  return sum;
}

/** Turns tokens into a window. @returns its length in bytes; 0 if it would be longer than the units. */
function writeCoded(
  kernel: Kernel,
  areas: CoderAreas,
  clusters: readonly Cluster[],
  alone: boolean,
  units: number,
  target: number,
  bytes: number,
): number {
  const memory = Buffer.from(kernel.memory);
  const view = new DataView(kernel.memory);
  eachTable(kernel, areas, clusters, 256 * ENTRY_BYTES, ({ table }, at) => {
    const entries = new Uint32Array(kernel.memory, at, table.length * (ENTRY_BYTES / 4));
    let before = 0;
    for (let token = 0; token < table.length; token++) {
      const frequency = table[token] ?? 0;
      // Doubles are exact enough: a quotient that is not a whole number lies at least 1 / 2048 from one.
      const reciprocal = frequency === 0 ? 0 : Math.ceil(2 ** 43 / frequency);
      entries[4 * token] = reciprocal % 2 ** 32;
      entries[4 * token + 1] = Math.floor(reciprocal / 2 ** 32);
      entries[4 * token + 2] = frequency;
      entries[4 * token + 3] = before;
      before += frequency;
    }
  });
  const end = areas.wordsEnd;
  view.setUint32(areas.state + STATE.words, end, true);
  kernel.encode(units, { ...areas, tables: areas.classTables });
  const words = view.getUint32(areas.state + STATE.words, true);
  const extraEnd = areas.extra + Math.ceil(view.getUint32(areas.state + STATE.bits, true) / 8);
  const start = writeWindowStart(alone ? "alone" : "given", clusters, (end - words) / 2);
  const length = start.length + 4 * LANES + (end - words) + (extraEnd - areas.extra);
  if (length > bytes) {
    return 0;
  }
  let at = target;
  memory.set(start, at);
  at += start.length;
  for (const [from, to] of [
    [areas.state, areas.state + 4 * LANES],
    [words, end],
    [areas.extra, extraEnd],
  ] as const) {
    memory.copyWithin(at, from, to);
    at += to - from;
  }
  return length;
}

/** Decodes a window block by block, in order. */
export interface WindowDecoder {
  /** Decodes the next units. All calls but the last take a multiple of LANES units. @param from where the base's units are, +0 if it lacks them. @throws {WeightDiffError} FORMAT_INVALID. */
  decode(from: number, target: number, units: number): void;
  /** Call it after the last units. @throws {WeightDiffError} FORMAT_INVALID if bytes are left over. */
  end(): void;
}

/**
 * Starts to decode the window of `length` bytes at `at`, which stands for `units` units. Only one at a time may use the areas.
 * @throws {WeightDiffError} FORMAT_INVALID.
 */
export function decodeWindow(
  kernel: Kernel,
  areas: CoderAreas,
  unit: Unit,
  { at, length, units }: { readonly at: number; readonly length: number; readonly units: number },
  place: ErrorPlace,
): WindowDecoder {
  const { width } = unit;
  const memory = Buffer.from(kernel.memory);
  const window = readWindow(memory.subarray(at, at + length), unit, units * width, place);
  if (window.mode === "base" || window.mode === "stored") {
    let next = at + (window.mode === "stored" ? window.at : 0);
    return {
      decode(from, target, count) {
        const source = window.mode === "base" ? from : next;
        memory.copyWithin(target, source, source + count * width);
        next += count * width;
      },
      end() {},
    };
  }
  return decodeCoded(kernel, areas, unit, window, { at, length }, place);
}

function decodeCoded(
  kernel: Kernel,
  areas: CoderAreas,
  unit: Unit,
  window: Extract<CodedWindow, { mode: "alone" | "given" }>,
  { at, length }: { readonly at: number; readonly length: number },
  place: ErrorPlace,
): WindowDecoder {
  const memory = Buffer.from(kernel.memory);
  const view = new DataView(kernel.memory);
  const alone = window.mode === "alone";
  eachTable(kernel, areas, window.clusters, SLOTS * 4, ({ table }, at) => {
    const entries = new Uint32Array(kernel.memory, at, SLOTS);
    let slot = 0;
    for (let token = 0; token < table.length; token++) {
      const frequency = table[token] ?? 0;
      const entry = (token << 23) | (frequency << 11);
      for (let offset = 0; offset < frequency; offset++) {
        entries[slot++] = entry | offset;
      }
    }
  });
  const extra = at + window.extra;
  setState(kernel, areas, at + window.words, { words: extra, extra, extraEnd: at + length });
  memory.copyWithin(areas.state, at + window.lanes, at + window.words);
  const invalid = (what: string): WeightDiffError =>
    new WeightDiffError("FORMAT_INVALID", `a coded window ${what}`, "the file is damaged: get it again", { at: place });
  const places = { state: areas.state, tokens: areas.tokens, tables: areas.classTables };
  return {
    decode(from, target, count) {
      if (!kernel.decode(unit, alone, { ...places, from, target }, count)) {
        throw invalid("ends before its units do");
      }
    },
    end() {
      const word = (offset: number): number => view.getUint32(areas.state + offset, true);
      const bits = word(STATE.bits);
      const lanes = Array.from({ length: LANES }, (_, lane) => word(4 * lane));
      const whole = lanes.every((lane) => lane === LEAST_LANE) && word(STATE.words) === extra;
      const spare = 8 * (at + length - extra) - bits;
      const last = memory[at + length - 1] ?? 0;
      if (!whole || spare < 0 || spare > 7 || (spare > 0 && last >> (8 - spare) !== 0)) {
        throw invalid("does not end where its units do");
      }
    },
  };
}

/** Sets up a coder's state for the start of a window. @param words the position of the first word. */
function setState(
  kernel: Kernel,
  areas: CoderAreas,
  words: number,
  ends: { readonly words: number; readonly extra: number; readonly extraEnd: number },
): void {
  const view = new DataView(kernel.memory, areas.state, CODER_BYTES);
  for (let lane = 0; lane < LANES; lane++) {
    view.setUint32(4 * lane, LEAST_LANE, true);
  }
  view.setUint32(STATE.words, words, true);
  view.setUint32(STATE.wordsEnd, ends.words, true);
  view.setUint32(STATE.extra, ends.extra, true);
  view.setUint32(STATE.extraEnd, ends.extraEnd, true);
  view.setUint32(STATE.bits, 0, true);
}

/** Writes the clusters' tables, one after the other, and the list that gives each class its table. */
function eachTable(
  kernel: Kernel,
  areas: CoderAreas,
  clusters: readonly Cluster[],
  bytes: number,
  fill: (cluster: Cluster, at: number) => void,
): void {
  const byClass = new Uint32Array(kernel.memory, areas.classTables, 256);
  let group = 0;
  clusters.forEach((cluster, index) => {
    const table = areas.tables + index * bytes;
    fill(cluster, table);
    byClass.fill(table, group, cluster.last + 1);
    group = cluster.last + 1;
  });
}
