/**
 * The block of memory in which a kernel works. It never grows. Direct I/O needs memory that starts on a page of the operating system.
 * WebAssembly memory does, so the scalar kernel uses it too, if there is WebAssembly.
 */
import { WeightDiffError } from "../errors.js";

const WASM_PAGE = 65536;

/** WebAssembly memory of at least `bytes` bytes. @throws {WeightDiffError} LIMIT if the system has no such block. */
export function createWasmMemory(bytes: number): WebAssembly.Memory {
  const pages = Math.ceil(bytes / WASM_PAGE);
  return orLimit(bytes, () => new WebAssembly.Memory({ initial: pages, maximum: pages }));
}

/** Memory of at least `bytes` bytes. It starts on a page if there is WebAssembly. @throws {WeightDiffError} LIMIT if the system has no such block. */
export function createMemory(bytes: number): ArrayBuffer {
  return typeof WebAssembly === "undefined"
    ? orLimit(bytes, () => new ArrayBuffer(bytes))
    : createWasmMemory(bytes).buffer;
}

function orLimit<T>(bytes: number, allocate: () => T): T {
  try {
    return allocate();
  } catch (cause) {
    // V8 reserves some 10 GB of addresses for each memory, even a small one. So a limit on addresses is the first thing that refuses it.
    throw new WeightDiffError(
      "LIMIT",
      `the system refuses a worker its block of ${(bytes / 2 ** 20).toFixed(1)} MiB, for which WebAssembly reserves some 10 GB of addresses`,
      "lift the limit of addresses (ulimit -v unlimited; h_vmem in a batch system), or reserve less: NODE_OPTIONS=--disable-wasm-trap-handler",
      { cause },
    );
  }
}

/** Refuses a position outside the caller's part of the memory. It is a bug of the caller, and must not turn into wrong numbers. @throws {RangeError} */
export function assertSpan(memory: ArrayBuffer, base: number, at: number, bytes: number): void {
  if (!(Number.isSafeInteger(at) && Number.isSafeInteger(bytes) && at >= base && bytes >= 0)) {
    throw new RangeError(`kernel: ${bytes} bytes at ${at}`);
  }
  if (at + bytes > memory.byteLength) {
    throw new RangeError(`kernel: ${bytes} bytes at ${at} of ${memory.byteLength}`);
  }
}

/** Refuses a block to be transposed (Kernel.transpose) that reaches outside, or whose rows do. @throws {RangeError} */
export function assertBlock(
  memory: ArrayBuffer,
  base: number,
  block: Readonly<Record<"source" | "pitch" | "rows" | "columns" | "places" | "shift", number>>,
): void {
  const { source, pitch, rows, columns, places, shift } = block;
  assertSize(rows, 0);
  assertSize(columns, 0);
  assertSize(pitch, rows);
  assertSize(shift, 0);
  assertSpan(memory, base, source, columns === 0 ? 0 : 2 * ((columns - 1) * pitch + rows));
  assertSpan(memory, base, places, 4 * rows);
  if (places % 4 !== 0) {
    throw new RangeError(`kernel: places at ${places}`);
  }
  const starts = new Uint32Array(memory, places, rows);
  const last = memory.byteLength - 2 * (shift + columns);
  for (let row = 0; row < rows; row++) {
    const at = starts[row] as number;
    if (at < base || at > last) {
      throw new RangeError(`kernel: a row at ${at}`);
    }
  }
}

/** Refuses anything but the width of an integer in bytes. @throws {RangeError} */
export function assertWidth(width: number): void {
  if (![1, 2, 4, 8].includes(width)) {
    throw new RangeError(`kernel: integers of ${width} bytes`);
  }
}

/** Refuses a number of rows, columns or elements that is not a whole number, or is below `least`. @throws {RangeError} */
export function assertSize(size: number, least: number): void {
  if (!Number.isSafeInteger(size) || size < least) {
    throw new RangeError(`kernel: a size of ${size}`);
  }
}
