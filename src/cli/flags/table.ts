/** The table of flags: every flag of every command is a row of it. No other code lists flags. */
import { CHAIN_INPUTS } from "./chain.js";
import { CHECKS } from "./checks.js";
import type { CommandName, Flag } from "./flag.js";
import { HUB } from "./hub.js";
import { INPUTS } from "./inputs.js";
import { OUTPUT } from "./output.js";
import { PARTS } from "./parts.js";
import { RUN } from "./run.js";
import { SCHEME } from "./scheme.js";
import { IGNORED } from "./scripts.js";

export const FLAGS: readonly Flag[] = [
  ...INPUTS,
  ...CHAIN_INPUTS,
  ...OUTPUT,
  ...PARTS,
  ...SCHEME,
  ...CHECKS,
  ...HUB,
  ...RUN,
  ...IGNORED,
];

export function flagsOf(command: CommandName): readonly Flag[] {
  return FLAGS.filter(({ commands }) => commands.includes(command));
}

/** For example `--path_raw`, or the name of an argument. */
export function shownName({ name, argument }: Flag): string {
  return argument === true ? name : `--${name}`;
}
