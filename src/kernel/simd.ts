/**
 * The kernel in WebAssembly SIMD (assembly/). This file knows the module's exports, but no arithmetic. Sizes and constants come from the
 * module, so they are written once.
 */
import type { FloatDtype } from "../formats/dtype.js";
import { ELEMENT_BYTES } from "./bits.js";
import { assertCoding, assertDecoding, type Coder } from "./coder.js";
import type { Kernel } from "./kernel.js";
import { assertMeasuring, MEASURE_BYTES } from "./measure.js";
import { assertBlock, assertSize, assertSpan, assertWidth, createWasmMemory } from "./memory.js";
import { assertProduct } from "./multiply.js";

/** The exports of assembly/index.ts. */
interface KernelExports extends Readonly<Record<FloatDtype, WebAssembly.Global>> {
  readonly BASE: WebAssembly.Global;
  readonly SUM_BYTES: WebAssembly.Global;
  readonly ADD: WebAssembly.Global;
  readonly SUBTRACT: WebAssembly.Global;
  readonly ADD_NEGATED: WebAssembly.Global;
  widen(dtype: number, source: number, target: number, count: number): void;
  add(dtype: number, source: number, target: number, count: number, operation: number): void;
  addSummed(dtype: number, source: number, from: number, target: number, count: number, state: number): void;
  narrow(dtype: number, source: number, target: number, count: number): number;
  addNarrow(dtype: number, source: number, target: number, count: number, operation: number): number;
  addNarrowSummed(
    dtype: number,
    source: number,
    target: number,
    count: number,
    operation: number,
    state: number,
  ): number;
  addIntegers(width: number, source: number, target: number, count: number, negative: number): void;
  transpose(...positions: readonly number[]): void;
  xorBytes(source: number, target: number, count: number): void;
  countDifferent(first: number, second: number, count: number): number;
  countSpecial(dtype: number, source: number, target: number, count: number): void;
  sumBegin(state: number, total: number): void;
  sumPush(state: number, at: number, count: number): void;
  sumEnd(state: number): number;
  meanBytes(columns: number): number;
  meanBegin(state: number, rows: number, columns: number): void;
  meanPush(state: number, at: number, count: number): void;
  meanEnd(state: number, target: number): void;
  tokenise(...positions: readonly number[]): void;
  encodeTokens(units: number, tokens: number, classes: number, tables: number, state: number): void;
  decodeUnits(...positions: readonly number[]): number;
  measureValues(base: number, tuned: number, count: number, state: number): void;
  measureUnits(...positions: readonly number[]): void;
  multiply(...positions: readonly number[]): void;
}

/** An upper bound for BASE: memory is needed before the module can be asked for it. */
const BASE_AT_MOST = 65536;
/** 64 bytes of state for each column must fit in 32 bits. */
const COLUMNS_AT_MOST = 2 ** 25;

