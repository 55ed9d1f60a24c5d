/** A whole command line: runs the command that its words name, or shows a page of the help. */
import { EXIT_CODES, WeightDiffError } from "../errors.js";
import { explain, glance } from "./explain.js";
import type { CommandName } from "./flags/flag.js";
import { readFlags } from "./flags/read.js";
import { askedGroup, joinWords, normaliseArgv, scriptFlags } from "./line/argv.js";
import { parse } from "./line/parse.js";
import { resultOnStderr } from "./output/stderr.js";
import type { ResultWriter } from "./output/stdout.js";
import { commandHelp, groupHelp, mainHelp, shortHelp } from "./pages/help.js";
import { runCommand, STORIES, type Stories } from "./run-command.js";

/** Runs the command line, and explains what goes wrong. @param stories stand in for the commands in tests. @returns the exit code. */
export async function obey(args: readonly string[], out: ResultWriter, stories: Stories = STORIES): Promise<number> {
  if (args.length === 0) {
    // Goes to stderr with an error code: a script whose variable is empty must not see success, nor take this for a result.
    process.stderr.write(shortHelp());
    return EXIT_CODES.USAGE;
  }
  const group = askedGroup(args);
  if (group !== null) {
    out.write(groupHelp(group));
    return 0;
  }
  // Uses only what is loaded already: the error may be that no file can be opened any more.
  let about = glance(args);
  try {
    const onHelp = (command: CommandName | null): void =>
      out.write(command === null ? mainHelp() : commandHelp(command));
    const words = joinWords(args);
    about = glance(words);
    const parsed = parse(normaliseArgv(words), onHelp);
    if (parsed === null) {
      return 0;
    }
    const { command, given } = parsed;
    const reading = readFlags(command, parsed.words, given, scriptFlags(words));
    const { format, events = false } = reading.asked.look;
    about = { command, asJson: format === "json", events, writes: reading.writes, streams: reading.streams };
    return await runCommand(command, reading, reading.streams ? resultOnStderr(events) : out, stories);
  } catch (error) {
    return explain(error, about, about.streams ? resultOnStderr(about.events) : out);
  }
}

/** Explains why the result could not be printed. @returns the exit code. */
export function explainStdout(failure: Error, args: readonly string[]): number {
  const error = new WeightDiffError("IO", `stdout: ${failure.message}`, "check where the output goes");
  return explain(error, glance(args), null);
}
