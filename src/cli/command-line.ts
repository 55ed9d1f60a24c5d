/** A whole command line: its words to a command and its options, or to a page of the help. */
import { EXIT_CODES } from "../errors.js";
import { normaliseArgv, scriptFlags } from "./argv.js";
import { explain } from "./explain.js";
import type { CommandName } from "./flags/flag.js";
import { readFlags } from "./flags/read.js";
import { commandHelp, mainHelp, shortHelp } from "./help.js";
import type { ResultWriter } from "./output/stdout.js";
import { parse } from "./parse.js";
import { runCommand, STORIES, type Stories } from "./run-command.js";

/** Does what the words say; what goes wrong is explained. @returns the exit code. */
export async function obey(args: readonly string[], out: ResultWriter): Promise<number> {
  try {
    return await runCommandLine(args, out);
  } catch (error) {
    // Loaded with the rest: the error may be that no file can be opened any more.
    return explain(error, args, out);
  }
}

/** @param stories stand in for the commands in tests. @returns the exit code. @throws {WeightDiffError} USAGE; as the command. */
export async function runCommandLine(
  args: readonly string[],
  out: ResultWriter,
  stories: Stories = STORIES,
): Promise<number> {
  if (args.length === 0) {
    // A script whose variable is empty must not take it for success, nor its reader for a result.
    process.stderr.write(shortHelp());
    return EXIT_CODES.USAGE;
  }
  const onHelp = (command: CommandName | null): void => out.write(command === null ? mainHelp() : commandHelp(command));
  const parsed = parse(normaliseArgv(args), onHelp);
  if (parsed === null) {
    return 0;
  }
  const { command, words, given } = parsed;
  return runCommand(command, readFlags(command, words, given, scriptFlags(args)), out, stories);
}
