/**
 * The sums that a plan will make, at a few places: what the bit census judges. Pairs are the plan's own, so that names which differ,
 * rows that the script cuts and matrices that it meets twice are as they will be added.
 */
import type { Checkpoint, StoredTensor } from "../checkpoint/checkpoint.js";
import type { Operand } from "../engine/job/job.js";
import type { Plan } from "../plan/plan.js";
import { comparable, type SampledPair, sampleThese } from "./sample.js";

/** @param raw as it was planned with. @throws {WeightDiffError} IO, INPUT_CHANGED, TRUNCATED. */
export async function sampleSums(
  { inputs, jobs }: Pick<Plan, "inputs" | "jobs">,
  raw: Checkpoint,
  diff: Checkpoint,
): Promise<readonly SampledPair[]> {
  const [ofRaw, ofDiff] = [stored(raw), stored(diff)];
  const find = (side: ReadonlyMap<string, StoredTensor>, operand: Operand): StoredTensor | undefined =>
    operand.kind === "stored" ? side.get(keyOf(inputs[operand.input]?.path ?? "", operand)) : undefined;
  const sums = jobs.flatMap((job) => {
    if (job.kind !== "tensor") {
      return [];
    }
    const tensor = find(ofDiff, job.start.operand);
    const [base, ...again] = job.terms.map(({ operand }) => find(ofRaw, operand));
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

function stored({ stateDict }: Checkpoint): ReadonlyMap<string, StoredTensor> {
  return new Map([...stateDict.values()].map((tensor) => [keyOf(tensor.shard.path, tensor), tensor]));
}

function keyOf(path: string, { name, shape }: { readonly name: string; readonly shape: readonly number[] }): string {
  return JSON.stringify([path, name, shape]);
}
