/**
 * Work on data that may be made to do harm, in a thread of its own: whatever it does - a pattern that backtracks for ever, a rule that
 * makes a text a million times longer - it is ended once its time or its memory is up. V8 ends even a match that is running.
 */
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { WeightDiffError } from "../errors.js";
import { errorOf, type Failure, failureOf } from "./failure.js";
import { abortReason, throwIfAborted } from "./io/abort.js";

export interface Limits {
  /** What the thread works on, as messages name it. */
  readonly file: string;
  /** Of V8's heap. */
  readonly heapBytes: number;
  /** Of one answer. */
  readonly answerMs: number;
  /** What to do where a limit is passed. */
  readonly hint: string;
}

export interface Confined {
  /** @throws {WeightDiffError} what the thread throws; LIMIT once time or memory is up; the signal's reason when aborted. */
  ask(request: unknown, signal?: AbortSignal): Promise<unknown>;
  close(): Promise<void>;
}

type Answer = { readonly type: "answer"; readonly value: unknown } | Failure;

const OUT_OF_MEMORY = "ERR_WORKER_OUT_OF_MEMORY";
const MEGABYTE = 1 << 20;

/** @param module a file that calls `serve`. @param data what `serve` there is given. */
export function confine(module: URL, data: unknown, limits: Limits): Confined {
  const resourceLimits = { maxOldGenerationSizeMb: Math.ceil(limits.heapBytes / MEGABYTE) };
  const worker = new Worker(module, { workerData: data, resourceLimits });
  // A question holds the process; a thread that nobody asks does not.
  worker.unref();
  // A thread that ends between two questions says so only once.
  let ended: unknown = null;
  worker.on("error", (error) => {
    ended = error;
  });
  worker.on("exit", () => {
    ended ??= new Error("the thread has ended");
  });
  const past = (what: string): WeightDiffError =>
    new WeightDiffError("LIMIT", what, limits.hint, { at: { file: limits.file } });
  return {
    async ask(request, signal) {
      throwIfAborted(signal);
      worker.ref();
      try {
        return await new Promise((resolve, reject) => {
          const timer = setTimeout(() => {
            void worker.terminate();
            stop(past(`takes more than ${limits.answerMs / 1000} s to read or to use`));
          }, limits.answerMs);
          const aborted = (): void => stop(abortReason(signal));
          const failed = (error: unknown): void =>
            stop(
              error instanceof Error && "code" in error && error.code === OUT_OF_MEMORY
                ? past(`takes more than ${Math.round(limits.heapBytes / MEGABYTE)} MiB of memory to read or to use`)
                : error,
            );
          const exited = (): void => failed(ended);
          const answered = (answer: Answer): void => {
            if (answer.type === "answer") {
              done();
              resolve(answer.value);
            } else {
              stop(errorOf(answer, "a thread"));
            }
          };
          const done = (): void => {
            clearTimeout(timer);
            signal?.removeEventListener("abort", aborted);
            worker.off("message", answered).off("error", failed).off("exit", exited);
          };
          const stop = (error: unknown): void => {
            done();
            reject(error);
          };
          worker.on("message", answered).on("error", failed).on("exit", exited);
          signal?.addEventListener("abort", aborted, { once: true });
          if (ended === null) {
            worker.postMessage(request);
          } else {
            exited();
          }
        });
      } finally {
        worker.unref();
      }
    },
    async close() {
      await worker.terminate();
    },
  };
}

/** In the thread: answers each request in turn. @param begin is given the data once, before the first request. */
export function serve(begin: (data: unknown) => (request: unknown) => unknown): void {
  const port = parentPort;
  if (isMainThread || port === null) {
    return;
  }
  let answer: ((request: unknown) => unknown) | null = null;
  port.on("message", (request: unknown) => {
    try {
      answer ??= begin(workerData);
      port.postMessage({ type: "answer", value: answer(request) } satisfies Answer);
    } catch (error) {
      port.postMessage(failureOf(error) satisfies Answer);
    }
  });
}
