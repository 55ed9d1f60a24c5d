/** The pages of the help, made from the tables of commands and flags. */
import { COMMAND_NAMES, COMMANDS, glossary, typed } from "../flags/commands.js";
import { type CommandName, type Flag, GROUPS, type Group } from "../flags/flag.js";
import { OUTPUTS } from "../flags/rules.js";
import { flagsOf, shownName } from "../flags/table.js";
import { pairsText } from "../output/table.js";
import { EXITS, flagText } from "./words.js";

const HEADINGS: Readonly<Record<Group, string>> = {
  inputs: "inputs",
  output: "output",
  scheme: "scheme",
  checks: "checks",
  hub: "the Hub",
  run: "the run",
};

/** Columns of a page. Lines do not get longer on a wider terminal. */
const WIDTH = 100;

/** What the program prints without arguments. */
export function shortHelp(): string {
  return page([
    [
      "weight-diff recovers a fine-tuned model from a published weight diff, and makes and checks such diffs: the same bits",
      "as the Python scripts, in constant memory",
    ],
    ["usage: weight-diff COMMAND …"],
    ["commands:", ...pairsText(glossary(), WIDTH)],
    ["weight-diff COMMAND --help: its flags, examples and exit codes; weight-diff --help: more examples"],
  ]);
}

/** `weight-diff --help`. */
export function mainHelp(): string {
  const examples = COMMAND_NAMES.flatMap((name) => COMMANDS[name].examples);
  return shortHelp() + page([[], ["examples:", ...examples.map(exampleText)], exitCodes("a check failed")]);
}

/** `weight-diff chain --help`. @param outer the first word of commands with two words. */
export function groupHelp(outer: string): string {
  const names = COMMAND_NAMES.filter((name) => typed(name).startsWith(`${outer} `));
  return page([
    [`usage: weight-diff ${outer} COMMAND …`],
    [
      "commands:",
      ...pairsText(
        names.map((name) => [typed(name), COMMANDS[name].does]),
        WIDTH,
      ),
    ],
    ["examples:", ...names.flatMap((name) => COMMANDS[name].examples).map(exampleText)],
    [`weight-diff ${outer} COMMAND --help: its flags and exit codes`],
  ]);
}

/** `weight-diff COMMAND --help`. */
export function commandHelp(command: CommandName): string {
  const { does, forms = [], examples, failed } = COMMANDS[command];
  const flags = flagsOf(command).filter(({ hidden }) => hidden !== true);
  const needed = flags
    .filter(({ required, argument }) => required !== undefined || argument === true)
    .map((flag) => (flag.required === undefined ? `[${callText(flag)}]` : callText(flag)));
  const output = flags.filter(({ name, required }) => name === OUTPUTS[command] && required === undefined);
  const call = [typed(command), ...needed, ...output.map((flag) => `[${callText(flag)}]`), "[flags]"].join(" ");
  return page([
    [`weight-diff ${typed(command)}: ${does}`],
    ["usage:", ...[call, ...forms].map(exampleText)],
    ...GROUPS.map((group) => {
      const own = flags.filter((flag) => flag.group === group);
      return own.length === 0
        ? null
        : [
            `${HEADINGS[group]}:`,
            ...pairsText(
              own.map((flag) => [callText(flag), flagText(flag)]),
              WIDTH,
            ),
          ];
    }),
    ["examples:", ...examples.map(exampleText)],
    exitCodes(failed),
    ["In the names of flags, _ and - are the same."],
  ]);
}

/** For example "--path_raw BASE". */
function callText(flag: Flag): string {
  const { takes, bare, argument } = flag;
  const value = takes === undefined ? "" : bare === true ? `[${takes}]` : takes;
  return argument === true ? value : [shownName(flag), value].join(" ").trimEnd();
}

function exampleText(words: string): string {
  return `  weight-diff ${words}`;
}

function exitCodes(failed: string | null): readonly string[] {
  const line = (codes: readonly (keyof typeof EXITS)[], ...more: readonly string[]): string =>
    `  ${[...codes.map((code) => `${code} ${EXITS[code]}`), ...more].join("   ")}`;
  return ["exit codes:", line([0, 2], ...(failed === null ? [] : [`3 ${failed}`])), line([4, 5]), line([1, 130, 143])];
}

function page(parts: readonly (readonly string[] | null)[]): string {
  return `${parts
    .filter((part) => part !== null)
    .map((part) => part.join("\n"))
    .join("\n\n")}\n`;
}
