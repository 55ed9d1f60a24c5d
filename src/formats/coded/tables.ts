/**
 * The encoder's choices for a window: which classes share a table, the tables, and what they cost. Integers, and doubles that only
 * multiply: the same everywhere. Another encoder may choose otherwise; a decoder takes what is written.
 */

import { extraBits, type Unit } from "./units.js";
import type { Cluster, Table } from "./window.js";
import { MOST_CLUSTERS } from "./window.js";

const TOTAL = 2048;
const TOKENS = 256;
const CLASSES = 256;
/** A class with fewer units than this shares a table with its neighbours: a table takes some 80 bytes. */
const LEAST_UNITS = 1024;
/** Of a whole window: one in 128. Fewer did not pay in any pair of test/bench (0.1 % at most). */
const SHARE = 128;
/** Bytes of a window besides its tables, words and extra bits. */
const OVERHEAD = 2 + 4 + 32;

/** What a window would be coded with, and the bytes that it would take. */
export interface Choice {
  readonly clusters: readonly Cluster[];
  readonly bytes: number;
}

/** @param histogram counts by class and token. */
export function chooseTables(histogram: Uint32Array, unit: Unit, alone: boolean, units: number): Choice {
  const least = Math.max(LEAST_UNITS, Math.ceil(units / SHARE));
  const clusters: { last: number; counts: Uint32Array; units: number }[] = [];
  let open = { last: 0, counts: new Uint32Array(TOKENS), units: 0 };
  for (let group = 0; group < CLASSES; group++) {
    // A loop, and no more of it than there can be: this is done for every window.
    for (let token = 0; token < TOKENS && group <= unit.mask; token++) {
      const count = histogram[group * TOKENS + token] ?? 0;
      open.counts[token] = (open.counts[token] ?? 0) + count;
      open.units += count;
    }
    open.last = group;
    if (open.units >= least && clusters.length < MOST_CLUSTERS - 1) {
      clusters.push(open);
      open = { last: group, counts: new Uint32Array(TOKENS), units: 0 };
    }
  }
  const before = clusters.at(-1);
  if (open.units === 0 && before !== undefined) {
    before.last = CLASSES - 1;
  } else {
    clusters.push(open);
  }
  let bits = 0;
  const made = clusters.map(({ last, counts }): Cluster => {
    const table = normalise(counts);
    table.forEach((frequency, token) => {
      const count = counts[token] ?? 0;
      bits += count === 0 ? 0 : count * ((COST[frequency] ?? 0) + extraBits(unit, alone, token));
    });
    return { last, table };
  });
  const tables = made.reduce((sum, { table }) => sum + 2 + table.length, 0);
  return { clusters: made, bytes: OVERHEAD + tables + Math.ceil(bits / 8) };
}

/** Units that tell what a window would take alone. */
const SAMPLED = 1 << 15;

/** About how many bytes a window would take alone. @param most more than this are not counted, and Infinity stands for them. */
export function aloneBytes(bytes: Uint8Array, unit: Unit, most: number): number {
  const { width } = unit;
  const units = bytes.length / width;
  // All but eight bits of a unit are written as they are.
  const extra = units * (width - 1);
  if (extra >= most) {
    return Number.POSITIVE_INFINITY;
  }
  const step = Math.ceil(units / SAMPLED);
  const counts = new Uint32Array(TOKENS);
  for (let i = 0; i < units; i += step) {
    const at = (i + 1) * width - 1;
    const top = bytes[at] ?? 0;
    const token = unit.ordered ? ((top << 1) & 255) | nextBit(bytes, at, width) : top;
    counts[token] = (counts[token] ?? 0) + 1;
  }
  const table = normalise(counts);
  const sampled = Math.ceil(units / step);
  const bits = table.reduce((sum, frequency, token) => sum + (counts[token] ?? 0) * (COST[frequency] ?? 0), 0);
  return OVERHEAD + table.length + extra + (bits / 8) * (units / sampled);
}

/** The bit below a unit's highest byte; of a unit of one byte its sign. */
function nextBit(bytes: Uint8Array, at: number, width: number): number {
  return (bytes[width === 1 ? at : at - 1] ?? 0) >> 7;
}

/** Frequencies in proportion to the counts, at least 1 for what occurs, TOTAL in all. */
function normalise(counts: Uint32Array): Table {
  const last = counts.findLastIndex((count) => count > 0);
  const sum = counts.reduce((total, count) => total + count, 0);
  const table = Array.from(counts.subarray(0, last + 1), (count) =>
    count === 0 ? 0 : Math.max(1, Math.floor((2 * count * TOTAL + sum) / (2 * sum))),
  );
  let rest = TOTAL - table.reduce((total, frequency) => total + frequency, 0);
  while (rest !== 0) {
    const most = table.reduce((best, frequency, token) => (frequency > (table[best] ?? 0) ? token : best), 0);
    const change = rest > 0 ? rest : -1;
    table[most] = (table[most] ?? 0) + change;
    rest -= change;
  }
  return table;
}

/** Bits that a token of this frequency costs, to 2^-16. */
const COST = Float64Array.from({ length: TOTAL + 1 }, (_, frequency) => (frequency === 0 ? 0 : 11 - log2(frequency)));

/** By squaring, which is the same on every machine; Math.log2 need not be. */
function log2(value: number): number {
  let whole = 0;
  let x = value;
  while (x >= 2) {
    x /= 2;
    whole++;
  }
  let result = whole;
  for (let bit = 1 / 2; bit >= 2 ** -16; bit /= 2) {
    x *= x;
    if (x >= 2) {
      x /= 2;
      result += bit;
    }
  }
  return result;
}
