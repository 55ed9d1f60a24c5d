/** Cuts jobs into windows: which elements belong to a job, and how many go into one window. */
import { windowElements as codedElements } from "../formats/coded/units.js";
import { elementCount } from "../formats/dtype.js";
import { PAGE } from "./io/disk.js";
import { MOST_ROWS } from "./io/memory.js";
import type { Job, WindowedJob } from "./job/job.js";
import { codingOf, operandDtype, operandsOf, updatesCoded, widthOf } from "./job/operand.js";

/** The job's elements are those from `first` up to `count`. */
export function elementsOf(job: WindowedJob): { readonly first: number; readonly count: number } {
  if (job.kind === "product") {
    const [, columns = 0] = job.source.shape;
    return { first: job.rows.begin * columns, count: job.rows.end * columns };
  }
  const shape = job.kind === "tensor" ? job.shape : job.kind === "digest" ? job.source.shape : job.left.shape;
  return { first: 0, count: elementCount(shape) ?? 0 };
}

/** How many bytes of one operand a window must hold at least for these jobs. Coded windows have a fixed length. */
export function leastWindowBytes(jobs: readonly Job[]): number {
  return jobs.reduce(
    (most, job) =>
      job.kind === "tensor" && (codingOf(job) !== "none" || updatesCoded(job) !== "none")
        ? Math.max(
            most,
            ...operandsOf(job).distinct.map((operand) => codedElements(job.dtype) * widthOf(operandDtype(operand))),
          )
        : job.kind === "product"
          ? Math.max(most, (job.source.shape[1] ?? 0) * widthOf(job.source.dtype))
          : most,
    0,
  );
}

/** How many elements fit into a window. The widest of the operands, the result and the F32 values between decides. */
export function windowElements(job: WindowedJob, windowBytes: number): number {
  if (job.kind === "tensor" && codingOf(job) !== "none") {
    return codedElements(job.dtype);
  }
  if (job.kind === "product") {
    const [, columns = 1] = job.source.shape;
    const rows = Math.floor(windowBytes / widthOf(job.source.dtype) / columns);
    return Math.min(rows, MOST_ROWS) * columns;
  }
  const dtypes = operandsOf(job).distinct.map(operandDtype);
  if (job.kind !== "digest") {
    dtypes.push("F32");
  }
  const widest = Math.max(...dtypes.map(widthOf));
  const elements = Math.floor(windowBytes / widest / PAGE) * PAGE;
  if (job.kind !== "tensor" || updatesCoded(job) === "none") {
    return elements;
  }
  // A coded step needs whole coded windows.
  const own = codedElements(job.dtype);
  return Math.max(1, Math.floor(elements / own)) * own;
}
