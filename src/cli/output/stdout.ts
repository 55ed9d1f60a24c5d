/** stdout, which carries results only. If its reader leaves, the program ends quietly. Any other failure is an error. */
import { printableText } from "./printable.js";

export interface ResultWriter {
  write(text: string): void;
  /**
   * Aborted once nothing that is written can arrive any more, since the reader left or the disk is full. Null if that should not end the
   * run.
   */
  readonly lost: AbortSignal | null;
  /** Waits until all text is written. @returns the error that prevented it; null if all is written, or if the reader left. */
  finish(): Promise<Error | null>;
}

export function openStdout(): ResultWriter {
  let failure: Error | null = null;
  let pending: Promise<void> | null = null;
  const lost = new AbortController();
  return {
    lost: lost.signal,
    write(text) {
      // Using process.stdout makes a pipe non-blocking. A result is worth that, the bytes of a model are not.
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
