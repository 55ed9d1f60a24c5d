/**
 * The sums that a plan will compute, at a few places, for the bit census. The pairs come from the plan, so they include renamed tensors,
 * cut rows and tied matrices as the run will add them.
 */
import type { Checkpoint, StoredTensor } from "../checkpoint/checkpoint.js";
import type { Plan } from "../plan/plan.js";
import { comparable, type SampledPair, sampleThese } from "./sample.js";
import { tensorFinder } from "./stored-tensor.js";

/** @param raw the base of the plan. @throws {WeightDiffError} IO, INPUT_CHANGED, TRUNCATED. */
export async function sampleSums(
  plan: Pick<Plan, "inputs" | "jobs">,
  raw: Checkpoint,
  diff: Checkpoint,
): Promise<readonly SampledPair[]> {
  const [inRaw, inDiff] = [tensorFinder(plan, raw), tensorFinder(plan, diff)];
  const sums = plan.jobs.flatMap((job) => {
    if (job.kind !== "tensor") {
      return [];
    }
    const tensor = inDiff(job.start.operand);
    const [base, ...again] = job.terms.map(({ operand }) => inRaw(operand));
    return tensor !== undefined &&
      base !== undefined &&
      comparable(base, tensor) &&
      again.every((more): more is StoredTensor => more !== undefined && comparable(more, tensor))
      ? [{ name: job.name, raw: base, diff: tensor, again }]
      : [];
  });
  // In the order of the diff. The plan has the order of the output's files.
  const order = new Map([...diff.stateDict.values()].map((tensor, index) => [tensor, index]));
  return sampleThese(sums.sort((one, two) => (order.get(one.diff) ?? 0) - (order.get(two.diff) ?? 0)));
}
