/** Checks a checksum over the whole model. TRL's earlier form has it in place of one for each tensor. It goes over all tensors in the order of their names. */
import { createHash } from "node:crypto";
import { chainError, type Version } from "../../chain/chain.js";
import { lineOf } from "../../chain/line.js";
import type { TensorJob } from "../../engine/job/job.js";
import { updatesOf } from "../../engine/job/updates.js";
import type { UpdatePlan } from "../../plan/plan-update.js";
import { readAll } from "../../run/read-jobs.js";
import type { RunOptions } from "../../run/run-plan.js";
import { isOtherVersion } from "./other-version.js";
import type { ChainSource } from "./source.js";

/** The version whose checksum covers the model that will be written; null if the layout has none, or the version states none. */
export function statesWhole({ path }: ChainSource): (Version & { readonly whole: string }) | null {
  const last = path.steps.at(-1) ?? path.start;
  return last?.whole == null ? null : { ...last, whole: last.whole };
}

/**
 * Computes the checksum before anything is written, in a pass of its own and in one thread: several threads cannot share one checksum.
 * @throws {WeightDiffError} with `why` "checksum"; as readAll.
 */
export async function refuseOtherWhole(source: ChainSource, plan: UpdatePlan, options: RunOptions): Promise<void> {
  const version = statesWhole(source);
  if (version === null) {
    return;
  }
  const jobs = plan.jobs
    .filter((job): job is TensorJob => job.kind === "tensor" && job.dtype === "BF16")
    .sort((a, b) => Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)))
    .map(
      (job, id): TensorJob => ({
        ...job,
        id,
        output: null,
        updates: updatesOf(job.updates?.steps ?? [], { sums: [], joined: true }),
      }),
    );
  const digest = async (own: readonly TensorJob[]): Promise<string> => {
    const { results } = await readAll(plan.inputs, own, { ...options, threads: 0 });
    return results.get(own.length - 1)?.joined ?? createHash("sha256").digest("hex"); // of no tensor at all
  };
  const found = await digest(jobs);
  if (found !== version.whole) {
    const base = source.isBase
      ? await digest(jobs.map((job) => ({ ...job, updates: updatesOf([], { sums: [], joined: true }) })))
      : null;
    const line = base === null ? null : await lineOf(source.chain, source.path, source.baseVersion);
    const same = line?.versions.find(({ whole }) => whole === base);
    if (same !== undefined && same.number !== source.baseVersion) {
      throw isOtherVersion(source, same.number, "by the sha256 over the whole model");
    }
    throw chainError(
      "checksum",
      `the model has the sha256 ${found}, expected ${version.whole}`,
      "fetch the steps again, or give the base that the chain starts from; if both are right, the trainer missed a +0 that became -0, which no step can mend: take a version after the next anchor",
      { file: version.place, version: version.id },
    );
  }
}
