/** stderr: notes, warnings, errors and progress. For people, each line starts with the program's name. For programs, it is JSON. */
import type { Look } from "../flags/flag.js";
import { printableMessage, printableText } from "./printable.js";
import { eventPrinter, openProgress, type ProgressPrinter } from "./progress.js";
import type { ResultWriter } from "./stdout.js";

/** Says one thing to people. */
export function say(text: string): void {
  process.stderr.write(`weight-diff: ${printableMessage(text)}\n`);
}

/** Says one thing to a program. */
export function sayEvent(event: "note" | "warning" | "error" | "progress" | "result", fields: object): void {
  process.stderr.write(`${printableText(JSON.stringify({ event, ...fields }))}\n`);
}

/** Takes the result if stdout carries the output itself: as text, or as one more event for a program. */
export function resultOnStderr(events: boolean): ResultWriter {
  return {
    write(text) {
      if (events) {
        sayEvent("result", parsedOr(text));
      } else {
        process.stderr.write(printableText(text));
      }
    },
    lost: null,
    finish: async () => null,
  };
}

function parsedOr(text: string): object {
  try {
    return { result: JSON.parse(text) };
  } catch {
    return { text };
  }
}

interface Speaker {
  note(text: string): void;
  warn(text: string): void;
  readonly progress: ProgressPrinter["update"];
  /** Clears the bar before other text, and at the end. */
  done(): void;
}

/** Passes on what a command says, and keeps the bar out of the way of every line. */
export async function openSpeaker({ quiet = false, progress = !quiet, events = false }: Look): Promise<Speaker> {
  const printer = !progress || quiet ? null : await (events ? eventPrinter(sayProgress) : openProgress(process.stderr));
  const line = (event: "note" | "warning", text: string): void => {
    printer?.stop();
    if (events) {
      sayEvent(event, { text });
    } else {
      say(event === "warning" ? `warning: ${text}` : text);
    }
  };
  const warned = new Set<string>();
  return {
    note: (text) => (quiet ? undefined : line("note", text)),
    // A command may check the same thing before and after its work.
    warn: (text) => {
      if (!warned.has(text)) {
        warned.add(text);
        line("warning", text);
      }
    },
    progress: (state) => printer?.update(state),
    done: () => printer?.stop(),
  };
}

function sayProgress(fields: object): void {
  sayEvent("progress", fields);
}
