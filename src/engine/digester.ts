/** The thread of digest-thread.ts. */
import { createHash } from "node:crypto";
import { parentPort, workerData } from "node:worker_threads";
import type { FromDigester, ToDigester } from "./digest-thread.js";
import { trace } from "./io/trace.js";

const port = parentPort;
if (port === null) {
  throw new Error("digester.js runs only as a worker thread");
}
const memory = new Uint8Array(workerData as SharedArrayBuffer);
let hash = createHash("sha256");
port.on("message", ({ at, bytes, last }: ToDigester) => {
  trace("digest", () => hash.update(memory.subarray(at, at + bytes)));
  const answer: FromDigester = last ? hash.digest("hex") : null;
  if (last) {
    hash = createHash("sha256");
  }
  port.postMessage(answer);
});
