/** Runs jobs that only read. Chooses the threads and the way to read, and reports progress. */

import { chooseDirect } from "../engine/io/page-cache.js";
import type { Job } from "../engine/job/job.js";
import type { TensorResult } from "../engine/job/result.js";
import { runJobs } from "../engine/pool.js";
import { needsOf } from "../engine/setup.js";
import { largestFirst, planTraffic } from "../plan/traffic.js";
import { provideInputs } from "./inputs.js";
import { choosePace, decodersFor, SMALL_BYTES } from "./pace.js";
import type { EarlyOption, RunOptions } from "./run-plan.js";

interface ReadResult {
  readonly results: ReadonlyMap<number, TensorResult>;
  /** Bytes. */
  readonly read: number;
}

/**
 * @param jobs whose `input` is an index of `shards`.
 * @throws {WeightDiffError} CRC_MISMATCH (for jobs that are not lenient), INPUT_CHANGED, IO, INTERRUPTED, TERMINATED, LIMIT.
 */
export async function readAll(
  shards: Parameters<typeof provideInputs>[0],
  jobs: readonly Job[],
  options: RunOptions & EarlyOption,
): Promise<ReadResult> {
  const files = await provideInputs(shards, options);
  const total = planTraffic({ jobs }).read;
  const small = total < SMALL_BYTES;
  const cold = options.directIo !== false && !small ? chooseDirect(files) : [];
  const { threads, ...pace } = choosePace(files, total, jobs, options);
  // Over a network, files are better read from their beginning to their end.
  const inOrder = threads < 2 || files.some(({ remote }) => remote !== undefined);
  const results = new Map<number, TensorResult>();
  let done = 0;
  await runJobs(
    {
      inputs: files.map((file, index) => ({ ...file, direct: cold[index] === true && file.remote === undefined })),
      outputs: [],
      ...pace,
      decoders: decodersFor(threads),
      ...needsOf(jobs),
    },
    inOrder ? jobs : largestFirst(jobs),
    {
      threads,
      early: options.early,
      ...(options.disk === undefined ? {} : { disk: options.disk }),
      ...(options.signal === undefined ? {} : { signal: options.signal }),
      onResult: (job, result) => results.set(job.id, result),
      onProgress(job, read) {
        done += read;
        options.onProgress?.({ done, total, shard: null, tensor: job.name });
      },
    },
  );
  return { results, read: done };
}
