/**
 * The encoder's choices for a window: which classes share a table, the tables, and what they cost. It computes with integers and with doubles
 * that it only adds, multiplies and divides, so the result is the same on every machine. Another encoder may choose differently: a decoder
 * takes what is written.
 */

import { extraBits, type Unit } from "./units.js";
import { type Cluster, MOST_CLUSTERS, type Table } from "./window.js";

const TOTAL = 2048;
const TOKENS = 256;
const CLASSES = 256;
/** A class with fewer units than this, or than one in 2048 of the window, shares a table with its neighbours from the start. */
const LEAST_UNITS = 128;
const SHARE = 2048;
/** The bytes of a window without its tables, words and extra bits. */
const OVERHEAD = 2 + 4 + 32;

/** The tables for a window, and the bytes that the window would take. */
export interface Choice {
  readonly clusters: readonly Cluster[];
  readonly bytes: number;
}

/** Classes that would share a table. `bits`: the cost of their tokens without extra bits, and of the table. */
interface Group {
  readonly last: number;
  readonly counts: Uint32Array;
  readonly table: Table;
  readonly bits: number;
}

/**
 * At first each class with enough units has its own table. Then two neighbours are joined, again and again, those first that save the most
 * bits, as long as any save some. @param histogram counts by class and token.
 */
export function chooseTables(histogram: Uint32Array, unit: Unit, alone: boolean, units: number): Choice {
  const groups = firstGroups(histogram, unit, units);
  const saved = ([one, other]: readonly [Group, Group], both: Group): number => one.bits + other.bits - both.bits;
  const joined = groups.slice(1).map((other, i) => join(groups[i] as Group, other));
  for (;;) {
    let best = -1;
    let most = 0;
    joined.forEach((both, i) => {
      const saves = saved([groups[i] as Group, groups[i + 1] as Group], both);
      if (saves > most) {
        [best, most] = [i, saves];
      }
    });
    const both = joined[best];
    if (both === undefined) {
      break;
    }
    groups.splice(best, 2, both);
    const [before, after] = [groups[best - 1], groups[best + 1]];
    joined.splice(best, 1);
    if (before !== undefined) {
      joined[best - 1] = join(before, both);
    }
    if (after !== undefined) {
      joined[best] = join(both, after);
    }
  }
  const extra = groups.reduce((sum, { counts }) => sum + extraOf(counts, unit, alone), 0);
  const bits = groups.reduce((sum, group) => sum + group.bits, extra);
  return { clusters: groups.map(({ last, table }) => ({ last, table })), bytes: OVERHEAD + Math.ceil(bits / 8) };
}

/** The counters of a class that has no units. */
const NONE = Buffer.alloc(4 * TOKENS);

/** @returns at most MOST_CLUSTERS groups. */
function firstGroups(histogram: Uint32Array, unit: Unit, units: number): Group[] {
  const least = Math.max(LEAST_UNITS, Math.ceil(units / SHARE));
  const bytes = Buffer.from(histogram.buffer, histogram.byteOffset, histogram.byteLength);
  const groups: Group[] = [];
  let counts = new Uint32Array(TOKENS);
  let open = 0;
  for (let group = 0; group <= unit.mask; group++) {
    const begin = group * TOKENS;
    // Most classes have no units. A comparison finds that faster than a loop, and this runs for every window.
    if (bytes.compare(NONE, 0, NONE.length, 4 * begin, 4 * (begin + TOKENS)) === 0) {
      continue;
    }
    for (let token = 0; token < TOKENS; token++) {
      const count = histogram[begin + token] ?? 0;
      counts[token] = (counts[token] ?? 0) + count;
      open += count;
    }
    if (open >= least && groups.length < MOST_CLUSTERS - 1) {
      groups.push(groupOf(group, counts));
      counts = new Uint32Array(TOKENS);
      open = 0;
    }
  }
  const before = groups.at(-1);
  const rest = groupOf(CLASSES - 1, counts);
  if (open > 0 || before === undefined) {
    groups.push(rest);
  } else {
    groups.splice(-1, 1, { ...before, last: rest.last });
  }
  return groups;
}

