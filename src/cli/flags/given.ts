/** What was given on one command line, before it means anything: each flag's text, by its name in the table. */
import { WeightDiffError } from "../../errors.js";
import { typed } from "./commands.js";
import type { CommandName } from "./flag.js";

/** true: a switch, or a flag without its value. */
export type GivenValue = string | true | readonly string[];
export type Given = ReadonlyMap<string, GivenValue>;

/** A wrong command line. @param command whose page of the help the hint names, if it says nothing else. */
export function usage(message: string, command: CommandName | null, hint?: string): WeightDiffError {
  return new WeightDiffError(
    "USAGE",
    message,
    hint ?? `see weight-diff ${command === null ? "" : `${typed(command)} `}--help`,
  );
}
