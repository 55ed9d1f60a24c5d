/** Carries out a plan: chooses how to read and write, verifies what an earlier run finished, streams the rest, and closes each shard. */
import type { EarlyThreads } from "../engine/early.js";
import { type Disk, localDisk } from "../engine/io/disk.js";
import { type InputFile, refuseChange, statFile } from "../engine/io/files.js";
import { chooseDirect } from "../engine/io/page-cache.js";
import { trace } from "../engine/io/trace.js";
import { isMade, type Job } from "../engine/job/job.js";
import type { TensorResult } from "../engine/job/result.js";
import { runJobs } from "../engine/pool.js";
import { needsOf, type PipelineSetup } from "../engine/setup.js";
import { STREAM } from "../files/pipe.js";
import type { Staging } from "../output/staging.js";
import type { OutputStream } from "../output/stream.js";
import type { RunPlan } from "../plan/plan.js";
import { largestFirst, planTraffic } from "../plan/traffic.js";
import { followFiles, growingFiles } from "./follow.js";
import type { HubRunOptions, ProvidedInput } from "./inputs.js";
import { choosePace, decodersFor, type PaceOptions, SMALL_BYTES } from "./pace.js";
import { peakMemory } from "./peak-memory.js";
import { proveFinished } from "./prove-finished.js";
import { startSyncs } from "./syncs.js";

export interface RunOptions extends HubRunOptions, PaceOptions {
  /**
   * May files be read and written past the page cache? By default where it pays. "always": also for little work, and for inputs that are in
   * the cache.
   */
  readonly directIo?: boolean | "always";
  /** Called several times a second with the bytes that were read, written and fetched. */
  readonly onProgress?: ((state: ProgressState) => void) | undefined;
}

interface PlanRunOptions extends RunOptions, EarlyOption {
  /** Called with every result as soon as it exists. The run ends if it throws. */
  readonly judge?: ((job: Job, result: TensorResult) => void) | undefined;
  /** Takes the one file of the plan in place of a directory: tensors are made in the order of the file, in this thread. */
  readonly stream?: OutputStream;
  /** Take the sha256 of each file while it grows. */
  readonly digestFiles?: boolean | undefined;
}

/** An option for the commands below cli/, not for the library: threads that were started while the run was planned. */
export interface EarlyOption {
  readonly early?: EarlyThreads | undefined;
}

export interface ProgressState {
  /** Bytes read and written so far, and in all. */
  readonly done: number;
  readonly total: number;
  /** The file and the tensor of the latest work; no file where nothing is written. */
  readonly shard: string | null;
  readonly tensor: string;
}

export interface RunResult {
  /** Results by job id. */
  readonly results: ReadonlyMap<number, TensorResult>;
  readonly threads: number;
  /** Bytes. */
  readonly read: number;
  readonly written: number;
  /** The number of tensors that were taken over from an earlier run, after their bytes were verified. */
  readonly resumed: number;
  /** sha256 (hex) of the file that was written to the stream; null if it was not asked for, or if there is no stream. */
  readonly sha256: string | null;
  /** sha256 (hex) of each file by name; empty if it was not asked for. */
  readonly files: ReadonlyMap<string, string>;
}

/**
 * Runs every job of the plan. Writes the results to the staged files of `output`, or to a stream; without either, only digests them.
 * @param files the plan's inputs, as workers open them.
 * @throws {WeightDiffError} CRC_MISMATCH, INPUT_CHANGED, IO, DISK_FULL, INTERRUPTED, TERMINATED, LIMIT.
 */