function join(one: Group, other: Group): Group {
  const counts = one.counts.slice();
  for (let token = 0; token < TOKENS; token++) {
    counts[token] = (counts[token] ?? 0) + (other.counts[token] ?? 0);
  }
  return groupOf(other.last, counts);
}

function groupOf(last: number, counts: Uint32Array): Group {
  const table = normalise(counts);
  let bits = 8 * (2 + tableBytes(table));
  for (let token = 0; token < table.length; token++) {
    bits += (counts[token] ?? 0) * (COST[table[token] ?? 0] ?? 0);
  }
  return { last, counts, table, bits };
}

/** The bytes that a table takes in a window: one or two for each frequency, two for each run of zeros. */
function tableBytes(table: Table): number {
  let bytes = 0;
  for (let token = 0; token < table.length; token++) {
    const frequency = table[token] ?? 0;
    bytes += frequency === 0 ? (table[token - 1] === 0 ? 0 : 2) : frequency < 128 ? 1 : 2;
  }
  return bytes;
}

function extraOf(counts: Uint32Array, unit: Unit, alone: boolean): number {
  return counts.reduce((sum, count, token) => (count === 0 ? sum : sum + count * extraBits(unit, alone, token)), 0);
}

/** How many units are sampled to estimate what a window would take alone. */
const SAMPLED = 1 << 15;

/** Estimates how many bytes a window would take alone. @param most if it would certainly take as many, the result is Infinity. */
export function aloneBytes(bytes: Uint8Array, unit: Unit, most: number): number {
  const { width } = unit;
  const units = bytes.length / width;
  // All bits of a unit but eight are written as they are.
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

/** The bit below a unit's highest byte; the sign if the unit has one byte. */
function nextBit(bytes: Uint8Array, at: number, width: number): number {
  return (bytes[width === 1 ? at : at - 1] ?? 0) >> 7;
}

/** Frequencies in proportion to the counts. A token that occurs has at least 1, and all add up to TOTAL. */
function normalise(counts: Uint32Array): Table {
  let [last, sum] = [-1, 0];
  for (let token = 0; token < TOKENS; token++) {
    const count = counts[token] ?? 0;
    sum += count;
    last = count > 0 ? token : last;
  }
  const table = new Array<number>(last + 1).fill(0);
  let [rest, most] = [TOTAL, 0];
  for (let token = 0; token <= last; token++) {
    const count = counts[token] ?? 0;
    const frequency = count === 0 ? 0 : Math.max(1, Math.floor((2 * count * TOTAL + sum) / (2 * sum)));
    table[token] = frequency;
    rest -= frequency;
    most = frequency > (table[most] ?? 0) ? token : most;
  }
  // Too many: the highest frequency gives one, again and again. Of equal ones it is the first, except while it is another's turn. Too few: the
  // highest frequency takes all that are missing at once.
  while (rest < 0) {
    let [next, second] = [most, 0];
    for (let token = 0; token <= last; token++) {
      const frequency = token === most ? 0 : (table[token] ?? 0);
      if (frequency > second) {
        [next, second] = [token, frequency];
      }
    }
    const taken = Math.min(-rest, (table[most] ?? 0) - second + 1);
    table[most] = (table[most] ?? 0) - taken;
    rest += taken;
    most = next;
  }
  if (rest > 0) {
    table[most] = (table[most] ?? 0) + rest;
  }
  return table;
}

/** How many bits a token of this frequency costs, exact to 2^-16. */
const COST = Float64Array.from({ length: TOTAL + 1 }, (_, frequency) => (frequency === 0 ? 0 : 11 - log2(frequency)));

/** Computed by squaring, which gives the same result on every machine. Math.log2 need not. */
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
