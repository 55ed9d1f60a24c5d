/**
 * Turns the advice of an error, a warning or a note into flags. The code below here names options; only the table of flags knows their
 * spelling.
 */
import type { Advice, AdvisedValue, CommandAdvice, OptionAdvice } from "../../advice.js";
import type { WeightDiffError } from "../../errors.js";
import { dtypeName } from "../../formats/dtype.js";
import { typed } from "../flags/commands.js";
import type { CommandName, Flag } from "../flags/flag.js";
import { FLAGS, flagsOf, shownName } from "../flags/table.js";
import { shellWord } from "./shell.js";

/**
 * What to do: the error's hint and its advice in one sentence; undefined if there is neither. Leaves out advice whose flag the command
 * lacks.
 * @param command null if no command is known.
 * @param writes is there an output to continue or to replace?
 */
export function hintText(
  { hint, advice }: Pick<WeightDiffError, "hint" | "advice">,
  command: CommandName | null = null,
  writes = true,
): string | undefined {
  const rows = command === null ? FLAGS : flagsOf(command);
  const flags = writes ? rows : rows.filter(({ option }) => option !== "mode");
  let text = hint;
  for (const one of advice) {
    const said = adviceText(one, flags);
    if (said !== undefined) {
      text = text === undefined ? said : `${text}, ${"afterwards" in one ? "then" : "or"} ${said}`;
    }
  }
  return text;
}

/** A warning or a note, followed by its advice in brackets. */
export function adviceAfter(text: string, advice: readonly Advice[], command: CommandName): string {
  const said = advice.flatMap((one) => adviceText(one, flagsOf(command)) ?? []);
  return said.length === 0 ? text : `${text} (${said.join(", or ")})`;
}

/** @returns undefined if none of the flags sets the option. */
function adviceText(advice: Advice, flags: readonly Flag[]): string | undefined {
  if ("command" in advice) {
    return commandText(advice);
  }
  const { to, value, among } = advice;
  const flag = flagOf(advice, flags);
  if (flag === undefined) {
    return undefined;
  }
  const name = shownName(flag);
  if (among !== undefined) {
    return `${to}:${among.map((one) => `\n  ${name} ${spelled(one.value)}  (${one.means})`).join("")}`;
  }
  return `${to} with ${name}${flag.sets !== undefined || value === undefined ? "" : ` ${spelled(value)}`}`;
}

function flagOf({ option, value }: Pick<OptionAdvice, "option" | "value">, flags: readonly Flag[]): Flag | undefined {
  return flags.find(
    ({ option: own, sets, hidden }) => own === option && hidden !== true && (sets === undefined || sets === value),
  );
}

/** For example "make a diff of it: weight-diff make-diff --path_raw llama-7b …", as a user would type it. */
function commandText({ to, command, options }: CommandAdvice): string {
  return `${to}: ${["weight-diff", typed(command), ...wordsOf(options, flagsOf(command))].join(" ")}`;
}

/** The options as flags. Options without a flag are left out. @param within the field to which the options belong. */
function wordsOf(options: object, flags: readonly Flag[], within = ""): readonly string[] {
  return Object.entries(options).flatMap(([name, value]): readonly string[] => {
    const option = `${within}${name}`;
    if (Array.isArray(value)) {
      return value.flatMap((each) => flagWords(option, each, flags));
    }
    return typeof value === "object" && value !== null
      ? wordsOf(value, flags, `${option}.`)
      : flagWords(option, value, flags);
  });
}

function flagWords(option: string, value: unknown, flags: readonly Flag[]): readonly string[] {
  const advised = typeof value === "string" || typeof value === "number" || typeof value === "boolean" ? value : null;
  const flag = flagOf({ option, value: advised }, flags);
  if (flag === undefined) {
    return [];
  }
  const name = flag.argument === true ? [] : [shownName(flag)];
  // A size without a unit would be refused.
  const unit = flag.takes === "SIZE" ? "B" : "";
  return flag.sets === undefined ? [...name, shellWord(spelled(advised) + unit)] : name;
}

/** The value as the flag takes it: dtypes by torch's names. */
function spelled(value: AdvisedValue): string {
  return value === "F32" || value === "F16" || value === "BF16" ? dtypeName(value) : String(value);
}
