/** The steps of a job, and what is known about them without making their list. */
import { type ByteRange, rangeLength } from "../../formats/tensor-info.js";
import type { UpdateStep, Updates } from "./job.js";

/** The updates of these steps. */
export function updatesOf(steps: readonly UpdateStep[], rest: Pick<Updates, "sums" | "sumsOnly" | "joined">): Updates {
  return {
    bytes: steps.reduce((sum, step) => sum + stepBytes(step), 0),
    coded: steps.some(({ encoding }) => encoding === "exact-compressed"),
    steps,
    ...rest,
  };
}

/** The bytes that a step reads of its payload. */
export function stepBytes({
  range,
  values,
}: {
  readonly range: ByteRange;
  readonly values?: { readonly range: ByteRange } | undefined;
}): number {
  return rangeLength(range) + rangeLength(values?.range);
}
