/** What recover and convert report of the tensors that they wrote. */

import type { Dtype } from "../formats/dtype.js";
import { printable } from "../formats/quote.js";
import type { Plan } from "../plan/plan.js";
import type { RunResult } from "../run/run-plan.js";
import type { RunRequest } from "./recipe.js";

/** A tensor of the output, with the sha256 (hex) of its little-endian bytes. */
interface WrittenTensor {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: number[];
  readonly sha256: string;
}

/** The tensors of the output, in the driver's order. */
export function writtenTensors(plan: Plan, run: RunResult): WrittenTensor[] {
  const written = new Map<string, WrittenTensor>();
  for (const job of plan.jobs) {
    if (job.kind === "tensor" && job.output !== null) {
      const sha256 = run.results.get(job.id)?.sha256 ?? "";
      written.set(job.name, { name: job.name, dtype: job.dtype, shape: [...job.shape], sha256 });
    }
  }
  return plan.order.flatMap((name) => written.get(name) ?? []);
}

/** How many finite values of a tensor become infinite in the output dtype. Lists only tensors that have such values. */
export function overflowOf(plan: Plan, run: RunResult): ReadonlyMap<string, number> {
  return new Map(
    plan.jobs.flatMap((job) => {
      const count = run.results.get(job.id)?.overflow ?? 0;
      return count > 0 ? [[job.name, count] as const] : [];
    }),
  );
}

/** @param dtype as the user spells it. */
export function warnOverflow(
  overflow: ReadonlyMap<string, number>,
  dtype: string,
  options: Pick<RunRequest, "onWarning">,
  remedy = "float32 or bfloat16 hold them",
): void {
  if (overflow.size > 0) {
    const total = [...overflow.values()].reduce((sum, count) => sum + count, 0);
    const [first = ""] = overflow.keys();
    options.onWarning?.(
      `${total} values in ${overflow.size} tensors (first: ${printable(first)}) are too large for ${dtype} and became infinite; ${remedy}`,
    );
  }
}
