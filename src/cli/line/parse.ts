/** Parses a command line with commander, by the table of flags: which command, which words, and which flags with which text. */
import { Command, CommanderError, Option } from "commander";
import { quote } from "../../formats/quote.js";
import { COMMAND_NAMES, COMMANDS, isCommand } from "../flags/commands.js";
import type { CommandName, Flag } from "../flags/flag.js";
import { type Given, type GivenValue, usage } from "../flags/given.js";
import { flagsOf, shownName } from "../flags/table.js";

interface Parsed {
  readonly command: CommandName;
  /** The words without a flag. */
  readonly words: readonly string[];
  readonly given: Given;
}

/**
 * @param args in the spelling of the table.
 * @returns null if help was asked for; `onHelp` was then called with the command.
 * @throws {WeightDiffError} USAGE for an unknown command or flag, for a word too many, or for one flag with two values.
 */
export function parse(args: readonly string[], onHelp: (command: CommandName | null) => void): Parsed | null {
  let parsed: Parsed | null = null;
  const program = quietly(new Command("weight-diff"), () => onHelp(null));
  for (const name of COMMAND_NAMES) {
    const command = quietly(program.command(name), () => onHelp(name));
    if (name === args[0]) {
      const rows = flagsOf(name);
      const texts = declare(command, name, rows);
      command.action(() => {
        parsed = { command: name, words: command.args, given: givenOf(name, rows, texts) };
      });
    }
  }
  try {
    // "help nosuch" is as wrong as "nosuch".
    const [first, second] = args;
    const helped = first === "help" && second !== undefined && !isCommand(second) ? [second] : args;
    program.parse(helped, { from: "user" });
    return parsed;
  } catch (error) {
    if (!(error instanceof CommanderError)) {
      throw error;
    }
    if (error.exitCode === 0) {
      return null;
    }
    const [name] = args;
    throw usage(error.message.replace(/^error: /, "").replaceAll("\n", " "), isCommand(name) ? name : null);
  }
}

/** Prints nothing, and does not end the process. */
function quietly(command: Command, onHelp: () => void): Command {
  return command
    .exitOverride()
    .configureOutput({ writeOut: () => {}, writeErr: () => {} })
    .configureHelp({
      formatHelp: () => {
        onHelp();
        return "";
      },
    });
}

/** Declares the flags. @returns where the texts of each flag will be, by its name and in the order of the line; commander keeps only the last. */
function declare(command: Command, name: CommandName, rows: readonly Flag[]): ReadonlyMap<string, Set<string | true>> {
  command.description(COMMANDS[name].does);
  for (const { takes = "" } of rows.filter(({ argument }) => argument)) {
    command.argument(`[${takes}]`);
  }
  // Recover's paths may stand without flags. Which word is too many depends on the paths that have a flag. batch takes a whole command
  // line.
  command.allowExcessArguments(name === "recover" || name === "batch");
  const texts = new Map<string, Set<string | true>>();
  for (const flag of rows.filter(({ argument }) => argument !== true)) {
    const option = new Option(`${shownName(flag)}${takesText(flag)}`).hideHelp(flag.hidden === true);
    const given = new Set<string | true>();
    command.addOption(option);
    command.on(`option:${option.name()}`, (text?: string | null) => given.add(text ?? true));
    texts.set(flag.name, given);
  }
  return texts;
}

function takesText({ takes, bare }: Flag): string {
  return takes === undefined ? "" : bare === true ? " [value]" : " <value>";
}

/** @throws {WeightDiffError} USAGE for a flag with two values that takes one. */
function givenOf(
  command: CommandName,
  rows: readonly Flag[],
  texts: ReadonlyMap<string, ReadonlySet<string | true>>,
): Given {
  const given = new Map<string, GivenValue>();
  for (const flag of rows) {
    const [first, ...others] = texts.get(flag.name) ?? [];
    if (first === undefined) {
      continue;
    }
    if (others.length > 0 && flag.repeated !== true) {
      const all = [first, ...others].map((text) => (text === true ? "no value" : quote(text)));
      throw usage(`${shownName(flag)}: is given more than once: ${all.join(", ")}`, command, "give it once");
    }
    given.set(flag.name, flag.repeated === true ? [first, ...others].map(String) : first);
  }
  return given;
}
