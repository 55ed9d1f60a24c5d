/**
 * The kernel in plain TypeScript, element by element: the oracle for the SIMD kernel, and the fallback without SIMD. bits.ts has the rules
 * for an element, cascade.ts those for sums.
 */
import type { FloatDtype } from "../formats/dtype.js";
import {
  addBits,
  ELEMENT_BYTES,
  fromBits,
  narrowBits,
  negateBits,
  overflows,
  subtractBits,
  widenBF16,
  widenF16,
  widenF64,
} from "./bits.js";
import { type Accumulator, createMean, createSum } from "./cascade.js";
import { scalarCoder } from "./coder-scalar.js";
import type { Kernel, NarrowDtype } from "./kernel.js";
import { scalarMeasure } from "./measure.js";
import { assertBlock, assertSize, assertSpan, assertWidth, createMemory } from "./memory.js";
import { scalarMultiply } from "./multiply.js";

/** A state is a JavaScript object that is known by its position. This is the room that it takes in the caller's memory. */
const STATE_BYTES = 64;

/** widenF16 of every half, computed at first use. */
let widened: Uint32Array | undefined;

/** A kernel with at least `bytes` bytes for the caller. @throws {WeightDiffError} LIMIT if there is no such block. */
export function createScalarKernel(bytes: number): Kernel {
  const memory = createMemory(bytes);
  const view = new DataView(memory);
  const states = new Map<number, Accumulator>();

  widened ??= Uint32Array.from({ length: 65536 }, (_, half) => widenF16(half));
  const halves = widened;

  const load: Record<FloatDtype, (at: number) => number> = {
    F16: (at) => halves[view.getUint16(at, true)] ?? 0,
    BF16: (at) => widenBF16(view.getUint16(at, true)),
    F32: (at) => view.getUint32(at, true),
    F64: (at) => widenF64(view.getUint32(at + 4, true), view.getUint32(at, true)),
  };
  const assertElements = (dtype: FloatDtype, at: number, count: number): void =>
    assertSpan(memory, 0, at, count * ELEMENT_BYTES[dtype]);

  /** target[i] = rule(source[i], target[i]), all in F32 bits. */
  const intoF32 = (dtype: FloatDtype, source: number, target: number, count: number, rule: typeof addBits): void => {
    assertElements(dtype, source, count);
    assertElements("F32", target, count);
    for (let i = 0; i < count; i++) {
      const at = target + 4 * i;
      view.setUint32(at, rule(load[dtype](source + ELEMENT_BYTES[dtype] * i), view.getUint32(at, true)), true);
    }
  };
  /** The same with a 16-bit target. @returns how many finite values became infinite. */
  const intoNarrow = (
    dtype: NarrowDtype,
    source: number,
    target: number,
    count: number,
    rule: typeof addBits,
  ): number => {
    assertElements(dtype, source, count);
    assertElements(dtype, target, count);
    let overflowed = 0;
    for (let i = 0; i < count; i++) {
      const at = target + 2 * i;
      const bits = rule(load[dtype](source + 2 * i), load[dtype](at));
      overflowed += overflows(dtype, bits) ? 1 : 0;
      view.setUint16(at, narrowBits(dtype, bits), true);
    }
    return overflowed;
  };
  /** Integers of any width, byte by byte with a carry or borrow, since no JavaScript number holds 64 bits. */
  const intoIntegers = (
    width: number,
    source: number,
    target: number,
    count: number,
    rule: (self: number, other: number) => number,
  ): void => {
    assertWidth(width);
    assertSpan(memory, 0, source, count * width);
    assertSpan(memory, 0, target, count * width);
    for (let i = 0; i < count * width; i += width) {
      let carry = 0;
      for (let byte = i; byte < i + width; byte++) {
        const result = rule(view.getUint8(target + byte), view.getUint8(source + byte)) + carry;
        view.setUint8(target + byte, result & 0xff);
        carry = result >> 8;
      }
    }
  };
  const begin = (state: number, accumulator: Accumulator): void => {
    assertSpan(memory, 0, state, STATE_BYTES);
    states.set(state, accumulator);
  };
  const push = (state: number, at: number, count: number): void => {
    assertElements("F32", at, count);
    const accumulator = states.get(state);
    for (let i = 0; i < count; i++) {
      accumulator?.push(view.getUint32(at + 4 * i, true));
    }
  };
  const pushNarrow = (dtype: NarrowDtype, state: number, at: number, count: number): void => {
    const accumulator = states.get(state);
    for (let i = 0; i < count; i++) {
      accumulator?.push(load[dtype](at + 2 * i));
    }
  };
  const result = (state: number): readonly number[] => states.get(state)?.result() ?? [];

  return {
    ...scalarCoder(memory),
    ...scalarMeasure(memory),
    ...scalarMultiply(memory),
    kind: "scalar",
    memory,
    base: 0,
    widen(dtype, source, target, count) {
      intoF32(dtype, source, target, count, (bits) => bits);
    },
    // torch computes fma(other, 1, self): of two NaNs the source's stays.
    add(dtype, source, target, count) {
      intoF32(dtype, source, target, count, addBits);
    },
    addSummed(dtype, source, from, target, count, state) {
      assertElements("F32", from, count);
      assertElements("F32", target, count);
      new Uint8Array(memory).copyWithin(target, from, from + 4 * count);
      intoF32(dtype, source, target, count, addBits);
      push(state, target, count);
    },
    subtract(dtype, source, target, count) {
      intoF32(dtype, source, target, count, (bits, self) => subtractBits(self, bits));
    },
    addNegated(dtype, source, target, count) {
      intoF32(dtype, source, target, count, (bits, self) => addBits(negateBits(bits), self));
    },
    narrow(dtype, source, target, count) {
      assertElements("F32", source, count);
      assertElements(dtype, target, count);
      let overflowed = 0;
      for (let i = 0; i < count; i++) {
        const bits = view.getUint32(source + 4 * i, true);
        overflowed += overflows(dtype, bits) ? 1 : 0;
        view.setUint16(target + 2 * i, narrowBits(dtype, bits), true);
      }
      return overflowed;
    },
    addNarrow(dtype, source, target, count) {
      return intoNarrow(dtype, source, target, count, addBits);
    },
    subtractNarrow(dtype, source, target, count) {
      return intoNarrow(dtype, source, target, count, (bits, self) => subtractBits(self, bits));
    },
    addNarrowSummed(dtype, source, target, count, state) {
      const overflowed = intoNarrow(dtype, source, target, count, addBits);
      pushNarrow(dtype, state, target, count);
      return overflowed;
    },
    subtractNarrowSummed(dtype, source, target, count, state) {
      const overflowed = intoNarrow(dtype, source, target, count, (bits, self) => subtractBits(self, bits));
      pushNarrow(dtype, state, target, count);
      return overflowed;
    },
    addIntegers(width, source, target, count) {
      intoIntegers(width, source, target, count, (self, other) => self + other);
    },
    subtractIntegers(width, source, target, count) {
      intoIntegers(width, source, target, count, (self, other) => self - other);
    },
    transpose(source, pitch, rows, columns, places, shift) {
      assertBlock(memory, 0, { source, pitch, rows, columns, places, shift });
      for (let row = 0; row < rows; row++) {
        const at = view.getUint32(places + 4 * row, true) + 2 * shift;
        for (let column = 0; column < columns; column++) {
          view.setUint16(at + 2 * column, view.getUint16(source + 2 * (column * pitch + row), true), true);
        }
      }
    },
    xor(source, target, count) {
      assertSpan(memory, 0, source, count);
      assertSpan(memory, 0, target, count);
      for (let at = 0; at < count; at++) {
        view.setUint8(target + at, view.getUint8(target + at) ^ view.getUint8(source + at));
      }
    },
    countDifferent(first, second, count) {
      assertElements("F32", first, count);
      assertElements("F32", second, count);
      let different = 0;
      for (let at = 0; at < 4 * count; at += 4) {
        different += view.getUint32(first + at, true) === view.getUint32(second + at, true) ? 0 : 1;
      }
      return different;
    },
    countSpecial(dtype, source, target, count) {
      assertElements(dtype, source, count);
      assertSpan(memory, 0, target, 12);
      const counts = [0, 0, 0];
      for (let i = 0; i < count; i++) {
        const kind = specialKind(dtype, view, source + ELEMENT_BYTES[dtype] * i);
        if (kind !== null) {
          counts[kind] = (counts[kind] ?? 0) + 1;
        }
      }
      counts.forEach((value, kind) => {
        view.setUint32(target + 4 * kind, value, true);
      });
    },
    sumBytes: STATE_BYTES,
    sumBegin(state, total) {
      assertSize(total, 0);
      begin(state, createSum(total));
    },
    sumPush: push,
    sumEnd: (state) => fromBits(result(state)[0] ?? 0),
    meanBytes: () => STATE_BYTES,
    meanBegin(state, rows, columns) {
      assertSize(rows, 1);
      assertSize(columns, 1);
      begin(state, createMean(rows, columns));
    },
    meanPush: push,
    meanEnd(state, target) {
      const row = result(state);
      assertElements("F32", target, row.length);
      row.forEach((bits, c) => {
        view.setUint32(target + 4 * c, bits, true);
      });
    },
  };
}

/** Bits of infinity, of the upper word for F64. */
const INFINITY_BITS = { F16: 0x7c00, BF16: 0x7f80, F32: 0x7f800000, F64: 0x7ff00000 } as const;

/** 0 for a NaN, 1 for an infinity, 2 for a zero, null for an ordinary number. As stored, so a tiny F64 is not zero. */
function specialKind(dtype: FloatDtype, view: DataView, at: number): 0 | 1 | 2 | null {
  const wide = dtype === "F64";
  const top = dtype === "F16" || dtype === "BF16" ? view.getUint16(at, true) : view.getUint32(wide ? at + 4 : at, true);
  const low = wide ? view.getUint32(at, true) : 0;
  const magnitude = top & (dtype === "F16" || dtype === "BF16" ? 0x7fff : 0x7fffffff);
  const infinity = INFINITY_BITS[dtype];
  if (magnitude > infinity || (magnitude === infinity && low !== 0)) {
    return 0;
  }
  return magnitude === infinity ? 1 : magnitude === 0 && low === 0 ? 2 : null;
}
