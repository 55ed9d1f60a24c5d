/** The steps of a job, and what is known about them without making their list. */
import { stepBytes } from "../../formats/update.js";
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
