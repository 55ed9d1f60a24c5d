/**
 * Command lines as people have them: flags with `_` or `-`, the names that the schemes' scripts have for the same thing, and
 * argparse's abbreviations of those. Everything becomes the one spelling of the table of flags; values are left alone.
 */
import { quote } from "../../formats/quote.js";
import { FAMILIES } from "../../scheme/families.js";
import { isFlag, isScriptFlag } from "../../scheme/recognise.js";
import { COMMAND_NAMES, innerCommands, isCommand, typed } from "../flags/commands.js";
import type { CommandName, Flag } from "../flags/flag.js";
import { usage } from "../flags/given.js";
import { FLAGS, flagsOf, shownName } from "../flags/table.js";

/** "chain inspect" is one command, and "help chain inspect" its help. @throws {WeightDiffError} USAGE where the second word is missing, or none. */
export function joinWords(args: readonly string[]): readonly string[] {
  const at = args[0] === "help" ? 1 : 0;
  const inner = innerCommands(args[at]);
  if (inner === null) {
    return args;
  }
  const [outer = "", word, ...rest] = args.slice(at);
  if (word !== undefined && inner.includes(word)) {
    return [...args.slice(0, at), `${outer}-${word}`, ...rest];
  }
  const wanted = word === undefined ? "which command is missing" : `no command ${quote(word)}`;
  throw usage(`${outer}: ${wanted}: ${inner.join(", ")}`, null, `see weight-diff ${outer} --help`);
}

/** "chain --help", "help chain": the word whose commands are asked for; null for anything else. */
export function askedGroup([first, second, ...rest]: readonly string[]): string | null {
  const word = first === "help" ? second : first;
  const asks = first === "help" ? rest.length === 0 : second === "--help" || second === "-h";
  return word !== undefined && asks && innerCommands(word) !== null ? word : null;
}

/** Arguments after the program's name, in the spelling of the table. @throws {WeightDiffError} USAGE for flags whose value is missing. */
export function normaliseArgv(args: readonly string[]): readonly string[] {
  const command = commandOf(args);
  const rows = command === null ? FLAGS : flagsOf(command);
  const end = endOf(args);
  const read = args.map((argument, index): Word => {
    if (index >= end || !argument.startsWith("--")) {
      return { text: index === 0 && command !== null ? command : argument };
    }
    const [name = "", ...value] = argument.split("=");
    const flag = named(name, rows);
    return flag === undefined ? { text: argument } : { text: [shownName(flag), ...value].join("="), flag };
  });
  refuseMissingValues(command, read);
  return read.map(({ text }) => text);
}

/** The flags that are a script's own, as they were written: without dashes, `-` for `_`. */
export function scriptFlags(args: readonly string[]): readonly string[] {
  return args
    .slice(0, endOf(args))
    .flatMap((argument) => (argument.startsWith("--") ? [dashed(argument.slice(2).split("=")[0] ?? "")] : []))
    .filter((written) => isScriptFlag(FAMILIES, written));
}

/** Where `--` ends the flags. */
function endOf(args: readonly string[]): number {
  const end = args.indexOf("--");
  return end < 0 ? args.length : end;
}

interface Word {
  readonly text: string;
  /** The flag that it names. */
  readonly flag?: Flag;
}

/** `make_diff` is make-diff. */
export function commandOf([word]: readonly string[]): CommandName | null {
  const name = word?.replaceAll("_", "-");
  return isCommand(name) ? (COMMAND_NAMES.find((command) => command === name) ?? null) : null;
}

/** The flag by its own name, else by that of another script. */
function named(word: string, rows: readonly Flag[]): Flag | undefined {
  const name = dashed(word.slice(2));
  return (
    rows.find((flag) => flag.argument !== true && dashed(flag.name) === name) ??
    rows.find(({ aliases = [] }) => aliases.some((alias) => isFlag(alias, name)))
  );
}

function dashed(name: string): string {
  return name.replaceAll("_", "-");
}

/** A shell variable that is not set leaves nothing between two flags, and the second would be taken for the value of the first. */
function refuseMissingValues(command: CommandName | null, words: readonly Word[]): void {
  const missing = words.filter(({ text, flag }, index) => {
    const next = words[index + 1];
    const wants = flag?.takes !== undefined && flag.bare !== true && !text.includes("=");
    return wants && (next === undefined || next.flag !== undefined);
  });
  if (missing.length > 0) {
    const names = missing.map(({ text }) => text).join(", ");
    throw usage(
      `${names}: no value is given`,
      command,
      `write it after the flag; a shell variable that is not set gives none; see weight-diff ${command === null ? "" : typed(command)} --help`,
    );
  }
}
