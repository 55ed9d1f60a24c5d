/** The loops of coded windows in plain TypeScript, unit by unit: the oracle of assembly/{tokenise,encode,decode}.ts, and the fallback. */
import { extraBits, mantissaBits, type Unit } from "../formats/coded/units.js";
import {
  assertCoding,
  assertDecoding,
  type Coder,
  ENTRY_BYTES,
  LANES,
  LEAST_LANE,
  SLOTS,
  STATE,
  TABLE_BITS,
} from "./coder.js";
import { assertSpan } from "./memory.js";

/** The difference of `tuned` from `base` as an unsigned number of the unit's bits: 0, -1, 1, -2 … are 0, 1, 2, 3 … */
export function difference({ width, ordered }: Unit, base: number, tuned: number): number {
  const all = 2 ** (8 * width);
  const low = all / 2 - 1;
  let steps = tuned - base;
  if (ordered) {
    // The base's sign decides the direction: on the other side of zero, magnitudes run the other way.
    const same = tuned > low === base > low;
    const magnitude = tuned % (low + 1);
    steps = (same ? magnitude : -1 - magnitude) - (base % (low + 1));
  }
  const wrapped = ((steps % all) + all) % all;
  const signed = wrapped > low ? wrapped - all : wrapped;
  return signed < 0 ? -2 * signed - 1 : 2 * signed;
}

/** The unit at that difference from `base`. */
function apply({ width, ordered }: Unit, base: number, distance: number): number {
  const all = 2 ** (8 * width);
  const half = all / 2;
  const steps = distance % 2 === 0 ? distance / 2 : -(distance + 1) / 2;
  if (!ordered) {
    return (base + steps + all) % all;
  }
  const value = ((base % half) + steps + all) % all;
  const other = value >= half;
  const magnitude = other ? all - 1 - value : value;
  return base >= half !== other ? magnitude + half : magnitude;
}

/** Moves the sign of an ordered unit to its lowest bit. */
function rotate({ width, ordered }: Unit, unit: number): number {
  const half = 2 ** (8 * width - 1);
  return ordered ? (unit % half) * 2 + Math.floor(unit / half) : unit;
}

function rotateBack({ width, ordered }: Unit, unit: number): number {
  return ordered ? Math.floor(unit / 2) + (unit % 2) * 2 ** (8 * width - 1) : unit;
}

interface OpenBits {
  /** The next bits, the first one lowest. */
  take(n: number): number;
  put(n: number, value: number): void;
  passed(): number;
  close(): void;
}

export function scalarCoder(memory: ArrayBuffer): Coder {
  const view = new DataView(memory);
  const load = (width: Unit["width"], at: number): number =>
    width === 1 ? view.getUint8(at) : width === 2 ? view.getUint16(at, true) : view.getUint32(at, true);
  const store = (width: Unit["width"], at: number, value: number): void => {
    if (width === 1) {
      view.setUint8(at, value);
    } else if (width === 2) {
      view.setUint16(at, value, true);
    } else {
      view.setUint32(at, value, true);
    }
  };
  const word = (at: number): number => view.getUint32(at, true);

  /** Reads or writes the extra bits after those that the state has passed. */
  const openBits = (state: number): OpenBits => {
    const start = word(state + STATE.extra);
    let passed = word(state + STATE.bits);
    return {
      take(n) {
        let value = 0;
        for (let bit = 0; bit < n; bit++, passed++) {
          value += ((view.getUint8(start + (passed >> 3)) >> (passed & 7)) & 1) * 2 ** bit;
        }
        return value;
      },
      put(n, value) {
        for (let bit = 0; bit < n; bit++, passed++) {
          const at = start + (passed >> 3);
          const before = passed % 8 === 0 ? 0 : view.getUint8(at);
          view.setUint8(at, before | (((value >>> bit) & 1) << (passed & 7)));
        }
      },
      passed: () => passed,
      close() {
        view.setUint32(state + STATE.bits, passed, true);
      },
    };
  };

  return {
    tokenise(unit, alone, places, units) {
      assertCoding(memory, 0, places, unit.width, units);
      const { from, tuned, tokens, classes, histogram, state } = places;
      const bits = openBits(state);
      const mantissa = mantissaBits(unit.width);
      for (let i = 0; i < units; i++) {
        const base = load(unit.width, from + i * unit.width);
        const own = load(unit.width, tuned + i * unit.width);
        const value = alone ? rotate(unit, own) : difference(unit, base, own);
        const n = alone ? 8 * unit.width - 8 : Math.max(0, 31 - Math.clz32(value) - mantissa);
        const token = alone ? Math.floor(value / 2 ** n) : n * 2 ** mantissa + Math.floor(value / 2 ** n);
        const group = alone ? 0 : (base >>> unit.shift) & unit.mask;
        view.setUint8(tokens + i, token);
        view.setUint8(classes + i, group);
        const counter = histogram + 4 * (256 * group + token);
        view.setUint32(counter, word(counter) + 1, true);
        if (n > 0) {
          bits.put(n, value % 2 ** n);
        }
      }
      bits.close();
    },
    encode(units, { tokens, classes, tables, state }) {
      assertSpan(memory, 0, tokens, units);
      assertSpan(memory, 0, classes, units);
      let words = word(state + STATE.words);
      for (let i = units - 1; i >= 0; i--) {
        const lane = state + 4 * (i % LANES);
        const entry = word(tables + 4 * view.getUint8(classes + i)) + ENTRY_BYTES * view.getUint8(tokens + i);
        const frequency = word(entry + 8);
        let x = word(lane);
        if (x >= frequency * 2 ** (32 - TABLE_BITS)) {
          words -= 2;
          view.setUint16(words, x & 0xffff, true);
          x >>>= 16;
        }
        view.setUint32(lane, Math.floor(x / frequency) * SLOTS + (x % frequency) + word(entry + 12), true);
      }
      view.setUint32(state + STATE.words, words, true);
    },
    decode(unit, alone, places, units) {
      const { width, shift, mask } = unit;
      assertDecoding(memory, 0, places, width, units);
      const { from, target, tables, state } = places;
      const bits = openBits(state);
      const mantissa = mantissaBits(width);
      let words = word(state + STATE.words);
      const wordsEnd = word(state + STATE.wordsEnd);
      const bitsEnd = 8 * (word(state + STATE.extraEnd) - word(state + STATE.extra));
      for (let i = 0; i < units; i++) {
        const base = load(width, from + i * width);
        const lane = state + 4 * (i % LANES);
        const x = word(lane);
        const entry = word(word(tables + 4 * (alone ? 0 : (base >>> shift) & mask)) + 4 * (x % SLOTS));
        let next = ((entry >>> TABLE_BITS) % (2 * SLOTS)) * Math.floor(x / SLOTS) + (entry % SLOTS);
        if (next < LEAST_LANE) {
          if (words >= wordsEnd) {
            return false;
          }
          next = next * 2 ** 16 + view.getUint16(words, true);
          words += 2;
        }
        view.setUint32(lane, next, true);
        const token = entry >>> (2 * TABLE_BITS + 1);
        const n = extraBits(unit, alone, token);
        if (bits.passed() + n > bitsEnd) {
          return false;
        }
        const high = !alone && n > 0 ? (token % 2 ** mantissa) + 2 ** mantissa : token;
        const value = high * 2 ** n + bits.take(n);
        store(width, target + i * width, alone ? rotateBack(unit, value) : apply(unit, base, value));
      }
      bits.close();
      view.setUint32(state + STATE.words, words, true);
      return true;
    },
  };
}
