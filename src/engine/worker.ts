/** A worker thread. This file only handles its messages; `runPipeline` does the work. */
import { readFileSync } from "node:fs";
import { type MessagePort, parentPort } from "node:worker_threads";
import { KERNEL_WASM_URL } from "../kernel/load.js";
import { failureOf } from "./failure.js";
import { localDisk } from "./io/disk.js";
import type { Job } from "./job/job.js";
import { runPipeline } from "./pipeline.js";
import type { FromWorker, ToWorker } from "./pool.js";
import { type PipelineSetup, pipelineKernel } from "./setup.js";

const port = threadPort();
const send = (message: FromWorker): void => port.postMessage(message);
const stop = new AbortController();
let deliver: (job: Job | null) => void = () => {};
const setUp = new Promise<PipelineSetup>((resolve) => {
  port.on("message", (message: ToWorker) => {
    if (message.type === "abort") {
      stop.abort();
    } else if (message.type === "setup") {
      resolve(message.setup);
    } else {
      deliver(message.job);
    }
  });
});

/** A message wakes the main thread, which takes a processor from a worker for a moment. So only a few are sent in a second. */
const TELL_EVERY_MS = 50;
let untold = { id: -1, read: 0, written: 0 };
let toldAt = performance.now();

function tell(): void {
  if (untold.read > 0 || untold.written > 0) {
    send({ type: "progress", ...untold });
  }
  untold = { ...untold, read: 0, written: 0 };
  toldAt = performance.now();
}

/** Asks for a job. At most one question is open at a time. */
function ask(): Promise<Job | null> {
  return new Promise((resolve) => {
    deliver = resolve;
    send({ type: "next" });
  });
}

send({ type: "ready" });
void work();

async function work(): Promise<void> {
  const setup = await setUp;
  // The next job is asked for while one is running, so that reading ahead never waits for the main thread.
  let ahead = ask();
  try {
    await runPipeline(setup, pipelineKernel(setup, readFileSync(KERNEL_WASM_URL)), {
      disk: localDisk,
      aborted: () => stop.signal.aborted,
      signal: stop.signal,
      async next() {
        const job = await ahead;
        if (job !== null) {
          ahead = ask();
        }
        return job;
      },
      finished(job, result) {
        tell();
        send({ type: "finished", id: job.id, result });
      },
      progress(job, read, written) {
        if (job.id !== untold.id) {
          tell();
        }
        untold = { id: job.id, read: untold.read + read, written: untold.written + written };
        if (performance.now() - toldAt >= TELL_EVERY_MS) {
          tell();
        }
      },
    });
    send({ type: "done" });
  } catch (error) {
    send(failureOf(error));
  } finally {
    port.close();
  }
}

function threadPort(): MessagePort {
  if (parentPort === null) {
    throw new Error("worker.js runs only as a worker thread");
  }
  return parentPort;
}
