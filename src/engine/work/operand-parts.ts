/** Gives the operands of a tensor's job block by block: which bytes belong to which elements. It also puts bytes in order and takes their checksums. */
import type { TensorJob } from "../job/job.js";
import { elementsBefore, operandDtype, operandsOf, widthOf } from "../job/operand.js";
import { byteSwap } from "./byte-swap.js";
import type { Part } from "./stage.js";
import type { LoadedWindow } from "./window.js";

export interface OperandParts {
  /** The parts for elements [first, first + items) of the output: the start's, then each term's. Call it once for every block, in order. */
  take(window: LoadedWindow, first: number, items: number): readonly Part[];
  /** @param index of the part: 0 is the start's. */
  bytesOf(index: number, part: Part): Uint8Array;
  /** @throws {WeightDiffError} CRC_MISMATCH. */
  finish(paths: readonly string[]): void;
}

/** @param memory of the kernel. */
export function operandParts(job: TensorJob, memory: Uint8Array): OperandParts {
  const { distinct, places } = operandsOf(job);
  const bytes = distinct.map((operand) => (operand.kind === "stored" ? byteSwap(operand) : null));
  const widths = distinct.map((operand) => widthOf(operandDtype(operand)));
  return {
    take(window, first, items) {
      const parts = distinct.map((operand, index): Part => {
        const skipped = elementsBefore(job, operand, first);
        const stored = elementsBefore(job, operand, first + items) - skipped;
        const width = widths[index] ?? 0;
        const at = (window.at[index] ?? 0) + (skipped - elementsBefore(job, operand, window.begin)) * width;
        bytes[index]?.take(memory.subarray(at, at + stored * width));
        return { at, stored };
      });
      return places.map((place) => parts[place] as Part);
    },
    bytesOf(index, { at, stored }) {
      return memory.subarray(at, at + stored * (widths[places[index] ?? 0] ?? 0));
    },
    finish(paths) {
      for (const each of bytes) {
        each?.finish(paths);
      }
    },
  };
}
