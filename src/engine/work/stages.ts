/** What each rule does to a block of elements: the table that turns a job's rule into calls of the kernel. */
import { type Dtype, elementCount, type FloatDtype, isFloatDtype } from "../../formats/dtype.js";
import { orBytes, sumIntegers } from "../../kernel/integers.js";
import type { Kernel } from "../../kernel/kernel.js";
import type { MemoryPlan } from "../io/memory.js";
import type { Rule, TensorJob } from "../job/job.js";
import { operandDtype, widthOf } from "../job/operand.js";
import { blendFloats } from "./blend.js";
import { startFit } from "./fit.js";
import type { ProofRun } from "./proof.js";
import type { Block, Part, Stage, StartStage } from "./stage.js";
import { startTerms, type TermRuns } from "./term.js";

/** Coded windows have no blocks, so encode.ts and decode.ts handle them. */
export const STAGES: Readonly<Partial<Record<Rule, StartStage>>> = {
  add: addFloats,
  subtract: subtractFloats,
  "add-integers": (job, kernel) => combineIntegers(job, kernel, kernel.addIntegers),
  "subtract-integers": (job, kernel) => combineIntegers(job, kernel, kernel.subtractIntegers),
  or: orBooleans,
  copy: copyBytes,
  convert: addFloats,
  "add-bits": (job, kernel, areas) => combineBits(job, job.dtype, kernel, areas, kernel.addIntegers),
  "subtract-bits": (job, kernel, areas) =>
    combineBits(job, operandDtype(job.start.operand), kernel, areas, kernel.subtractIntegers),
  blend: blendFloats,
};

function addFloats(job: TensorJob, kernel: Kernel, areas: MemoryPlan): Stage {
  const runs = startTerms(job, kernel, areas);
  const checkFit = startFit(job, kernel, areas);
  const [term] = runs.terms;
  const single = runs.terms.length === 1 && runs.start.dtype === "F32" ? term : undefined;
  let overflow = 0;
  kernel.sumBegin(areas.sumState, elementCount(job.shape) ?? 0);
  return {
    run(block) {
      const { items, start } = block;
      const sumAt = job.dtype === "F32" ? block.outAt : areas.sumBlock;
      const part = block.terms[0];
      // A term that is the start itself is overwritten with it, and may have to be read again.
      if (single !== undefined && part?.stored === items && part.at !== start.at) {
        runs.take(block);
        kernel.addSummed(single.dtype, part.at, start.at, sumAt, items, areas.sumState);
      } else {
        if (sumAt !== start.at) {
          kernel.widen(runs.start.dtype, start.at, sumAt, items);
        }
        runs.take(block);
        applyTerms(runs, kernel.add, block, sumAt);
        kernel.sumPush(areas.sumState, sumAt, items);
      }
      if (job.dtype === "F16" || job.dtype === "BF16") {
        overflow += kernel.narrow(job.dtype, sumAt, block.outAt, items);
        checkFit?.(block, sumAt);
      }
    },
    finish: () => ({ sum: kernel.sumEnd(areas.sumState), overflow }),
  };
}

function subtractFloats(job: TensorJob, kernel: Kernel, areas: MemoryPlan, proof: ProofRun | null): Stage {
  const memory = new Uint8Array(kernel.memory);
  const runs = startTerms(job, kernel, areas);
  const { dtype } = runs.start;
  const width = widthOf(dtype);
  return {
    run(block) {
      const { items, start, outAt } = block;
      if (proof !== null) {
        kernel.widen(dtype, start.at, areas.tunedBlock, items);
      }
      if (outAt !== start.at) {
        kernel.widen(dtype, start.at, outAt, items);
      }
      runs.take(block);
      applyTerms(runs, kernel.addNegated, block, outAt);
      if (proof !== null) {
        kernel.widen("F32", outAt, areas.recoveredBlock, items);
        applyTerms(runs, kernel.add, block, areas.recoveredBlock);
        proof.takeRecovered(items, memory.subarray(start.at, start.at + items * width));
      }
    },
    finish: () => ({ sum: 0, overflow: 0 }),
  };
}