/** Makes a kernel with at least `bytes` bytes of memory for the caller. @throws {WeightDiffError} LIMIT if the system has no such block. */
export function createSimdKernel(bytes: number, module: WebAssembly.Module): Kernel {
  const wasmMemory = createWasmMemory(bytes + BASE_AT_MOST);
  const instance = new WebAssembly.Instance(module, { env: { memory: wasmMemory } });
  const wasm = instance.exports as unknown as KernelExports;
  const memory = wasmMemory.buffer;
  const base = wasm.BASE.value;
  const sumBytes = wasm.SUM_BYTES.value;
  const [ADD, SUBTRACT, ADD_NEGATED] = [wasm.ADD.value, wasm.SUBTRACT.value, wasm.ADD_NEGATED.value];

  const assertElements = (dtype: FloatDtype, at: number, count: number): void =>
    assertSpan(memory, base, at, count * ELEMENT_BYTES[dtype]);
  const assertIntegers = (width: number, source: number, target: number, count: number): void => {
    assertWidth(width);
    assertSpan(memory, base, source, count * width);
    assertSpan(memory, base, target, count * width);
  };
  const meanBytes = (columns: number): number => {
    assertSize(columns, 1);
    if (columns > COLUMNS_AT_MOST) {
      throw new RangeError(`kernel: ${columns} columns`);
    }
    return wasm.meanBytes(columns) >>> 0;
  };
  const combine = (dtype: FloatDtype, source: number, target: number, count: number, operation: number): void => {
    assertElements(dtype, source, count);
    assertElements("F32", target, count);
    wasm.add(wasm[dtype].value, source, target, count, operation);
  };
  const narrowSummed = (
    dtype: FloatDtype,
    source: number,
    target: number,
    count: number,
    state: number,
    operation: number,
  ): number => {
    assertElements(dtype, source, count);
    assertElements(dtype, target, count);
    assertSpan(memory, base, state, sumBytes);
    return wasm.addNarrowSummed(wasm[dtype].value, source, target, count, operation, state) >>> 0;
  };
  /** The number of columns by the position of a mean's state. meanEnd checks the place of the row with it. */
  const meanColumns = new Map<number, number>();

  return {
    kind: "simd",
    memory,
    base,
    widen(dtype, source, target, count) {
      assertElements(dtype, source, count);
      assertElements("F32", target, count);
      wasm.widen(wasm[dtype].value, source, target, count);
    },
    add: (...places) => combine(...places, ADD),
    subtract: (...places) => combine(...places, SUBTRACT),
    addNegated: (...places) => combine(...places, ADD_NEGATED),
    addSummed(dtype, source, from, target, count, state) {
      assertElements(dtype, source, count);
      assertElements("F32", from, count);
      assertElements("F32", target, count);
      assertSpan(memory, base, state, sumBytes);
      wasm.addSummed(wasm[dtype].value, source, from, target, count, state);
    },
    narrow(dtype, source, target, count) {
      assertElements("F32", source, count);
      assertElements(dtype, target, count);
      return wasm.narrow(wasm[dtype].value, source, target, count) >>> 0;
    },
    addNarrow(dtype, source, target, count) {
      assertElements(dtype, source, count);
      assertElements(dtype, target, count);
      return wasm.addNarrow(wasm[dtype].value, source, target, count, ADD) >>> 0;
    },
    subtractNarrow(dtype, source, target, count) {
      assertElements(dtype, source, count);
      assertElements(dtype, target, count);
      return wasm.addNarrow(wasm[dtype].value, source, target, count, SUBTRACT) >>> 0;
    },
    addNarrowSummed: (...places) => narrowSummed(...places, ADD),
    subtractNarrowSummed: (...places) => narrowSummed(...places, SUBTRACT),
    addIntegers(width, source, target, count) {
      assertIntegers(width, source, target, count);
      wasm.addIntegers(width, source, target, count, 0);
    },
    subtractIntegers(width, source, target, count) {
      assertIntegers(width, source, target, count);
      wasm.addIntegers(width, source, target, count, 1);
    },
    transpose(source, pitch, rows, columns, places, shift) {
      assertBlock(memory, base, { source, pitch, rows, columns, places, shift });
      wasm.transpose(source, pitch, rows, columns, places, shift);
    },
    xor(source, target, count) {
      assertSpan(memory, base, source, count);
      assertSpan(memory, base, target, count);
      wasm.xorBytes(source, target, count);
    },
    countDifferent(first, second, count) {
      assertElements("F32", first, count);
      assertElements("F32", second, count);
      return wasm.countDifferent(first, second, count) >>> 0;
    },
    countSpecial(dtype, source, target, count) {
      assertElements(dtype, source, count);
      assertSpan(memory, base, target, 12);
      wasm.countSpecial(wasm[dtype].value, source, target, count);
    },
    sumBytes,
    sumBegin(state, total) {
      assertSize(total, 0);
      assertSpan(memory, base, state, sumBytes);
      wasm.sumBegin(state, total);
    },
    sumPush(state, at, count) {
      assertElements("F32", at, count);
      wasm.sumPush(state, at, count);
    },
    sumEnd: (state) => wasm.sumEnd(state),
    meanBytes,
    meanBegin(state, rows, columns) {
      assertSize(rows, 1);
      assertSpan(memory, base, state, meanBytes(columns));
      meanColumns.set(state, columns);
      wasm.meanBegin(state, rows, columns);
    },
    meanPush(state, at, count) {
      assertElements("F32", at, count);
      wasm.meanPush(state, at, count);
    },
    meanEnd(state, target) {
      assertElements("F32", target, meanColumns.get(state) ?? 0);
      wasm.meanEnd(state, target);
    },
    ...simdCoder(memory, base, wasm),
    measureValues(from, tuned, count, state) {
      assertElements("F32", from, count);
      assertElements("F32", tuned, count);
      assertSpan(memory, base, state, MEASURE_BYTES);
      wasm.measureValues(from, tuned, count, state);
    },
    measureUnits(unit, places, units) {
      assertMeasuring(memory, base, unit, places, units);
      const { width, shift, mask } = unit;
      wasm.measureUnits(width, shift, mask, places.base, places.tuned, units, places.histogram, places.ones);
    },
    multiply(product) {
      assertProduct(memory, base, product);
      const { weights, rows, columns, inputs, tokens, outputs, stride } = product;
      wasm.multiply(weights, rows, columns, inputs, tokens, outputs, stride);
    },
  };
}

/** Calls the module's coder. Booleans are passed as numbers. */
function simdCoder(memory: ArrayBuffer, base: number, wasm: KernelExports): Coder {
  return {
    tokenise({ width, ordered, shift, mask }, alone, places, units) {
      assertCoding(memory, base, places, width, units);
      const { from, tuned, tokens, classes, histogram, state } = places;
      const asked = [width, Number(ordered), Number(alone), shift, mask];
      wasm.tokenise(...asked, from, tuned, units, tokens, classes, histogram, state);
    },
    encode(units, { tokens, classes, tables, state }) {
      assertSpan(memory, base, tokens, units);
      assertSpan(memory, base, classes, units);
      wasm.encodeTokens(units, tokens, classes, tables, state);
    },
    decode({ width, ordered, shift, mask }, alone, places, units) {
      assertDecoding(memory, base, places, width, units);
      const { from, target, tokens, tables, state } = places;
      const asked = [width, Number(ordered), Number(alone), shift, mask];
      return wasm.decodeUnits(...asked, from, target, units, tokens, tables, state) !== 0;
    },
  };
}
