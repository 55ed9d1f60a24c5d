/** stderr: notes, warnings, errors and progress, each line with the program's name before it. */
import type { Look } from "../flags/flag.js";
import { printableMessage } from "./printable.js";
import { openProgress, type ProgressPrinter } from "./progress.js";

/** Says one thing. */
export function say(text: string): void {
  process.stderr.write(`weight-diff: ${printableMessage(text)}\n`);
}

export interface Speaker {
  note(text: string): void;
  warn(text: string): void;
  readonly progress: ProgressPrinter["update"];
  /** Clears the bar: before other text, and at the end. */
  done(): void;
}

/** Says what a command has to say, with the bar out of the way of every line. */
export async function openSpeaker({ quiet = false, progress = !quiet }: Look): Promise<Speaker> {
  const printer = progress && !quiet ? await openProgress(process.stderr) : null;
  const line = (text: string): void => {
    printer?.stop();
    say(text);
  };
  const warned = new Set<string>();
  return {
    note: (text) => (quiet ? undefined : line(text)),
    // One command may check a thing twice: before the work, and after it.
    warn: (text) => {
      if (!warned.has(text)) {
        warned.add(text);
        line(`warning: ${text}`);
      }
    },
    progress: (state) => printer?.update(state),
    done: () => printer?.stop(),
  };
}
