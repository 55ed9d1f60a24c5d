/** What raw contributes to a tensor, block by block: its own elements, and its mean row to the rows it does not have. */
import type { FloatDtype } from "../../formats/dtype.js";
import type { Kernel } from "../../kernel/kernel.js";
import type { MemoryPlan } from "../io/memory.js";
import type { TensorJob } from "../job/job.js";
import { operandDtype, rawElements } from "./operand.js";
import type { Block } from "./stage.js";

export interface RawTerms {
  /** Feeds the mean; every block must pass here first. */
  take(block: Block): void;
  /** target: the block's F32 values, to which raw's terms are added or from which they are taken. */
  apply(combine: Kernel["add"], block: Block, target: number): void;
  /** Writes the mean row's F32 values to the elements of the block at `target` that raw lacks. */
  fill(block: Block, target: number): void;
}

/** Starts the terms of one tensor. */
export function rawTerms(job: TensorJob, kernel: Kernel, areas: MemoryPlan): RawTerms {
  const memory = new Uint8Array(kernel.memory);
  const dtype = job.raw === null ? "F32" : (operandDtype(job.raw) as FloatDtype);
  const rawCount = rawElements(job);
  const { mean } = job;
  if (mean !== null) {
    kernel.meanBegin(areas.meanState, mean.rows, mean.columns);
  }
  /** The elements that raw lacks, a piece of one row at a time. */
  const eachNew = (
    { first, items, stored }: Block,
    visit: (k: number, column: number, piece: number) => void,
  ): void => {
    for (let k = stored; k < items && mean !== null; ) {
      const column = (first + k - rawCount) % mean.columns;
      const piece = Math.min(mean.columns - column, items - k);
      visit(k, column, piece);
      k += piece;
    }
  };
  return {
    take({ first, stored, rawAt }) {
      if (mean !== null && stored > 0) {
        kernel.widen(dtype, rawAt, areas.rawBlock, stored);
        kernel.meanPush(areas.meanState, areas.rawBlock, stored);
        if (first + stored === rawCount) {
          kernel.meanEnd(areas.meanState, areas.meanRow);
        }
      }
    },
    apply(combine, block, target) {
      combine(dtype, block.rawAt, target, block.stored);
      eachNew(block, (k, column, piece) => {
        combine("F32", areas.meanRow + column * 4, target + k * 4, piece);
      });
    },
    fill(block, target) {
      eachNew(block, (k, column, piece) => {
        memory.copyWithin(target + k * 4, areas.meanRow + column * 4, areas.meanRow + (column + piece) * 4);
      });
    },
  };
}
