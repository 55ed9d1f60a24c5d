/** What there is to know of a job's operands before their bytes are there. */
import { type Dtype, dtypeBits, elementCount } from "../../formats/dtype.js";
import type { Operand, TensorJob } from "../job/job.js";

export function operandDtype(operand: Operand): Dtype {
  return operand.kind === "stored" ? operand.dtype : "F32";
}

/** Elements of raw: fewer than the output's where rows are new, none without raw. */
export function rawElements(job: TensorJob): number {
  return job.raw === null ? 0 : job.raw.kind === "stored" ? (elementCount(job.raw.shape) ?? 0) : job.raw.count;
}

/**
 * How many of raw's elements go with the output's elements before `index`. Raw may have fewer rows, and in a blend fewer
 * columns: then it is the top left block of the output, and its elements are still met in their own order.
 */
export function rawBefore(job: TensorJob, index: number): number {
  const count = rawElements(job);
  const width = rawColumns(job);
  if (width === null) {
    return Math.min(index, count);
  }
  const columns = job.shape[1] ?? 1;
  const row = Math.floor(index / columns);
  return Math.min(row * width + Math.min(index - row * columns, width), count);
}

/** Raw's columns where they are fewer than the output's; null otherwise. */
export function rawColumns({ rule, raw, shape }: TensorJob): number | null {
  const width = rule === "blend" && raw?.kind === "stored" && shape.length === 2 ? raw.shape[1] : undefined;
  return width === undefined || width === shape[1] ? null : width;
}

/** Bytes of one element; the packed types never come here. */
export function widthOf(dtype: Dtype): number {
  return dtypeBits(dtype) / 8;
}
