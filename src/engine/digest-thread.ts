/**
 * sha256 in a thread of its own, where one thread makes all tensors because they go out in order: of a tensor's time the digest takes as much as
 * all the rest. The bytes stay where they are, in memory that both threads have.
 */
import { Worker } from "node:worker_threads";
import { WeightDiffError } from "../errors.js";

/** Bytes of a tensor, in order: where they are in the memory, and how many. */
export interface ToDigester {
  readonly at: number;
  readonly bytes: number;
  /** The tensor's last? */
  readonly last: boolean;
}

/** One answer to each message: sha256 (hex) of the tensor after its last bytes, null before. */
export type FromDigester = string | null;

export interface DigestThread {
  /** Takes bytes, which stay as they are until it has answered. @throws {WeightDiffError} IO if the thread died. */
  take(bytes: ToDigester): Promise<FromDigester>;
  close(): Promise<void>;
}

/** @param memory a SharedArrayBuffer. It crosses once: each time the thread's collector would count all of it anew. */
export function startDigestThread(memory: ArrayBufferLike): DigestThread {
  const worker = new Worker(new URL("./digester.js", import.meta.url), { workerData: memory });
  const waiting: { readonly resolve: (answer: FromDigester) => void; readonly reject: (error: unknown) => void }[] = [];
  let died: WeightDiffError | null = null;
  const die = (reason: string): void => {
    died ??= new WeightDiffError(
      "IO",
      `the thread that takes digests died: ${reason}`,
      "see that it has enough memory, then run again",
    );
    for (const { reject } of waiting.splice(0)) {
      reject(died);
    }
  };
  worker.on("message", (answer: FromDigester) => waiting.shift()?.resolve(answer));
  worker.on("error", ({ message }) => die(message));
  worker.on("exit", (code) => die(`exit code ${code}`));
  return {
    take(bytes) {
      return new Promise((resolve, reject) => {
        if (died !== null) {
          reject(died);
          return;
        }
        waiting.push({ resolve, reject });
        worker.postMessage(bytes);
      });
    },
    async close() {
      await worker.terminate();
    },
  };
}
