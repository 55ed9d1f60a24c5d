/** Both kernels with room for coded windows. */
import { type CoderAreas, planMemory } from "../../src/engine/io/memory.js";
import { decodeWindow, encodeWindow } from "../../src/engine/work/windows.js";
import type { Unit } from "../../src/formats/coded/units.js";
import type { Kernel } from "../../src/kernel/kernel.js";
import { bothKernels, peek, poke } from "./kernels.js";

/** Bytes of a window that a bench can hold. */
export const WINDOW_ROOM = 1 << 21;
const needs = { windowBytes: WINDOW_ROOM, slots: 1, operands: 2, sumBytes: 0, means: 0, meanBytes: 0, meanColumns: 0 };

/** A kernel with room for one window. */
export interface WindowBench {
  readonly kernel: Kernel;
  readonly areas: CoderAreas;
  readonly from: number;
  readonly tuned: number;
  readonly out: number;
}

function benchOf(kernel: Kernel): WindowBench {
  const { coder, slots } = planMemory(kernel.base, { ...needs, coder: "encode", measures: false });
  const [slot] = slots;
  const [from = 0, tuned = 0] = slot?.operands ?? [];
  if (coder === null || slot === undefined) {
    throw new Error("no room");
  }
  return { kernel, areas: coder, from, tuned, out: slot.out };
}

export function windowBenches(): readonly [simd: WindowBench, scalar: WindowBench] {
  const { end } = planMemory(1 << 16, { ...needs, coder: "encode", measures: false });
  const [simd, scalar] = bothKernels(end);
  return [benchOf(simd), benchOf(scalar)];
}

/** The window that these units become. */
export function encoded(bench: WindowBench, unit: Unit, base: Uint8Array, tuned: Uint8Array): Uint8Array {
  const { kernel, areas, from, out } = bench;
  poke(kernel, from, base);
  poke(kernel, bench.tuned, tuned);
  const plain = { from, tuned: bench.tuned, units: tuned.length / unit.width };
  return peek(kernel, out, encodeWindow(kernel, areas, unit, plain, out).bytes);
}

/** The units of a window, decoded in pieces of `piece`. @throws {WeightDiffError} FORMAT_INVALID. */
export function decoded(
  { kernel, areas, from, tuned, out }: WindowBench,
  unit: Unit,
  base: Uint8Array,
  window: Uint8Array,
  piece = 1 << 16,
): Uint8Array {
  const units = base.length / unit.width;
  poke(kernel, from, base);
  poke(kernel, out, window);
  const decoder = decodeWindow(kernel, areas, unit, { at: out, length: window.length, units }, {});
  for (let first = 0; first < units; first += piece) {
    const count = Math.min(piece, units - first);
    decoder.decode(from + first * unit.width, tuned + first * unit.width, count);
  }
  decoder.end();
  return peek(kernel, tuned, base.length);
}
