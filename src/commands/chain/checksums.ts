/** Compares the checksums that a chain states with those of the tensors. */
import { chainError } from "../../chain/chain.js";
import type { TensorJob } from "../../engine/job/job.js";
import type { TensorResult } from "../../engine/job/result.js";
import type { WeightDiffError } from "../../errors.js";
import { quote } from "../../formats/quote.js";
import type { ExpectedSum, UpdatePlan } from "../../plan/plan-update.js";
import { readAll } from "../../run/read-jobs.js";
import type { RunOptions } from "../../run/run-plan.js";

/** The error for the first checksum that does not fit; null if all fit, or if an earlier run has compared them. @param expected all checksums that were computed, in order. */
export function wrongSum(
  name: string,
  expected: readonly ExpectedSum[],
  { checksums }: TensorResult,
): WeightDiffError | null {
  const at = (checksums ?? []).findIndex((found, index) => found !== expected[index]?.checksum.hex);
  const sum = expected[at];
  return sum === undefined ? null : checksumError(name, sum, checksums?.[at] ?? "", remedyOf(expected, at, at));
}

/**
 * What to do about a tensor's checksum at `index`. @param wrong index of its first one that does not fit.
 * @returns undefined where no earlier checksum tells more.
 */
export function remedyOf(stated: readonly ExpectedSum[], wrong: number, index: number): string | undefined {
  const [before, first] = [stated[wrong - 1], stated[wrong]];
  if (index > wrong && first !== undefined) {
    return `it already does not fit after version ${first.version}: mend that first`;
  }
  return before === undefined
    ? undefined
    : `it fits ${before.full === true ? "in" : "after"} version ${before.version}: what changes the tensor after that is damaged or of another run, so fetch it again`;
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
        : "fetch this version again, and those before it that change the tensor; if it still differs, give the base that the trainer started from"),
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
