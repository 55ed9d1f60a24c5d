/** What a term contributes to a tensor, block by block: its own elements, and its mean row for the rows that it lacks. */
import type { FloatDtype } from "../../formats/dtype.js";
import type { Kernel } from "../../kernel/kernel.js";
import type { MeanArea, MemoryPlan } from "../io/memory.js";
import type { TensorJob, Term } from "../job/job.js";
import { elementsOf, operandDtype } from "../job/operand.js";
import type { Block, Part } from "./stage.js";

export interface TermRun {
  readonly dtype: FloatDtype;
  /** @param target the block's F32 values, to which the term is added or from which it is subtracted. */
  apply(combine: Kernel["add"], block: Block, part: Part, target: number): void;
  /** Writes the mean row's F32 values to the elements of the block at `target` that the operand lacks. */
  fill(block: Block, part: Part, target: number): void;
}

export interface TermRuns {
  readonly start: TermRun;
  readonly terms: readonly TermRun[];
  /** Adds to the means. Every block must be given here first. */
  take(block: Block): void;
}

/** Starts the terms of a tensor. A mean that several terms want is computed once. */
export function startTerms(job: TensorJob, kernel: Kernel, areas: MemoryPlan): TermRuns {
  const memory = new Uint8Array(kernel.memory);
  const feeds: ((block: Block) => void)[] = [];
  const taken = new Map<string, MeanArea>();

  /** Where the term's mean row is after the last block of the operand. */
  const meanArea = (term: Term, partOf: (block: Block) => Part): MeanArea | null => {
    const { operand, mean } = term;
    const key = JSON.stringify(operand);
    const known = taken.get(key);
    if (mean === null || known !== undefined) {
      return known ?? null;
    }
    const area = areas.means[taken.size];
    if (area === undefined) {
      throw new TypeError(`job ${job.id}: no memory for its mean rows`);
    }
    taken.set(key, area);
    const dtype = operandDtype(operand) as FloatDtype;
    const count = elementsOf(operand);
    kernel.meanBegin(area.state, mean.rows, mean.columns);
    feeds.push((block) => {
      const { at, stored } = partOf(block);
      if (stored > 0) {
        kernel.widen(dtype, at, areas.rawBlock, stored);
        kernel.meanPush(area.state, areas.rawBlock, stored);
        if (block.first + stored === count) {
          kernel.meanEnd(area.state, area.row);
        }
      }
    });
    return area;
  };

  const startTerm = (term: Term, partOf: (block: Block) => Part): TermRun => {
    const { operand, mean } = term;
    const dtype = operandDtype(operand) as FloatDtype;
    const count = elementsOf(operand);
    const area = meanArea(term, partOf);
    /** Goes through the elements that the operand lacks, a piece of one row at a time. */
    const eachNew = (
      { first, items }: Block,
      { stored }: Part,
      visit: (k: number, row: number, piece: number) => void,
    ): void => {
      for (let k = stored; k < items && mean !== null && area !== null; ) {
        const column = (first + k - count) % mean.columns;
        const piece = Math.min(mean.columns - column, items - k);
        visit(k, area.row + column * 4, piece);
        k += piece;
      }
    };
    return {
      dtype,
      apply(combine, block, part, target) {
        combine(dtype, part.at, target, part.stored);
        eachNew(block, part, (k, row, piece) => {
          combine("F32", row, target + k * 4, piece);
        });
      },
      fill(block, part, target) {
        eachNew(block, part, (k, row, piece) => {
          memory.copyWithin(target + k * 4, row, row + piece * 4);
        });
      },
    };
  };

  return {
    start: startTerm(job.start, ({ start }) => start),
    terms: job.terms.map((term, index) => startTerm(term, ({ terms }) => terms[index] as Part)),
    take(block) {
      for (const feed of feeds) {
        feed(block);
      }
    },
  };
}
