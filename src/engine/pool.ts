/**
 * Hands jobs to workers in order, collects results, and ends everything at the first failure. Small work runs in this thread, through the same
 * pipeline, and so does work on a disk that a test provides.
 */
import { readFileSync } from "node:fs";
import type { Worker } from "node:worker_threads";
import { WeightDiffError } from "../errors.js";
import { KERNEL_WASM_URL } from "../kernel/load.js";
import { processors } from "./cpu.js";
import { type EarlyThreads, startWorker } from "./early.js";
import { errorOf, type Failure } from "./failure.js";
import { abortReason, throwIfAborted } from "./io/abort.js";
import { type Disk, localDisk } from "./io/disk.js";
import type { Job } from "./job/job.js";
import type { TensorResult } from "./job/result.js";
import { runPipeline } from "./pipeline.js";
import { type PipelineSetup, pipelineKernel } from "./setup.js";

export type ToWorker =
  | { readonly type: "setup"; readonly setup: PipelineSetup }
  | { readonly type: "job"; readonly job: Job | null }
  | { readonly type: "abort" };
export type FromWorker =
  | { readonly type: "ready" }
  | { readonly type: "next" }
  | { readonly type: "finished"; readonly id: number; readonly result: TensorResult }
  | { readonly type: "progress"; readonly id: number; readonly read: number; readonly written: number }
  | { readonly type: "done" }
  | Failure;

export interface PoolOptions {
  /** Worker threads; 0 works in this thread. */
  readonly threads: number;
  /** Threads that have already started. They are taken first. */
  readonly early?: EarlyThreads | undefined;
  /** Another disk, for tests. With it all work runs in this thread. */
  readonly disk?: Disk;
  readonly signal?: AbortSignal;
  /** Called once all bytes of a job are written. */
  readonly onResult?: (job: Job, result: TensorResult) => void;
  /** Called for every window, with the bytes that were read and written. */
  readonly onProgress?: (job: Job, read: number, written: number) => void;
}

/**
 * Runs all jobs and starts them in the given order. The list may be endless: a job is taken only when a worker is ready for it.
 * @throws {WeightDiffError} the first failure of any worker; INTERRUPTED or TERMINATED (the signal's reason) when aborted.
 */
export async function runJobs(setup: PipelineSetup, jobs: Iterable<Job>, options: PoolOptions): Promise<void> {
  // A signal that was aborted before anybody listened sends no event.
  throwIfAborted(options.signal);
  const queue = jobs[Symbol.iterator]();
  const take = (): Job | null => queue.next().value ?? null;
  if (options.threads === 0 || options.disk !== undefined) {
    await runHere(setup, take, options);
  } else {
    await runThreads(setup, take, options);
  }
  throwIfAborted(options.signal);
}

/** Requests under way at the Hub, of all threads together. A file has as many turns (http/ranges.ts): one thread must not take them all. */
const REQUESTS = 16;

async function runHere(setup: PipelineSetup, take: () => Job | null, options: PoolOptions): Promise<void> {
  const own = { ...setup, requests: REQUESTS / 2 };
  await runPipeline(own, pipelineKernel(own, readFileSync(KERNEL_WASM_URL)), {
    disk: options.disk ?? localDisk,
    next: async () => take(),
    finished: (job, result) => options.onResult?.(job, result),
    progress: (job, read, written) => options.onProgress?.(job, read, written),
    aborted: () => options.signal?.aborted === true,
    signal: options.signal,
  }).catch((error: unknown) => {
    throwIfAborted(options.signal);
    throw error;
  });
}

async function runThreads(setup: PipelineSetup, take: () => Job | null, options: PoolOptions): Promise<void> {
  const underWay = new Map<number, Job>();
  const next = (): Job | null => {
    const job = failure === undefined ? take() : null;
    if (job !== null) {
      underWay.set(job.id, job);
    }
    return job;
  };
  const requests = Math.floor(REQUESTS / Math.max(2, options.threads));
  const own = { ...setup, requests, readsHere: options.threads >= processors() };
  const workers: Worker[] = [];
  let failure: unknown;
  const fail = (error: unknown): void => {
    failure ??= error;
    for (const worker of workers) {
      worker.postMessage({ type: "abort" } satisfies ToWorker);
    }
  };
  const onAbort = (): void => fail(abortReason(options.signal));
  options.signal?.addEventListener("abort", onAbort, { once: true });
  const exits = Array.from({ length: options.threads }, () => {
    const worker = options.early?.take() ?? startWorker();
    workers.push(worker);
    worker.postMessage({ type: "setup", setup: own } satisfies ToWorker);
    return new Promise<void>((resolve) => {
      let ended = false;
      worker.on("message", (message: FromWorker) => {
        const job = "id" in message ? underWay.get(message.id) : undefined;
        if (message.type === "next") {
          worker.postMessage({ type: "job", job: next() } satisfies ToWorker);
        } else if (message.type === "finished" && job !== undefined) {
          underWay.delete(job.id);
          try {
            options.onResult?.(job, message.result);
          } catch (error) {
            fail(error); // the receiver may refuse a result
          }
        } else if (message.type === "progress" && job !== undefined) {
          options.onProgress?.(job, message.read, message.written);
        } else if (message.type === "failed" || message.type === "crashed") {
          ended = true;
          fail(errorOf(message, "a worker"));
        } else if (message.type === "done") {
          ended = true;
        }
      });
      worker.on("error", (error) => fail(workerDied(error.message)));
      worker.on("exit", (code) => {
        if (!ended) {
          fail(workerDied(`exit code ${code}`));
        }
        resolve();
      });
    });
  });
  await Promise.all(exits);
  options.signal?.removeEventListener("abort", onAbort);
  if (failure !== undefined) {
    throw failure;
  }
}

/** A worker ran out of memory, or was killed from outside. The input is not at fault. */
function workerDied(reason: string): WeightDiffError {
  return new WeightDiffError("IO", `a worker thread died: ${reason}`, "see that it has enough memory", {
    advice: [{ to: "continue", option: "mode", value: "resume", afterwards: true }],
  });
}
