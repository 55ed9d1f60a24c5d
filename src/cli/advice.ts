/** What an error advises, in flags: below here an error names options, and only the table of flags knows how they are spelled. */
import type { Advice, WeightDiffError } from "../errors.js";
import { torchName } from "../formats/dtype.js";
import type { CommandName, Flag } from "./flags/flag.js";
import { FLAGS, flagsOf, shownName } from "./flags/table.js";

/**
 * What to do: the error's hint and its advice in one sentence; undefined if there is neither. Advice whose flag the command does
 * not have is left out. @param command null: of no command in particular. @param writes is there an output, to continue or to replace?
 */
export function hintText(
  { hint, advice }: WeightDiffError,
  command: CommandName | null = null,
  writes = true,
): string | undefined {
  const rows = command === null ? FLAGS : flagsOf(command);
  const flags = writes ? rows : rows.filter(({ option }) => option !== "mode");
  let text = hint;
  for (const one of advice) {
    const said = adviceText(one, flags);
    if (said !== undefined) {
      text = text === undefined ? said : `${text}, ${one.afterwards === true ? "then" : "or"} ${said}`;
    }
  }
  return text;
}

function adviceText({ to, option, value }: Advice, flags: readonly Flag[]): string | undefined {
  const flag = flags.find(
    ({ option: own, sets, hidden }) => own === option && hidden !== true && (sets === undefined || sets === value),
  );
  if (flag === undefined) {
    return undefined;
  }
  const text = flag.sets !== undefined || value === undefined ? "" : ` ${spelled(value)}`;
  return `${to} with ${shownName(flag)}${text}`;
}

/** As a flag takes it: dtypes by torch's names. */
function spelled(value: NonNullable<Advice["value"]> | null): string {
  return value === "F32" || value === "F16" || value === "BF16" ? (torchName(value) ?? value) : String(value);
}
