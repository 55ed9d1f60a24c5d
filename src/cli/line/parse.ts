/** Parses a command line with commander, by the table of flags: which command, which words, and which flags with which text. */
import { Command, CommanderError, Option } from "commander";
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
 * @throws {WeightDiffError} USAGE for an unknown command or flag, or for a word too many.
 */
export function parse(args: readonly string[], onHelp: (command: CommandName | null) => void): Parsed | null {
  let parsed: Parsed | null = null;
  const program = quietly(new Command("weight-diff"), () => onHelp(null));
  for (const name of COMMAND_NAMES) {
    const command = quietly(program.command(name), () => onHelp(name));
    if (name === args[0]) {
      const rows = flagsOf(name);
      const declared = declare(command, name, rows);
      command.action(() => {
        parsed = { command: name, words: command.args, given: givenOf(command, declared) };
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

/** @returns each flag with commander's option for it. */
function declare(command: Command, name: CommandName, rows: readonly Flag[]): readonly (readonly [Flag, Option])[] {
  command.description(COMMANDS[name].does);
  for (const { takes = "" } of rows.filter(({ argument }) => argument)) {
    command.argument(`[${takes}]`);
  }
  // Recover's paths may stand without flags. Which word is too many depends on the paths that have a flag. batch takes a whole command
  // line.
  command.allowExcessArguments(name === "recover" || name === "batch");
  return rows
    .filter(({ argument }) => argument !== true)
    .map((flag) => {
      const option = new Option(`${shownName(flag)}${takesText(flag)}`).hideHelp(flag.hidden === true);
      if (flag.repeated === true) {
        option.argParser((text: string, before: readonly string[] | undefined) => [...(before ?? []), text]);
      }
      command.addOption(option);
      return [flag, option] as const;
    });
}

function takesText({ takes, bare }: Flag): string {
  return takes === undefined ? "" : bare === true ? " [value]" : " <value>";
}

function givenOf(command: Command, declared: readonly (readonly [Flag, Option])[]): Given {
  const given = new Map<string, GivenValue>();
  for (const [{ name }, option] of declared) {
    const key = option.attributeName();
    if (command.getOptionValueSource(key) === "cli") {
      const value: unknown = command.getOptionValue(key);
      given.set(name, typeof value === "boolean" ? true : (value as GivenValue));
    }
  }
  return given;
}
