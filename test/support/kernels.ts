/** Both kernels, and the made-up numbers of fixtures/kernel/make.py and fixtures/exactness-vectors.json, for the tests. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import type { Kernel } from "../../src/kernel/kernel.js";
import { KERNEL_WASM_URL } from "../../src/kernel/load.js";
import { createScalarKernel } from "../../src/kernel/scalar.js";
import { createSimdKernel } from "../../src/kernel/simd.js";

let module: WebAssembly.Module | undefined;

export function simdKernel(bytes: number): Kernel {
  module ??= new WebAssembly.Module(readFileSync(KERNEL_WASM_URL));
  return createSimdKernel(bytes, module);
}

export function bothKernels(bytes: number): readonly [simd: Kernel, scalar: Kernel] {
  return [simdKernel(bytes), createScalarKernel(bytes)];
}

/** The bytes at a position; a copy. */
export function peek(kernel: Kernel, at: number, bytes: number): Uint8Array {
  return new Uint8Array(kernel.memory, at, bytes).slice();
}

export function poke(kernel: Kernel, at: number, bytes: ArrayBufferView): void {
  new Uint8Array(kernel.memory).set(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength), at);
}

/** Little-endian bytes as hexadecimal, compared as text so that a failure shows the place. */
export function assertBytes(found: Uint8Array, expected: string, what: string): void {
  assert.equal(Buffer.from(found).toString("hex"), expected, what);
}

export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** 32 random bits for each of first .. first+count-1. */
export function hashed(seed: number, count: number, first = 0): Uint32Array {
  const bits = new Uint32Array(count);
  for (let i = 0; i < count; i++) {
    let h = (Math.imul(first + i, 0x9e3779b1) + seed) | 0;
    h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
    bits[i] = h ^ (h >>> 16);
  }
  return bits;
}

/** Normal F32 values, as bits, with exponents lo .. lo+span-1. */
export function spread(seed: number, count: number, lo: number, span: number, first = 0): Uint32Array {
  return hashed(seed, count, first).map((h) => (h & 0x807fffff) | ((lo + (((h >>> 23) & 255) % span)) << 23));
}

/** [state of a sum, state of a mean, room for the data] of a kernel that works on rows of `columns`. */
export function places(kernel: Kernel, columns: number): readonly [sum: number, mean: number, data: number] {
  const mean = kernel.base + kernel.sumBytes;
  return [kernel.base, mean, mean + kernel.meanBytes(columns)];
}

/** The mean row, fed in pushes of at most `pushElements`. */
export function meanRow(kernel: Kernel, rows: number, columns: number, make: Make, pushElements = 2 ** 20): Uint8Array {
  const [, state, data] = places(kernel, columns);
  kernel.meanBegin(state, rows, columns);
  for (let first = 0; first < rows * columns; first += pushElements) {
    const count = Math.min(pushElements, rows * columns - first);
    poke(kernel, data, make(first, count));
    kernel.meanPush(state, data, count);
  }
  kernel.meanEnd(state, data);
  return peek(kernel, data, 4 * columns);
}

/** The sum as the four bytes of an F32. */
export function sum(kernel: Kernel, total: number, make: Make, pushElements = 2 ** 20): Uint8Array {
  const [state, , data] = places(kernel, 1);
  kernel.sumBegin(state, total);
  for (let first = 0; first < total; first += pushElements) {
    const count = Math.min(pushElements, total - first);
    poke(kernel, data, make(first, count));
    kernel.sumPush(state, data, count);
  }
  return new Uint8Array(new Float32Array([kernel.sumEnd(state)]).buffer);
}

/** Elements first .. first+count-1, F32 as bits. */
export type Make = (first: number, count: number) => Uint32Array;
