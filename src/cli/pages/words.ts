/** What the help and the man page both say: of a flag, and of the exit codes. */
import type { Flag } from "../flags/flag.js";

/** The meanings of the exit codes that all commands share. The meaning of 3 is each command's own. */
export const EXITS = {
  0: "done",
  1: "a bug",
  2: "wrong usage",
  4: "an input or the output directory cannot be used",
  5: "disk or network",
  130: "interrupted",
  143: "terminated",
} as const;

/** @param more stands before the default. */
export function flagText(
  { help, aliases = [], required, default: otherwise }: Flag,
  ...more: readonly string[]
): string {
  return [
    required === undefined ? help : `${help} (required)`,
    ...more,
    ...(otherwise === undefined ? [] : [`(default: ${otherwise})`]),
    ...(aliases.length === 0 ? [] : [`(also ${aliases.map(({ name }) => `--${name}`).join(", ")})`]),
  ].join(" ");
}
