/** The loops of a report in plain TypeScript, element by element: the oracle of assembly/measure.ts, and the fallback. */
import { mantissaBits, type Unit } from "../formats/coded/units.js";
import { difference } from "./coder-scalar.js";
import { assertSpan } from "./memory.js";

/** Elements whose sums are kept apart before they are added to the total. A window is a multiple of it. */
const CHUNK = 4096;
/** Bytes of the state: the sums of (t - b)², b², t² and b·t, and the largest |t - b|, in F64. */
export const MEASURE_BYTES = 40;
/** Counters of one class and token, taken in turns: a kernel that counts the same one twice in a row waits for itself. */
export const BANKS = 4;
/** 256 x 256 x BANKS counters of 32 bits. */
export const HISTOGRAM_BYTES = 256 * 256 * BANKS * 4;
/** Counters of 32 bits by bit length. */
export const LENGTHS = 33;

export interface Measure {
  /**
   * Adds `count` F32 values b of a base and t of a tuned tensor to the state. The order is fixed: of each 4096 elements from the first, those
   * at even places are summed in order, those at odd places likewise, then the two are added to the total. Every call but a tensor's last
   * must bring a multiple of 4096. A NaN is in every sum that it meets, and is not the largest of anything.
   */
  measureValues(base: number, tuned: number, count: number, state: number): void;
  /**
   * Counts, for each of `units` ordered units of 16 or 32 bits, the class of the base's and the token of the difference (docs/formats.md 3):
   * of the unit at place i in bank i modulo 4. Differences that are ones only, in more bits than a token shows, are counted by their bits.
   */
  measureUnits(unit: Unit, places: UnitPlaces, units: number): void;
}

interface UnitPlaces {
  readonly base: number;
  readonly tuned: number;
  /** HISTOGRAM_BYTES, by class, token and bank: added to. */
  readonly histogram: number;
  /** LENGTHS counters: added to. */
  readonly ones: number;
}

export function assertMeasuring(
  memory: ArrayBuffer,
  from: number,
  { width }: Unit,
  places: UnitPlaces,
  units: number,
): void {
  if (width === 1) {
    throw new RangeError("kernel: units of 8 bits are not measured");
  }
  assertSpan(memory, from, places.base, units * width);
  assertSpan(memory, from, places.tuned, units * width);
  assertSpan(memory, from, places.histogram, HISTOGRAM_BYTES);
  assertSpan(memory, from, places.ones, 4 * LENGTHS);
}

/**
 * How many units lie 0, 1, 2-3, 4-7 … steps of value from their base's: a difference d is ceil(d / 2) steps.
 * @param tokens how many differences have each token. @param ones of those that are ones only, in more bits than a token shows, by their bits.
 */
export function stepsOf({ width }: Unit, tokens: Float64Array, ones: Float64Array): readonly number[] {
  const mantissa = mantissaBits(width);
  const steps = new Float64Array(LENGTHS);
  tokens.forEach((count, token) => {
    const extra = Math.max(0, (token >> mantissa) - 1);
    // Half of a number, rounded up, has a bit less, but where every bit is set.
    const length = extra === 0 ? 32 - Math.clz32(Math.ceil(token / 2)) : extra + mantissa;
    steps[length] = (steps[length] ?? 0) + count;
  });
  ones.forEach((count, bits) => {
    if (count > 0) {
      steps[bits] = (steps[bits] ?? 0) + count;
      steps[bits - 1] = (steps[bits - 1] ?? 0) - count;
    }
  });
  return [...steps.slice(0, steps.findLastIndex((count) => count > 0) + 1)];
}

export function scalarMeasure(memory: ArrayBuffer): Measure {
  const view = new DataView(memory);
  const value = (at: number): number => view.getFloat32(at, true);
  const count = (at: number): void => view.setUint32(at, view.getUint32(at, true) + 1, true);
  return {
    measureValues(base, tuned, total, state) {
      assertSpan(memory, 0, base, 4 * total);
      assertSpan(memory, 0, tuned, 4 * total);
      assertSpan(memory, 0, state, MEASURE_BYTES);
      let most = view.getFloat64(state + 32, true);
      for (let begin = 0; begin < total; begin += CHUNK) {
        const sums = [0, 0, 0, 0, 0, 0, 0, 0];
        for (let i = begin; i < Math.min(total, begin + CHUNK); i++) {
          const b = value(base + 4 * i);
          const t = value(tuned + 4 * i);
          const d = t - b;
          [d * d, b * b, t * t, b * t].forEach((product, k) => {
            const lane = 2 * k + (i % 2);
            sums[lane] = (sums[lane] ?? 0) + product;
          });
          if (Math.abs(d) > most) {
            most = Math.abs(d);
          }
        }
        for (let k = 0; k < 4; k++) {
          const at = state + 8 * k;
          view.setFloat64(at, view.getFloat64(at, true) + ((sums[2 * k] ?? 0) + (sums[2 * k + 1] ?? 0)), true);
        }
      }
      view.setFloat64(state + 32, most, true);
    },
    measureUnits(unit, places, units) {
      assertMeasuring(memory, 0, unit, places, units);
      const { width, shift, mask } = unit;
      const load = (at: number): number => (width === 2 ? view.getUint16(at, true) : view.getUint32(at, true));
      const mantissa = mantissaBits(width);
      for (let i = 0; i < units; i++) {
        const base = load(places.base + i * width);
        const distance = difference(unit, base, load(places.tuned + i * width));
        const n = Math.max(0, 31 - Math.clz32(distance) - mantissa);
        const token = n * 2 ** mantissa + Math.floor(distance / 2 ** n);
        count(places.histogram + 4 * (BANKS * (256 * ((base >>> shift) & mask) + token) + (i % BANKS)));
        const bits = 32 - Math.clz32(distance);
        if (n > 0 && distance === 2 ** bits - 1) {
          count(places.ones + 4 * bits);
        }
      }
    },
  };
}
