/** Runs one command, from its flags to its exit code: what it says on the way, what it prints, and what ends it early. */
import type { Say } from "../advice.js";
import { trace, traceStart } from "../engine/io/trace.js";
import { WeightDiffError } from "../errors.js";
import type { Story } from "./commands/story.js";
import type { CommandName } from "./flags/flag.js";
import type { FlagReading } from "./flags/read.js";
import { adviceAfter } from "./output/advice.js";
import { openSpeaker } from "./output/stderr.js";
import type { ResultWriter } from "./output/stdout.js";

/** The code of each command, loaded on demand: loading all of it takes as long as a small run. */
export type Stories = { readonly [C in CommandName]: () => Promise<{ readonly run: Story<C> }> };

export const STORIES: Stories = {
  recover: () => import("./commands/recover.js"),
  "make-diff": () => import("./commands/make-diff.js"),
  convert: () => import("./commands/convert.js"),
  finalize: () => import("./commands/finalize.js"),
  status: () => import("./commands/status.js"),
  batch: () => import("./commands/batch.js"),
  xor: () => import("./commands/xor.js"),
  verify: () => import("./commands/verify.js"),
  inspect: () => import("./commands/inspect.js"),
  "chain-inspect": () => import("./commands/chain-inspect.js"),
  "chain-verify": () => import("./commands/chain-verify.js"),
  "chain-materialize": () => import("./commands/chain-materialize.js"),
  "chain-fold": () => import("./commands/chain-fold.js"),
  "chain-make": () => import("./commands/chain-make.js"),
  report: () => import("./commands/report.js"),
  try: () => import("./commands/try.js"),
  push: () => import("./commands/push.js"),
  sign: () => import("./commands/sign.js"),
  schemes: () => import("./commands/schemes.js"),
  completion: () => import("./commands/completion.js"),
};

/** SIGBREAK is Ctrl-Break on Windows, where no program can be sent SIGTERM. On other systems it never comes. */
const SIGNALS = { SIGINT: "INTERRUPTED", SIGBREAK: "INTERRUPTED", SIGTERM: "TERMINATED" } as const;

const LAST_WORDS_MS = 2000;

/** Runs the command. @returns the exit code. @throws whatever ends the command. */
export async function runCommand<C extends CommandName>(
  command: C,
  { asked, notes, resumable, piped }: FlagReading<C>,
  out: ResultWriter,
  stories: Stories = STORIES,
): Promise<number> {
  const stop = new AbortController();
  const end = (signal: keyof typeof SIGNALS): void => {
    stop.abort(interruption(SIGNALS[signal], resumable));
    // A write that nobody reads, or a read that nobody writes for, never returns, and the process cannot end before it does. So the signal
    // ends the process here.
    if (piped) {
      setTimeout(() => process.kill(process.pid, signal), LAST_WORDS_MS).unref();
    }
  };
  for (const signal of Object.keys(SIGNALS)) {
    // Only once, so a second Ctrl-C ends the process at once.
    process.once(signal, end);
  }
  // What would be printed next has no reader, so a text that takes hours need not be made.
  const unread = (): void => stop.abort(interruption("INTERRUPTED", resumable));
  out.lost?.addEventListener("abort", unread, { once: true });
  const speaker = await openSpeaker(asked.look);
  try {
    notes.forEach(speaker.note);
    const { run } = await stories[command]();
    traceStart("start");
    const during = {
      signal: stop.signal,
      onNote: ((text, advice = []) => speaker.note(adviceAfter(text, advice, command))) satisfies Say,
      onWarning: ((text, advice = []) => speaker.warn(adviceAfter(text, advice, command))) satisfies Say,
      onProgress: speaker.progress,
    };
    const told = (text: string): void => {
      speaker.done();
      out.write(text);
    };
    return await trace(command, () => run(asked, during, told));
  } catch (error) {
    // A reader who left needs no message. `finish` reports a full disk.
    if (out.lost?.aborted === true && error instanceof WeightDiffError && error.kind === "stopped") {
      return 0;
    }
    throw error;
  } finally {
    speaker.done();
    for (const signal of Object.keys(SIGNALS)) {
      process.removeListener(signal, end);
    }
  }
}

/** Only a run that writes leaves something to resume. */
function interruption(code: "INTERRUPTED" | "TERMINATED", resumable: boolean): WeightDiffError {
  return resumable
    ? new WeightDiffError(code, "interrupted: what is finished stays", "continue with --resume")
    : new WeightDiffError(code, "interrupted");
}