export async function runPlan(
  plan: RunPlan,
  files: readonly ProvidedInput[],
  output: Staging | null,
  options: PlanRunOptions,
): Promise<RunResult> {
  const traffic = planTraffic(plan);
  const { stream = null } = options;
  const writes = output !== null || stream !== null;
  let total = traffic.read + (writes ? traffic.write : 0);
  const small = total < SMALL_BYTES;
  const { threads: chosen, ...pace } = choosePace(files, total, plan.jobs, options);
  const threads = stream === null ? chosen : 0;
  const disk = stream === null ? options.disk : diskInto(stream, options.disk ?? localDisk);
  const always = options.directIo === "always";
  const directIo = always || (options.directIo !== false && !small);
  const cold = directIo && !always ? chooseDirect(files) : [];
  const inputs: readonly InputFile[] = files.map((file, index) => ({
    ...file,
    direct: (always || cold[index] === true) && file.remote === undefined,
  }));
  const setup: PipelineSetup = {
    inputs,
    outputs: plan.shards.flatMap(({ file, directEnd }) =>
      output === null
        ? stream === null
          ? []
          : { path: STREAM, directEnd: 0, direct: false }
        : { path: output.staged(file), directEnd, direct: directIo },
    ),
    ...pace,
    decoders: decodersFor(threads),
    ...needsOf(plan.jobs),
  };
  const pool = {
    threads,
    early: options.early,
    ...(disk === undefined ? {} : { disk }),
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  };

  const results = new Map<number, TensorResult>();
  let read = 0;
  let written = 0;
  let done = 0;
  const syncs = output === null ? null : startSyncs(plan.shards, (file) => output.seal(file));
  const report = (job: Job, came: number, went: number): void => {
    read += came;
    written += went;
    const target = writes ? outputOf(job) : null;
    if (target !== null && !(directIo && positionOf(job) < (plan.shards[target.shard]?.directEnd ?? 0))) {
      syncs?.grown(target.shard, went);
    }
    done += came + went;
    const shard = target === null ? null : (plan.shards[target.shard]?.file ?? null);
    options.onProgress?.({
      done,
      total: Math.max(done, total),
      shard: shard === job.name ? null : shard,
      tensor: job.name,
    });
  };
  if (output !== null) {
    for (const result of await proveFinished(plan, output, setup, { ...pool, onProgress: report })) {
      const job = plan.jobs[result.id];
      if (job !== undefined) {
        options.judge?.(job, result);
      }
      results.set(result.id, result);
    }
  }
  const resumed = results.size;

  const follows = output !== null && options.digestFiles === true;
  let todo = plan.jobs
    .filter((job) => !results.has(job.id))
    .map((job) => (!writes && isMade(job) && job.kind !== "payload" ? { ...job, output: null } : job));
  if (stream !== null || follows) {
    todo.sort((a, b) => (outputOf(a)?.shard ?? 0) - (outputOf(b)?.shard ?? 0) || positionOf(a) - positionOf(b));
  }
  if (threads > 1 && todo.every(({ kind }) => kind === "file")) {
    // Each file takes one thread.
    todo = largestFirst(todo);
  }
  // Verification has already read the finished outputs. Their inputs will not be read again.
  const rest = planTraffic({ jobs: todo });
  const growing = follows ? growingFiles(plan, output.staged, directIo) : [];
  total = done + rest.read + rest.write + growing.reduce((sum, { size }) => sum + size, 0);
  const follower = followFiles(options.disk ?? localDisk, growing, ({ file, last }, bytes) => {
    done += bytes;
    options.onProgress?.({ done, total: Math.max(done, total), shard: file, tensor: last });
  });
  for (const id of results.keys()) {
    follower.take(id);
  }
  const left = openTensors(plan, results);
  const sealIfDone = (shard: number): void => {
    if (left[shard] === 0) {
      syncs?.whole(shard);
    }
  };
  left.forEach((_, shard) => {
    sealIfDone(shard);
  });
  try {
    await trace("jobs", () =>
      runJobs(setup, todo, {
        ...pool,
        onProgress: report,
        onResult(job, result) {
          options.judge?.(job, result);
          results.set(result.id, result);
          if (isMade(job)) {
            output?.journal.add(result);
            follower.take(job.id);
            if (job.output !== null) {
              left[job.output.shard] = (left[job.output.shard] ?? 0) - 1;
              sealIfDone(job.output.shard);
            }
          }
        },
      }),
    );
  } catch (error) {
    await follower.stop();
    throw error;
  } finally {
    await trace("wait for seals", async () => syncs?.wait().catch(() => {}));
  }
  const digests = await trace("wait for digests of files", () => follower.finish());
  await syncs?.wait();
  await refuseChanges(inputs, options.disk ?? localDisk);
  return { results, threads, read, written, resumed, sha256: stream?.digest() ?? null, files: digests };
}

/** Where the job writes in the file. Past the end of the file for jobs that only read. */
function positionOf(job: Job): number {
  return job.kind === "tensor" && job.output !== null ? job.output.range.begin : Number.MAX_SAFE_INTEGER;
}

/** A disk whose writes go into the stream. */
function diskInto(stream: OutputStream, disk: Disk): Disk {
  return {
    async openFile(path, mode, direct) {
      if (mode === "read") {
        return disk.openFile(path, mode, direct);
      }
      const none = (): never => {
        throw new TypeError("a stream can only be written");
      };
      return {
        ...{ path, direct: false, read: none, stat: none, truncate: none, sync: none },
        write: (source, position) => stream.write(source, position),
        close: async () => {},
      };
    },
  };
}

function outputOf(job: Job): { readonly shard: number } | null {
  return isMade(job) ? job.output : null;
}

/** How many tensors of each shard are still to be written. */
function openTensors(plan: RunPlan, results: ReadonlyMap<number, TensorResult>): number[] {
  const left = plan.shards.map(() => 0);
  for (const job of plan.jobs) {
    if (isMade(job) && job.output !== null && !results.has(job.id)) {
      left[job.output.shard] = (left[job.output.shard] ?? 0) + 1;
    }
  }
  return left;
}

/** @throws {WeightDiffError} INPUT_CHANGED if an input is no longer the file that was planned for. */
async function refuseChanges(inputs: readonly InputFile[], disk: Disk): Promise<void> {
  for (const input of inputs) {
    await refuseChange(input, await statFile(disk, input));
  }
}

/** The figures of a run. */
export interface RunFigures {
  /** Bytes. */
  readonly bytesRead: number;
  readonly bytesWritten: number;
  /** Elapsed time. */
  readonly seconds: number;
  /** The most memory that the process has used, in bytes. */
  readonly peakBytes: number;
  readonly threads: number;
  /** The number of tensors that were taken over from an earlier run. */
  readonly resumed: number;
}

/** Time since `started`, and the most memory that the process has used. */
export function clock(started: number): { readonly seconds: number; readonly peakBytes: number } {
  return { seconds: (performance.now() - started) / 1000, peakBytes: peakMemory() };
}
