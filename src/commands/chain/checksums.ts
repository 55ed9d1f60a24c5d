/** The checksums that a chain states, held against those that were found. */
import { chainError } from "../../chain/chain.js";
import type { TensorJob } from "../../engine/job/job.js";
import type { TensorResult } from "../../engine/job/result.js";
import type { WeightDiffError } from "../../errors.js";
import { quote } from "../../formats/quote.js";
import type { ExpectedSum, UpdatePlan } from "../../plan/plan-update.js";
import { readAll } from "../../run/read-jobs.js";
import type { RunOptions } from "../../run/run-plan.js";

/** The first that does not fit; null if all do, or if an earlier run has compared them. */
export function wrongSum(
  name: string,
  expected: readonly ExpectedSum[],
  { checksums }: TensorResult,
): WeightDiffError | null {
  const at = (checksums ?? []).findIndex((found, index) => found !== expected[index]?.checksum.hex);
  const sum = expected[at];
  return sum === undefined ? null : checksumError(name, sum, checksums?.[at] ?? "");
}

/** @param remedy what to do, where more is known than that this one does not fit. */
export function checksumError(
  name: string,
  { version, file, checksum, full }: ExpectedSum,
  found: string,
  remedy?: string,
): WeightDiffError {
  return chainError(
    "checksum",
    `tensor ${quote(name)}: ${checksum.algorithm} ${found} ${full === true ? "in" : "after"} version ${version}, expected ${checksum.hex}`,
    remedy ??
      (full === true
        ? "the full version is damaged, or of another run: fetch it again"
        : "this version or one before it is damaged, or of another run; or the base is not the one that the chain starts from"),
    { file, tensor: name, version },
  );
}

/** After a tensor's last checksum did not fit: which of its steps is the first that is wrong. */
export async function firstWrong(
  every: UpdatePlan,
  tensor: string,
  options: RunOptions,
): Promise<WeightDiffError | null> {
  const job = every.jobs.find((one): one is TensorJob => one.kind === "tensor" && one.name === tensor);
  if (job === undefined) {
    return null;
  }
  const { results } = await readAll(every.inputs, [{ ...job, id: 0, output: null }], options);
  const result = results.get(0);
  return result === undefined ? null : wrongSum(tensor, every.expected.get(job.id) ?? [], result);
}
