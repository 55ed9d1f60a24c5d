/**
 * The sums that a plan will make, at a few places: what the bit census judges. Pairs are the plan's own, so that names which differ,
 * rows that the script cuts and matrices that it meets twice are as they will be added.
 */
import type { Checkpoint, StoredTensor } from "../checkpoint/checkpoint.js";
import type { Plan } from "../plan/plan.js";
import { comparable, type SampledPair, sampleThese } from "./sample.js";
import { tensorFinder } from "./stored-tensor.js";

/** @param raw as it was planned with. @throws {WeightDiffError} IO, INPUT_CHANGED, TRUNCATED. */
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
  // In the order of the diff: the plan's is that of the output's files.
  const order = new Map([...diff.stateDict.values()].map((tensor, index) => [tensor, index]));
  return sampleThese(sums.sort((one, two) => (order.get(one.diff) ?? 0) - (order.get(two.diff) ?? 0)));
}
