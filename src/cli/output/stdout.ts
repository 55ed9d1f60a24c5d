/** stdout, which carries results only. A reader who leaves ends the program quietly; any other failure is an error. */
import { printableText } from "./printable.js";

export interface ResultWriter {
  write(text: string): void;
  /** Aborted once nothing that is written can arrive any more: the reader left, or the disk is full. Null where that ends no run. */
  readonly lost: AbortSignal | null;
  /** Waits for all text to be out. @returns why it is not; null if it is, or if the reader left. */
  finish(): Promise<Error | null>;
}

export function openStdout(): ResultWriter {
  let failure: Error | null = null;
  let pending: Promise<void> | null = null;
  const lost = new AbortController();
  return {
    lost: lost.signal,
    write(text) {
      // Whoever asks for process.stdout makes a pipe one that never waits: only a result is worth that, never the bytes of a model.
      if (pending === null) {
        pending = Promise.resolve();
        process.stdout.on("error", (error) => {
          failure ??= error;
          lost.abort();
        });
      }
      const safe = printableText(text);
      pending = pending.then(() => new Promise((resolve) => process.stdout.write(safe, () => resolve())));
    },
    async finish() {
      await pending;
      return failure !== null && "code" in failure && failure.code === "EPIPE" ? null : failure;
    },
  };
}
