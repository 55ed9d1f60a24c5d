/**
 * One coded window (docs/formats.md 3.3): its mode; then, if the mode is a coded one, the table of each cluster of classes, the number of words,
 * the eight lanes, the words and the extra bits. All numbers are little-endian.
 */
import { type ErrorPlace, WeightDiffError } from "../../errors.js";
import { DAMAGED } from "../damage.js";
import { highestToken, type Unit } from "./units.js";

/** How a window is coded. */
export const MODE = { base: 0, stored: 1, alone: 2, given: 3 } as const;
/** Frequencies of a table add up to this. */
const TOTAL = 2048;
export const MOST_CLUSTERS = 32;
/** Eight lanes of 4 bytes. */
const LANE_BYTES = 32;

/** The frequency of each token, from token 0 on. */
export type Table = readonly number[];

/** Classes that share a table: those up to `last` that no earlier cluster has. */
export interface Cluster {
  readonly last: number;
  readonly table: Table;
}

/** The parts of a window. Positions are in bytes, from the window's first byte. */
export type CodedWindow =
  | { readonly mode: "base" }
  | { readonly mode: "stored"; readonly at: number }
  | {
      readonly mode: "alone" | "given";
      readonly clusters: readonly Cluster[];
      readonly lanes: number;
      readonly words: number;
      /** The extra bits begin where the words end, and fill the rest of the window. */
      readonly extra: number;
    };

/** The most bytes that a coded window can take. @param plain its length when it is decoded. */
export function mostBytes(plain: number): number {
  return plain + 1;
}

/**
 * Takes a window apart. @param bytes the whole window. @param plain its length in bytes when it is decoded.
 * @throws {WeightDiffError} FORMAT_INVALID.
 */
export function readWindow(bytes: Uint8Array, unit: Unit, plain: number, at: ErrorPlace): CodedWindow {
  const invalid = (what: string): WeightDiffError =>
    new WeightDiffError("FORMAT_INVALID", `a coded window ${what}`, DAMAGED, { at });
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let next = 0;
  const byte = (): number => {
    const value = bytes[next++];
    if (value === undefined) {
      throw invalid("ends in its tables");
    }
    return value;
  };
  const mode = byte();
  if (mode === MODE.base || mode === MODE.stored) {
    const expected = mode === MODE.base ? 1 : 1 + plain;
    if (bytes.length !== expected) {
      throw invalid(`has ${bytes.length} bytes, and its mode takes ${expected}`);
    }
    return mode === MODE.base ? { mode: "base" } : { mode: "stored", at: 1 };
  }
  if (mode !== MODE.alone && mode !== MODE.given) {
    throw invalid(`has the unknown mode ${mode}`);
  }
  const alone = mode === MODE.alone;
  const count = byte() + 1;
  const lasts = Array.from({ length: count > MOST_CLUSTERS ? 0 : count }, byte);
  if (count > MOST_CLUSTERS || lasts.at(-1) !== 255 || lasts.some((last, i) => last <= (lasts[i - 1] ?? -1))) {
    throw invalid("has clusters that are not every class once");
  }
  const most = highestToken(unit, alone);
  const clusters = lasts.map((last): Cluster => {
    const table: number[] = [];
    const length = byte() + 1;
    let total = 0;
    while (table.length < length) {
      const low = byte();
      const frequency = low < 128 ? low : (low & 127) | (byte() << 7);
      const repeats = frequency === 0 ? byte() + 1 : 1;
      for (let i = 0; i < repeats; i++) {
        table.push(frequency);
      }
      total += frequency;
    }
    if (table.length !== length || length - 1 > most || total !== TOTAL) {
      throw invalid(`has a table of ${table.length} frequencies that add up to ${total}, not ${TOTAL}`);
    }
    return { last, table };
  });
  const lanes = next + 4;
  const words = lanes + LANE_BYTES;
  const wordCount = words <= bytes.length ? view.getUint32(next, true) : 0;
  const extra = words + 2 * wordCount;
  if (extra > bytes.length) {
    throw invalid(`has ${bytes.length} bytes, and its words alone take ${extra}`);
  }
  return { mode: alone ? "alone" : "given", clusters, lanes, words, extra };
}

/** Writes the part of a coded window that comes before its lanes. */
export function writeWindowStart(mode: "alone" | "given", clusters: readonly Cluster[], wordCount: number): Uint8Array {
  const bytes = [MODE[mode], clusters.length - 1, ...clusters.map(({ last }) => last)];
  for (const { table } of clusters) {
    bytes.push(table.length - 1);
    for (let token = 0; token < table.length; ) {
      const frequency = table[token] ?? 0;
      if (frequency > 0) {
        bytes.push(...(frequency < 128 ? [frequency] : [(frequency & 127) | 128, frequency >> 7]));
        token++;
      } else {
        const end = table.findIndex((other, i) => i > token && other > 0);
        bytes.push(0, end - token - 1);
        token = end;
      }
    }
  }
  for (let shift = 0; shift < 32; shift += 8) {
    bytes.push((wordCount >>> shift) & 255);
  }
  return Uint8Array.from(bytes);
}
