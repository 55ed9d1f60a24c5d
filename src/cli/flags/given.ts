/** What a command line gives, before it is interpreted: the text of each flag, by its name in the table. */
import { WeightDiffError } from "../../errors.js";
import { typed } from "./commands.js";
import type { CommandName } from "./flag.js";

/** True for a switch, or for a flag without its value. */
export type GivenValue = string | true | readonly string[];
export type Given = ReadonlyMap<string, GivenValue>;

/** The error for a wrong command line. @param command the command whose help page the hint names, unless it says something else. */
export function usage(message: string, command: CommandName | null, hint?: string): WeightDiffError {
  return new WeightDiffError(
    "USAGE",
    message,
    hint ?? `see weight-diff ${command === null ? "" : `${typed(command)} `}--help`,
  );
}
