/** Starts threads while their work is still planned. Starting a thread takes about as long as making a plan, and does not depend on the plan. */
import { Worker } from "node:worker_threads";
import { traceAside } from "./io/trace.js";

export interface EarlyThreads {
  /** Starts so many threads. */
  start(count: number): void;
  /** Takes a thread that waits for its setup; null if none is left. */
  take(): Worker | null;
  /** Ends the threads that nobody took. */
  dismiss(): Promise<void>;
}

/**
 * The size of V8's nursery. Pieces of network answers are garbage as soon as they are in the kernel's memory, and so are small jobs once they are
 * done. A small nursery frees them early, at no measurable cost.
 */
const SMALL_NURSERY = { maxYoungGenerationSizeMb: 2 };

/** Starts a thread, which then waits for its setup. */
export function startWorker(): Worker {
  const worker = new Worker(new URL("./worker.js", import.meta.url), { resourceLimits: SMALL_NURSERY });
  traceAside("start of a worker", () => new Promise((resolve) => worker.once("message", resolve)));
  return worker;
}

/** Runs `work`, which may start threads early. Afterwards it ends the threads that were not taken. */
export async function withEarlyThreads<T>(work: (early: EarlyThreads) => Promise<T>): Promise<T> {
  const waiting = new Set<Worker>();
  const early: EarlyThreads = {
    start(count) {
      for (let started = 0; started < count; started++) {
        const worker = startWorker();
        waiting.add(worker);
        // A thread that could not start, or has ended, cannot be taken. The next one will report why.
        for (const event of ["error", "exit"]) {
          worker.on(event, () => waiting.delete(worker));
        }
      }
    },
    take() {
      const [worker = null] = waiting;
      if (worker !== null) {
        waiting.delete(worker);
      }
      return worker;
    },
    async dismiss() {
      const left = [...waiting];
      waiting.clear();
      await Promise.all(left.map((worker) => worker.terminate()));
    },
  };
  try {
    return await work(early);
  } finally {
    await early.dismiss();
  }
}
