/** stdout, which carries results only. A reader who leaves ends the program quietly; any other failure is an error. */
import { WeightDiffError } from "../../errors.js";
import { printableText } from "./printable.js";

export interface ResultWriter {
  write(text: string): void;
  /** Waits for all text to be out. @throws {WeightDiffError} IO if stdout failed for another reason than a reader who left. */
  finish(): Promise<void>;
}

export function openStdout(): ResultWriter {
  let failure: Error | undefined;
  let pending: Promise<void> = Promise.resolve();
  process.stdout.on("error", (error) => {
    failure ??= error;
  });
  return {
    write(text) {
      const safe = printableText(text);
      pending = pending.then(() => new Promise((resolve) => process.stdout.write(safe, () => resolve())));
    },
    async finish() {
      await pending;
      if (failure !== undefined && !("code" in failure && failure.code === "EPIPE")) {
        throw new WeightDiffError("IO", `stdout: ${failure.message}`, "check where the output goes");
      }
    },
  };
}
