/** Compares the checksums that a chain states with those of the tensors. */
import { chainError } from "../../chain/chain.js";
import type { TensorJob } from "../../engine/job/job.js";
import type { TensorResult } from "../../engine/job/result.js";
import type { WeightDiffError } from "../../errors.js";
import { quote } from "../../formats/quote.js";
import type { ExpectedSum, UpdatePlan } from "../../plan/plan-update.js";
import { readAll } from "../../run/read-jobs.js";
import type { RunOptions } from "../../run/run-plan.js";

/** The error for the first checksum that does not fit; null if all fit, or if an earlier run has compared them. */
export function wrongSum(
  name: string,
  expected: readonly ExpectedSum[],
  { checksums }: TensorResult,
): WeightDiffError | null {
  const at = (checksums ?? []).findIndex((found, index) => found !== expected[index]?.checksum.hex);
  const sum = expected[at];
  return sum === undefined ? null : checksumError(name, sum, checksums?.[at] ?? "");
}

/** The error for a checksum that does not fit. @param remedy what to do, if more is known than that it does not fit. */
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

/** A tensor's last checksum did not fit: finds the first of its steps after which the tensor is wrong. */
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
