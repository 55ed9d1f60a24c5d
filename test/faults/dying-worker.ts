/** Preloaded into the program: its first worker thread is ended from outside, a moment after its first message about work done. */
import { isMainThread, type Worker } from "node:worker_threads";
import "./slow-disk.js";

if (isMainThread) {
  process.once("worker", (worker: Worker) => {
    worker.on("message", (message: { readonly type: string }) => {
      if (message.type === "finished") {
        void worker.terminate();
      }
    });
  });
}
