/** The names that other projects' scripts use for an operand, from the table of families. */
import { FAMILIES } from "../../scheme/families.js";
import type { ScriptFlag } from "../../scheme/family.js";
import { isFlag } from "../../scheme/recognise.js";
import { type Alias, type Flag, foreignFlag } from "./flag.js";

/** Each name once, the most common one first, without names that are a beginning of another. */
export function aliasesOf(operand: NonNullable<ScriptFlag["means"]>): readonly Alias[] {
  const flags = FAMILIES.flatMap(({ line }) => line?.flags ?? []).filter(({ means }) => means === operand);
  const uses = ({ name }: ScriptFlag): number => flags.filter((flag) => flag.name === name).length;
  return [...new Map(flags.map((flag) => [flag.name, flag])).values()]
    .filter((flag) => !flags.some((other) => other.name !== flag.name && isFlag(other, flag.name.replaceAll("_", "-"))))
    .sort((a, b) => uses(b) - uses(a));
}

/** Flags of the scripts that have no effect here, and what to tell a user who passes one. */
export const IGNORED: readonly Flag[] = FAMILIES.flatMap(({ line }) =>
  (line?.flags ?? []).flatMap(({ name, note }) => (note === undefined ? [] : [foreignFlag(name, ["recover"], note)])),
);
