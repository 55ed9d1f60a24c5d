/** Before a run is continued, checks the claims of the journal against the bytes of the output and against the inputs. */
import { type Disk, localDisk } from "../engine/io/disk.js";
import { type InputFile, statFile } from "../engine/io/files.js";
import { type DigestJob, type FileJob, isMade, type TensorJob } from "../engine/job/job.js";
import { codingOf } from "../engine/job/operand.js";
import type { TensorResult } from "../engine/job/result.js";
import { type PoolOptions, runJobs } from "../engine/pool.js";
import type { PipelineSetup } from "../engine/setup.js";
import { isFloatDtype } from "../formats/dtype.js";
import type { Staging } from "../output/staging.js";
import type { RunPlan } from "../plan/plan.js";

/**
 * The results of an earlier run, proven. Reads the output files again. Computes again what follows from the inputs alone: the digests that
 * the maker of a diff promised. Takes the sums of float32 and integer tensors from the bytes that were read. A sum that was taken before
 * rounding rests on the journal's checksum.
 */
export async function proveFinished(
  plan: RunPlan,
  output: Staging,
  setup: PipelineSetup,
  pool: PoolOptions,
): Promise<readonly TensorResult[]> {
  const claimed = new Map(output.journal.finished.map((result) => [result.id, result]));
  const proven = new Map<number, TensorResult>();
  // A tensor that is not written cannot be read again, so it is computed again. A payload is computed again too, since only the journal
  // states its length.
  const jobs = plan.jobs
    .filter(isMade)
    .filter((job) => job.kind !== "payload")
    .filter((job) => claimed.has(job.id) && job.output !== null);
  if (jobs.length === 0) {
    return [];
  }
  const staged = await stagedInputs(plan, output, setup, pool.disk ?? localDisk);
  await runJobs(
    { ...setup, inputs: staged, outputs: [] },
    jobs.flatMap((job) => readingOf(job, staged, claimed.get(job.id))),
    {
      ...pool,
      onResult(job, found) {
        const claim = claimed.get(job.id);
        if (claim === undefined || claim.sha256 === undefined || claim.sha256 !== found.sha256) {
          return;
        }
        if (job.kind === "file") {
          proven.set(job.id, found);
        } else if (job.kind !== "digest" || job.sum !== true || Object.is(found.sum, claim.sum)) {
          proven.set(job.id, claim);
        }
      },
    },
  );
  const promised = jobs.filter((job) => job.kind === "tensor" && job.prove && proven.has(job.id));
  if (promised.length > 0) {
    const again = promised.map((job) => ({ ...job, output: null }));
    await runJobs({ ...setup, outputs: [] }, again, {
      ...pool,
      onResult(job, found) {
        if (proven.get(job.id)?.sha256 === found.sha256) {
          proven.set(job.id, found);
        } else {
          proven.delete(job.id);
        }
      },
    });
  }
  return [...proven.values()];
}

/** The files of the output in their present state, as inputs. */
async function stagedInputs(
  plan: RunPlan,
  output: Staging,
  { outputs }: PipelineSetup,
  disk: Disk,
): Promise<readonly InputFile[]> {
  const direct = outputs.some((file) => file.direct);
  const inputs: InputFile[] = [];
  for (const { file, size } of plan.shards) {
    const path = output.staged(file);
    const now = await statFile(disk, { path });
    inputs.push({ path, size: size ?? now.size, modified: now.modified, direct });
  }
  return inputs;
}

/** The job that reads what `job` wrote. */
function readingOf(
  job: TensorJob | FileJob,
  staged: readonly InputFile[],
  claim: TensorResult | undefined,
): readonly (DigestJob | FileJob)[] {
  if (job.output === null) {
    return [];
  }
  if (job.kind === "file") {
    const { size } = staged[job.output.shard] ?? { size: 0 };
    const plain = { skip: 0, gzip: null, key: null, records: [], output: null } as const;
    return [{ ...job, ...plain, payload: job.output.shard, traffic: { read: size, write: 0 } }];
  }
  const { id, name } = job;
  const coded = codingOf(job) === "encode";
  const size = claim?.size ?? 0;
  if (coded && size > job.output.range.end - job.output.range.begin) {
    return [];
  }
  const { dtype, shape } = coded ? { dtype: "U8" as const, shape: [size] } : job;
  const source = { kind: "stored", input: job.output.shard, name, dtype, shape, range: job.output.range } as const;
  return [{ kind: "digest", id, name, source, ...(isSumOfBytes(job) ? { sum: true } : {}) }];
}

/** Is the job's sum the sum of the written values? Not if they are rounded last, or if there is no sum. */
function isSumOfBytes({ rule, dtype, prove }: TensorJob): boolean {
  switch (rule) {
    case "add":
    case "convert":
    case "blend":
      return dtype === "F32";
    case "copy":
      return !prove && isFloatDtype(dtype);
    case "add-bits":
    case "decode-bits":
    case "decode-alone":
      return isFloatDtype(dtype);
    case "add-integers":
    case "or":
      return true;
    default:
      return false;
  }
}
