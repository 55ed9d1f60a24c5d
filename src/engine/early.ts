/** Threads that start while their work is still planned: a thread takes as long to start as a plan takes to make, and needs nothing of it. */
import { Worker } from "node:worker_threads";
import { traceAside } from "./io/trace.js";

export interface EarlyThreads {
  /** Starts so many. */
  start(count: number): void;
  /** One that waits for its setup; null when there is none left. */
  take(): Worker | null;
  /** Ends those that nobody took. */
  dismiss(): Promise<void>;
}

/**
 * Pieces of answers are garbage as soon as they are in the kernel's memory, and so are small jobs once they are done: a small nursery
 * throws them away early, at no measurable cost.
 */
const SMALL_NURSERY = { maxYoungGenerationSizeMb: 2 };

/** A thread that waits for its setup. */
export function startWorker(): Worker {
  const worker = new Worker(new URL("./worker.js", import.meta.url), { resourceLimits: SMALL_NURSERY });
  traceAside("start of a worker", () => new Promise((resolve) => worker.once("message", resolve)));
  return worker;
}

/** Runs `work` with threads that it may start early; whatever it leaves of them is ended. */
export async function withEarlyThreads<T>(work: (early: EarlyThreads) => Promise<T>): Promise<T> {
  const waiting = new Set<Worker>();
  const early: EarlyThreads = {
    start(count) {
      for (let started = 0; started < count; started++) {
        const worker = startWorker();
        waiting.add(worker);
        // One that could not start, or has ended, is not there to be taken: another one will say why.
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
