/** How many bytes a plan moves: what progress, dry runs and the choice of threads go by. */
import type { Operand, UpdateStep } from "../engine/job/job.js";
import { operandsOf } from "../engine/job/operand.js";
import { elementCount, tensorBytes } from "../formats/dtype.js";
import { rangeLength } from "../formats/tensor-info.js";
import type { RunPlan } from "./plan.js";

/** Bytes that jobs read from inputs, and write to outputs. */
export function planTraffic({ jobs }: Pick<RunPlan, "jobs">): { readonly read: number; readonly write: number } {
  let read = 0;
  let write = 0;
  for (const job of jobs) {
    if (job.kind === "file") {
      read += job.traffic.read;
      write += job.output === null ? 0 : job.traffic.write;
      continue;
    }
    const operands = operandsOf(job).distinct;
    read += operands.reduce((sum, operand) => sum + operandBytes(operand), 0);
    read += job.kind === "tensor" ? (job.updates?.steps ?? []).reduce((sum, step) => sum + stepBytes(step), 0) : 0;
    write += job.kind === "tensor" ? rangeLength(job.output?.range) : 0;
  }
  return { read, write };
}

function stepBytes({ range, values }: UpdateStep): number {
  return rangeLength(range) + rangeLength(values?.range);
}

function operandBytes(operand: Operand): number {
  if (operand.kind !== "stored") {
    return operand.kind === "coded" ? rangeLength(operand.range) : 0;
  }
  return (elementCount(operand.shape) ?? 0) === 0 ? 0 : (tensorBytes(operand.dtype, operand.shape) ?? 0);
}
