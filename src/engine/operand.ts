/** What there is to know of a job's operands before their bytes are there. */
import { type Dtype, dtypeBits, elementCount } from "../formats/dtype.js";
import type { Operand, TensorJob } from "./job.js";

export function operandDtype(operand: Operand): Dtype {
  return operand.kind === "stored" ? operand.dtype : "F32";
}

/** Elements of raw: fewer than the output's where rows are new, none without raw. */
export function rawElements(job: TensorJob): number {
  return job.raw === null ? 0 : job.raw.kind === "stored" ? (elementCount(job.raw.shape) ?? 0) : job.raw.count;
}

/** Bytes of one element; the packed types never come here. */
export function widthOf(dtype: Dtype): number {
  return dtypeBits(dtype) / 8;
}
