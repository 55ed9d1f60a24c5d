/**
 * Runs work on data that may be hostile in a thread of its own: for example a pattern that backtracks for ever, or a rule that makes a text a million
 * times longer. The thread is ended when it uses too much time or memory. V8 can end even a running match.
 */
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { WeightDiffError } from "../errors.js";
import { errorOf, type Failure, failureOf } from "./failure.js";
import { abortReason, throwIfAborted } from "./io/abort.js";

export interface Limits {
  /** The name of the data, for messages. */
  readonly file: string;
  /** The size limit of V8's heap. */
  readonly heapBytes: number;
  /** The time limit for one answer. */
  readonly answerMs: number;
  /** The remedy if a limit is exceeded. */
  readonly hint: string;
}

export interface Confined {
  /** @throws {WeightDiffError} as the thread; LIMIT if it uses too much time or memory; the signal's reason when aborted. */
  ask(request: unknown, signal?: AbortSignal): Promise<unknown>;
  close(): Promise<void>;
}

type Answer = { readonly type: "answer"; readonly value: unknown } | Failure;

const OUT_OF_MEMORY = "ERR_WORKER_OUT_OF_MEMORY";
const MEGABYTE = 1 << 20;

/** @param module a file that calls `serve`. @param data is passed to `serve` there. */
export function confine(module: URL, data: unknown, limits: Limits): Confined {
  const resourceLimits = { maxOldGenerationSizeMb: Math.ceil(limits.heapBytes / MEGABYTE) };
  const worker = new Worker(module, { workerData: data, resourceLimits });
  // An open question keeps the process alive. An idle thread does not.
  worker.unref();
  // A thread that ends between two questions reports it only once.
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

/** Runs in the thread: answers each request in turn. @param begin gets the data once, before the first request. */
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
