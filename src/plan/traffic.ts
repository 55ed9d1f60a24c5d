/** How many bytes a plan moves. Progress, dry runs and the choice of threads use these numbers. */
import type { Job, Operand } from "../engine/job/job.js";
import { operandsOf } from "../engine/job/operand.js";
import { elementCount, tensorBytes } from "../formats/dtype.js";
import { rangeLength } from "../formats/tensor-info.js";
import { stepBytes } from "../formats/update.js";
import type { RunPlan } from "./plan.js";

/** Bytes read from inputs and written to outputs. */
interface Traffic {
  readonly read: number;
  readonly write: number;
}

/** The bytes of all jobs together. */
export function planTraffic({ jobs }: Pick<RunPlan, "jobs">): Traffic {
  let read = 0;
  let write = 0;
  for (const job of jobs) {
    const own = jobTraffic(job);
    read += own.read;
    write += own.write;
  }
  return { read, write };
}

/** The job that moves most bytes comes first, so that no large one is left to one thread at the end. */
export function largestFirst<J extends Job>(jobs: readonly J[]): J[] {
  const sized = jobs.map((job) => {
    const { read, write } = jobTraffic(job);
    return { job, bytes: read + write };
  });
  return sized.sort((a, b) => b.bytes - a.bytes).map(({ job }) => job);
}

export function jobTraffic(job: Job): Traffic {
  if (job.kind === "file") {
    return { read: job.traffic.read, write: job.output === null ? 0 : job.traffic.write };
  }
  if (job.kind === "payload") {
    const models = [job.base, job.tuned].reduce(
      (sum, operand) => sum + (operand === null ? 0 : operandBytes(operand)),
      0,
    );
    return { read: models + job.steps.reduce((sum, step) => sum + stepBytes(step), 0), write: 0 };
  }
  return {
    read:
      operandsOf(job).distinct.reduce((sum, operand) => sum + operandBytes(operand), 0) +
      (job.kind === "tensor" ? (job.updates?.bytes ?? 0) : 0),
    write: job.kind === "tensor" ? rangeLength(job.output?.range) : 0,
  };
}

function operandBytes(operand: Operand): number {
  if (operand.kind !== "stored") {
    return operand.kind === "coded" ? rangeLength(operand.range) : 0;
  }
  return (elementCount(operand.shape) ?? 0) === 0 ? 0 : (tensorBytes(operand.dtype, operand.shape) ?? 0);
}
