/** What happens to a block of elements under each rule: the table that turns the words of a job into calls of the kernel. */
import { type Dtype, elementCount, type FloatDtype, isFloatDtype } from "../../formats/dtype.js";
import { orBytes, sumIntegers } from "../../kernel/integers.js";
import type { Kernel } from "../../kernel/kernel.js";
import type { MemoryPlan } from "../io/memory.js";
import type { Rule, TensorJob } from "../job/job.js";
import { blendFloats } from "./blend.js";
import { operandDtype, widthOf } from "./operand.js";
import type { ProofRun } from "./proof.js";
import { rawTerms } from "./raw-terms.js";
import type { Stage, StartStage } from "./stage.js";

export const STAGES: Readonly<Record<Rule, StartStage>> = {
  add: addFloats,
  subtract: subtractFloats,
  "add-integers": (job, kernel) => combineIntegers(job, kernel, kernel.addIntegers),
  "subtract-integers": (job, kernel) => combineIntegers(job, kernel, kernel.subtractIntegers),
  or: orBooleans,
  copy: copyBytes,
  convert: addFloats,
  "add-bits": (job, kernel, areas) => combineBits(job, job.dtype, kernel, areas, kernel.addIntegers),
  "subtract-bits": (job, kernel, areas) => combineBits(job, job.driver.dtype, kernel, areas, kernel.subtractIntegers),
  blend: blendFloats,
};

function addFloats(job: TensorJob, kernel: Kernel, areas: MemoryPlan): Stage {
  const raw = rawTerms(job, kernel, areas);
  let overflow = 0;
  kernel.sumBegin(areas.sumState, elementCount(job.shape) ?? 0);
  return {
    run(block) {
      const sumAt = job.dtype === "F32" ? block.outAt : areas.sumBlock;
      if (sumAt !== block.driverAt) {
        kernel.widen(job.driver.dtype as FloatDtype, block.driverAt, sumAt, block.items);
      }
      raw.take(block);
      raw.apply(kernel.add, block, sumAt);
      kernel.sumPush(areas.sumState, sumAt, block.items);
      if (job.dtype === "F16" || job.dtype === "BF16") {
        overflow += kernel.narrow(job.dtype, sumAt, block.outAt, block.items);
      }
    },
    finish: () => ({ sum: kernel.sumEnd(areas.sumState), overflow }),
  };
}

function subtractFloats(job: TensorJob, kernel: Kernel, areas: MemoryPlan, proof: ProofRun | null): Stage {
  const memory = new Uint8Array(kernel.memory);
  const width = widthOf(job.driver.dtype);
  const raw = rawTerms(job, kernel, areas);
  return {
    run(block) {
      if (proof !== null) {
        kernel.widen(job.driver.dtype as FloatDtype, block.driverAt, areas.tunedBlock, block.items);
      }
      if (block.outAt !== block.driverAt) {
        kernel.widen(job.driver.dtype as FloatDtype, block.driverAt, block.outAt, block.items);
      }
      raw.take(block);
      raw.apply(kernel.subtract, block, block.outAt);
      if (proof !== null) {
        kernel.widen("F32", block.outAt, areas.recoveredBlock, block.items);
        raw.apply(kernel.add, block, areas.recoveredBlock);
        proof.takeRecovered(block.items, memory.subarray(block.driverAt, block.driverAt + block.items * width));
      }
    },
    finish: () => ({ sum: 0, overflow: 0 }),
  };
}

function combineIntegers(job: TensorJob, kernel: Kernel, combine: Kernel["addIntegers"]): Stage {
  const memory = new Uint8Array(kernel.memory);
  const width = widthOf(job.dtype);
  let sum = 0;
  return {
    run({ items, stored, rawAt, driverAt, outAt }) {
      memory.copyWithin(outAt, driverAt, driverAt + items * width);
      combine(width, rawAt, outAt, stored);
      sum += sumIntegers(memory.subarray(outAt, outAt + items * width), job.dtype);
    },
    finish: () => ({ sum, overflow: 0 }),
  };
}

function orBooleans(job: TensorJob, kernel: Kernel): Stage {
  const memory = new Uint8Array(kernel.memory);
  let sum = 0;
  return {
    run({ items, stored, rawAt, driverAt, outAt }) {
      memory.copyWithin(outAt, driverAt, driverAt + items);
      orBytes(memory.subarray(outAt, outAt + stored), memory.subarray(rawAt, rawAt + stored));
      sum += sumIntegers(memory.subarray(outAt, outAt + items), job.dtype);
    },
    finish: () => ({ sum, overflow: 0 }),
  };
}

function copyBytes(job: TensorJob, kernel: Kernel, areas: MemoryPlan): Stage {
  const memory = new Uint8Array(kernel.memory);
  const width = widthOf(job.dtype);
  // make-diff has no use for the sum of what it stores.
  const summed = !job.prove && isFloatDtype(job.dtype) ? job.dtype : null;
  if (summed !== null) {
    kernel.sumBegin(areas.sumState, elementCount(job.shape) ?? 0);
  }
  return {
    run({ items, driverAt, outAt }) {
      memory.copyWithin(outAt, driverAt, driverAt + items * width);
      if (summed !== null) {
        kernel.widen(summed, driverAt, areas.sumBlock, items);
        kernel.sumPush(areas.sumState, areas.sumBlock, items);
      }
    },
    finish: () => ({ sum: summed === null ? 0 : kernel.sumEnd(areas.sumState), overflow: 0 }),
  };
}

/** `tuned`: the dtype that raw is converted to, by way of F32 (EXACTNESS 2), before patterns are combined. */
function combineBits(
  job: TensorJob,
  tuned: Dtype,
  kernel: Kernel,
  areas: MemoryPlan,
  combine: Kernel["addIntegers"],
): Stage {
  const memory = new Uint8Array(kernel.memory);
  const width = widthOf(tuned);
  const raw = job.raw === null ? tuned : operandDtype(job.raw);
  const summed = job.rule === "add-bits" && isFloatDtype(tuned);
  if (summed) {
    kernel.sumBegin(areas.sumState, elementCount(job.shape) ?? 0);
  }
  const convert = (rawAt: number, stored: number): number => {
    if (raw === tuned) {
      return rawAt;
    }
    kernel.widen(raw as FloatDtype, rawAt, areas.rawBlock, stored);
    if (tuned === "F16" || tuned === "BF16") {
      kernel.narrow(tuned, areas.rawBlock, areas.rawBlock, stored);
    }
    return areas.rawBlock;
  };
  return {
    run({ items, stored, rawAt, driverAt, outAt }) {
      memory.copyWithin(outAt, driverAt, driverAt + items * width);
      combine(width, convert(rawAt, stored), outAt, stored);
      if (summed) {
        kernel.widen(tuned, outAt, areas.sumBlock, items);
        kernel.sumPush(areas.sumState, areas.sumBlock, items);
      }
    },
    finish: () => ({ sum: summed ? kernel.sumEnd(areas.sumState) : 0, overflow: 0 }),
  };
}
