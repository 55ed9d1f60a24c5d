/**
 * Command lines as people write them: flags with `_` or `-`, other scripts' names for the same flags, and argparse's abbreviations of
 * those. Everything is turned into the spelling of the table of flags. Values stay unchanged.
 */
import { printable, quote } from "../../formats/quote.js";
import { FAMILIES } from "../../scheme/families.js";
import { isFlag, isScriptFlag } from "../../scheme/recognise.js";
import { COMMAND_NAMES, innerCommands, isCommand, typed } from "../flags/commands.js";
import type { CommandName, Flag } from "../flags/flag.js";
import { usage } from "../flags/given.js";
import { FLAGS, flagsOf, shownName } from "../flags/table.js";

/**
 * Joins "chain inspect" into one command, and "help chain inspect" likewise.
 * @throws {WeightDiffError} USAGE if the second word is missing or unknown.
 */
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

/** For "chain --help" and "help chain": the word whose commands are asked for; null for anything else. */
export function askedGroup([first, second, ...rest]: readonly string[]): string | null {
  const word = first === "help" ? second : first;
  const asks = first === "help" ? rest.length === 0 : second === "--help" || second === "-h";
  return word !== undefined && asks && innerCommands(word) !== null ? word : null;
}

/** The arguments after the program's name, in the spelling of the table. @throws {WeightDiffError} USAGE for flags without their value, and for switches with one. */
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
  refuseValuesOfSwitches(command, read);
  return read.map(({ text }) => text);
}

/** The script flags as the user wrote them, without dashes and with `-` for `_`. */
export function scriptFlags(args: readonly string[]): readonly string[] {
  return args
    .slice(0, endOf(args))
    .flatMap((argument) => (argument.startsWith("--") ? [dashed(argument.slice(2).split("=")[0] ?? "")] : []))
    .filter((written) => isScriptFlag(FAMILIES, written));
}

/** The index of `--`, which ends the flags. */
function endOf(args: readonly string[]): number {
  const end = args.indexOf("--");
  return end < 0 ? args.length : end;
}

interface Word {
  readonly text: string;
  /** The flag that the word names. */
  readonly flag?: Flag;
}

/** `make_diff` means make-diff. */
export function commandOf([word]: readonly string[]): CommandName | null {
  const name = word?.replaceAll("_", "-");
  return isCommand(name) ? (COMMAND_NAMES.find((command) => command === name) ?? null) : null;
}

/** The flag of this name, or else the flag that another script calls so. */
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

/** An unset shell variable leaves nothing between two flags, so the second would become the value of the first. */
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

/** commander would say that it does not know "--json=yes". */
function refuseValuesOfSwitches(command: CommandName | null, words: readonly Word[]): void {
  const wrong = words.find(({ text, flag }) => flag !== undefined && flag.takes === undefined && text.includes("="));
  if (wrong?.flag !== undefined) {
    const name = shownName(wrong.flag);
    throw usage(`${printable(wrong.text)}: ${name} takes no value`, command, `write ${name} alone, or leave it out`);
  }
}
