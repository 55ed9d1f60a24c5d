/**
 * The border between the engine and the arithmetic: a fixed block of memory, and functions over byte positions in it.
 * `scalar.ts` is the oracle and the fallback, `simd.ts` the WASM kernel; both give the same bits (docs/arithmetic.md), which are
 * those of torch 2 on an x86 CPU with one thread.
 *
 * Positions are byte offsets into `memory` and need no alignment. Counts are elements. All data is little-endian.
 */
import type { FloatDtype } from "../formats/dtype.js";
import type { Coder } from "./coder.js";
import type { Measure } from "./measure.js";
import type { Multiply } from "./multiply.js";

export type NarrowDtype = "F16" | "BF16";

export interface Kernel extends Coder, Measure, Multiply {
  readonly kind: "simd" | "scalar";
  /** Never grows, so views on it stay valid. */
  readonly memory: ArrayBuffer;
  /** First byte that belongs to the caller; a multiple of 4096. */
  readonly base: number;

  /** target[i] (F32) = source[i]. F16, BF16 exact; F64 rounded to nearest even (docs/arithmetic.md 1). Must not overlap, except F32 onto itself. */
  widen(dtype: FloatDtype, source: number, target: number, count: number): void;
  /** target[i] (F32) = target[i] + source[i]: torch's `target.add_(source)`, source widened first (docs/arithmetic.md 2). */
  add(source: FloatDtype, sourceAt: number, target: number, count: number): void;
  /** target[i] (F32) = target[i] - source[i]: torch's `target.sub_(source)`, which leaves the sign of a NaN as it is. */
  subtract(source: FloatDtype, sourceAt: number, target: number, count: number): void;
  /** target[i] (F32) = target[i] + -source[i]: torch's `target.add_(-source)`, which flips the sign of source, even of a NaN. */
  addNegated(source: FloatDtype, sourceAt: number, target: number, count: number): void;
  /**
   * target[i] (F32) = from[i] (F32) + source[i], as add has it, then sumPush of the new target. `target` may equal `from`; nothing else may
   * overlap. So far a multiple of 32 elements must have been pushed.
   */
  addSummed(source: FloatDtype, sourceAt: number, from: number, target: number, count: number, state: number): void;
  /** target[i] (dtype) = source[i] (F32), rounded to nearest even (docs/arithmetic.md 3). `target` may equal `source`. @returns how many finite values became infinite. */
  narrow(dtype: NarrowDtype, source: number, target: number, count: number): number;
  /** target[i] = target[i] + source[i], both and the result in `dtype`, through F32 (docs/arithmetic.md 4). @returns how many finite sums became infinite. */
  addNarrow(dtype: NarrowDtype, source: number, target: number, count: number): number;
  /** target[i] = target[i] - source[i], likewise. */
  subtractNarrow(dtype: NarrowDtype, source: number, target: number, count: number): number;
  /** addNarrow, then sumPush of the new target widened. So far a multiple of 32 elements must have been pushed. */
  addNarrowSummed(dtype: NarrowDtype, source: number, target: number, count: number, state: number): number;
  /** subtractNarrow, likewise. */
  subtractNarrowSummed(dtype: NarrowDtype, source: number, target: number, count: number, state: number): number;

  /** target[i] = target[i] + source[i] modulo 2^(8 width), integers of `width` = 1, 2, 4 or 8 bytes: torch's in-place add of integer tensors. */
  addIntegers(width: number, source: number, target: number, count: number): void;
  /** target[i] = target[i] - source[i], likewise. */
  subtractIntegers(width: number, source: number, target: number, count: number): void;
  /**
   * Transposes a block of a matrix of 16-bit elements. Element (row, column) is at source + 2 (column * pitch + row), and goes to
   * places[row] + 2 (shift + column). `places`: a U32 position for each row. Source and target must not overlap. pitch >= rows.
   */
  transpose(source: number, pitch: number, rows: number, columns: number, places: number, shift: number): void;
  /** target[i] = target[i] XOR source[i], `count` bytes. */
  xor(source: number, target: number, count: number): void;
  /**
   * @returns how many of `count` 32-bit words differ. F32 values are compared by their bits, so a NaN equals itself, and -0 differs from 0.
   */
  countDifferent(first: number, second: number, count: number): number;

  /** Counts `count` elements: writes at `target`, as three U32, how many are NaN, infinite, and zero (of either sign). */
  countSpecial(dtype: FloatDtype, source: number, target: number, count: number): void;

  /** Bytes of a running sum's state. */
  readonly sumBytes: number;
  /** Starts the sum of a contiguous F32 tensor of `total` elements, like torch's `tensor.sum()` on one thread (docs/arithmetic.md 6). */
  sumBegin(state: number, total: number): void;
  /** Adds the next `count` elements: a multiple of 32, except in the last call. */
  sumPush(state: number, at: number, count: number): void;
  /** @returns the sum, an F32 value. */
  sumEnd(state: number): number;

  /** Bytes of a running row mean over `columns` columns. */
  meanBytes(columns: number): number;
  /** Starts `W.mean(dim=0)` of an F32 matrix of rows x columns (8 lanes, one thread; docs/arithmetic.md 5). rows >= 1, columns >= 1. */
  meanBegin(state: number, rows: number, columns: number): void;
  /** Adds the next `count` F32 elements in row order. Any split is allowed, even inside a row. */
  meanPush(state: number, at: number, count: number): void;
  /** Writes the mean row, `columns` F32 values, after all rows. */
  meanEnd(state: number, target: number): void;
}
