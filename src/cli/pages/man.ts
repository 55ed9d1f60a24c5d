/** The man page in roff's man macros, made from the tables of commands and flags. `npm run build` puts it into dist/man. */
import { choicesOf } from "../flags/choices.js";
import { COMMAND_NAMES, COMMANDS, typed } from "../flags/commands.js";
import type { CommandName, Flag } from "../flags/flag.js";
import { flagsOf, shownName } from "../flags/table.js";
import { EXITS, flagText } from "./words.js";

/** @param date of the page, for example 2026-11-29. */
export function manPage(version: string, date: string): string {
  return `${[
    `.TH WEIGHT\\-DIFF 1 "${date}" "weight\\-diff ${text(version)}" "User Commands"`,
    section("NAME"),
    "weight\\-diff \\- recover a fine-tuned model from a published weight diff; make and check such diffs",
    section("SYNOPSIS"),
    ...COMMAND_NAMES.flatMap((name) => [".br", synopsis(name)]).slice(1),
    section("DESCRIPTION"),
    "Recovers a fine-tuned model from a base model and a published weight diff, with the bits of the Python scripts that such",
    "diffs were made for, in constant memory.",
    "Results go to standard output, all else to standard error.",
    "In the names of flags, _ and \\- are the same.",
    section("COMMANDS"),
    ...COMMAND_NAMES.flatMap(commandText),
    section("EXIT STATUS"),
    ...Object.entries({ ...EXITS, 3: "a check failed" }).flatMap(([code, meaning]) => [
      ".TP",
      `.B ${code}`,
      text(meaning),
    ]),
    section("ENVIRONMENT"),
    ...ENVIRONMENT.flatMap(([name, meaning]) => [".TP", `.B ${name}`, text(meaning)]),
  ].join("\n")}\n`;
}

const ENVIRONMENT = [
  ["HF_TOKEN, HF_ENDPOINT, HF_HOME, HF_HUB_CACHE, HF_HUB_OFFLINE", "as huggingface_hub has them"],
  ["UV_THREADPOOL_SIZE", "how many reads and writes of files run at the same time (default: 16)"],
] as const;

function commandText(command: CommandName): readonly string[] {
  const { does, examples, failed } = COMMANDS[command];
  const flags = flagsOf(command).filter(({ hidden }) => hidden !== true);
  return [
    `.SS "weight\\-diff ${text(typed(command))}"`,
    `${text(does)}.`,
    ...flags.flatMap((flag) => [".TP", heading(flag), described(flag)]),
    ...(failed === null ? [] : [".PP", `Exit status 3: ${text(failed)}.`]),
    ".PP",
    "Examples:",
    ".PP",
    ".nf",
    ...examples.map((example) => `    weight\\-diff ${text(example)}`),
    ".fi",
  ];
}

function synopsis(command: CommandName): string {
  const needed = flagsOf(command).filter(({ required }) => required !== undefined);
  const called = needed.map((flag) =>
    flag.argument === true ? value(flag) : `\\fB${text(shownName(flag))}\\fR ${value(flag)}`,
  );
  return [`.B weight\\-diff ${text(typed(command))}\n${called.join(" ")}`.trimEnd(), "[\\fIflags\\fR]"].join(" ");
}

function heading(flag: Flag): string {
  const name = flag.argument === true ? "" : `\\fB${text(shownName(flag))}\\fR`;
  return [name, value(flag)].filter((part) => part !== "").join(" ");
}

function value({ takes, bare }: Flag): string {
  return takes === undefined ? "" : bare === true ? `[\\fI${text(takes)}\\fR]` : `\\fI${text(takes)}\\fR`;
}

function described(flag: Flag): string {
  const choices = choicesOf(flag);
  // Lists the choices unless the help text names them.
  const named = choices.every((word) => flag.help.includes(word));
  return text(flagText(flag, ...(named ? [] : [`(one of ${choices.join(", ")})`])));
}

function section(name: string): string {
  return `.SH ${name}`;
}

/** Escapes every character with a meaning in roff: "-", "\", and "." or "'" at the start of a line (groff_man(7)). */
function text(plain: string): string {
  return plain
    .replaceAll("\\", "\\e")
    .replaceAll("…", "...")
    .replaceAll("-", "\\-")
    .replaceAll(/^(?=[.'])/gm, "\\&");
}