/** Applies all terms, one after the other. @param target the block's F32 values. */
function applyTerms({ terms }: TermRuns, combine: Kernel["add"], block: Block, target: number): void {
  terms.forEach((term, index) => {
    term.apply(combine, block, block.terms[index] as Part, target);
  });
}

function combineIntegers(job: TensorJob, kernel: Kernel, combine: Kernel["addIntegers"]): Stage {
  const memory = new Uint8Array(kernel.memory);
  const width = widthOf(job.dtype);
  let sum = 0;
  return {
    run({ items, start, terms, outAt }) {
      memory.copyWithin(outAt, start.at, start.at + items * width);
      for (const { at, stored } of terms) {
        combine(width, at, outAt, stored);
      }
      sum += sumIntegers(memory.subarray(outAt, outAt + items * width), job.dtype);
    },
    finish: () => ({ sum, overflow: 0 }),
  };
}

function orBooleans(job: TensorJob, kernel: Kernel): Stage {
  const memory = new Uint8Array(kernel.memory);
  let sum = 0;
  return {
    run({ items, start, terms, outAt }) {
      memory.copyWithin(outAt, start.at, start.at + items);
      for (const { at, stored } of terms) {
        orBytes(memory.subarray(outAt, outAt + stored), memory.subarray(at, at + stored));
      }
      sum += sumIntegers(memory.subarray(outAt, outAt + items), job.dtype);
    },
    finish: () => ({ sum, overflow: 0 }),
  };
}

function copyBytes(job: TensorJob, kernel: Kernel, areas: MemoryPlan): Stage {
  const memory = new Uint8Array(kernel.memory);
  const width = widthOf(job.dtype);
  // make-diff needs no sum of the tensors that it stores, and a report needs no sum at all.
  const summed = !job.prove && job.measure === undefined && isFloatDtype(job.dtype) ? job.dtype : null;
  if (summed !== null) {
    kernel.sumBegin(areas.sumState, elementCount(job.shape) ?? 0);
  }
  return {
    run({ items, start, outAt }) {
      memory.copyWithin(outAt, start.at, start.at + items * width);
      if (summed !== null) {
        kernel.widen(summed, start.at, areas.sumBlock, items);
        kernel.sumPush(areas.sumState, areas.sumBlock, items);
      }
    },
    finish: () => ({ sum: summed === null ? 0 : kernel.sumEnd(areas.sumState), overflow: 0 }),
  };
}

/** @param tuned the dtype to which terms are converted, through F32 (docs/arithmetic.md 1, 3), before bit patterns are combined. */
function combineBits(
  job: TensorJob,
  tuned: Dtype,
  kernel: Kernel,
  areas: MemoryPlan,
  combine: Kernel["addIntegers"],
): Stage {
  const memory = new Uint8Array(kernel.memory);
  const width = widthOf(tuned);
  const summed = job.rule === "add-bits" && isFloatDtype(tuned);
  if (summed) {
    kernel.sumBegin(areas.sumState, elementCount(job.shape) ?? 0);
  }
  const dtypes = job.terms.map(({ operand }) => operandDtype(operand));
  const convert = (dtype: Dtype, { at, stored }: Part): number => {
    if (dtype === tuned) {
      return at;
    }
    kernel.widen(dtype as FloatDtype, at, areas.rawBlock, stored);
    if (tuned === "F16" || tuned === "BF16") {
      kernel.narrow(tuned, areas.rawBlock, areas.rawBlock, stored);
    }
    return areas.rawBlock;
  };
  return {
    run({ items, start, terms, outAt }) {
      memory.copyWithin(outAt, start.at, start.at + items * width);
      terms.forEach((part, index) => {
        combine(width, convert(dtypes[index] ?? tuned, part), outAt, part.stored);
      });
      if (summed) {
        kernel.widen(tuned, outAt, areas.sumBlock, items);
        kernel.sumPush(areas.sumState, areas.sumBlock, items);
      }
    },
    finish: () => ({ sum: summed ? kernel.sumEnd(areas.sumState) : 0, overflow: 0 }),
  };
}
