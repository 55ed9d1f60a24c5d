/**
 * Recognises the family of a diff: by the name of its repository, its files, tokens, tensors and values, and by the command line of the
 * script that the user has in mind. Pure: all facts come in as data, and so do the families.
 */
import { quote } from "../formats/quote.js";
import { matchesName } from "./axes.js";
import type { Facts, ScriptWords, SeenTensor } from "./facts.js";
import type { Family, ScriptFlag } from "./family.js";

/** The first of the families with a repository of this name. */
export function familyOfRepo(families: readonly Family[], name: string): Family | undefined {
  return families.find(({ repos }) => repos.some((repo) => isRepo(repo, name)));
}

/** A pattern without `*` must be the whole name. */
function isRepo(pattern: string, name: string): boolean {
  const lower = name.toLowerCase();
  return pattern.includes("*") ? matchesName(pattern, lower) : pattern === lower;
}

/** What marks the diff as one of this family, in words; null if nothing does. */
export function markOf({ marks, scheme }: Family, facts: Facts): string | null {
  const { files, tokens, formats, tensors } = facts;
  const file = marks?.files?.find((name) => files.includes(name));
  if (file !== undefined) {
    return `${file} lies beside it`;
  }
  const format = formats.find((known) => known === marks?.format);
  if (format !== undefined) {
    return `its weights are in the format ${format}`;
  }
  const token = tokens.find((name) => marks?.tokens?.includes(name) === true);
  if (token !== undefined) {
    return `its tokenizer has the token ${quote(token)}`;
  }
  const patterns = (marks?.tensors ?? []).filter((pattern) => isOnlyOfDiff(pattern, facts));
  const tensor = [...tensors].find((name) => patterns.some((pattern) => matchesName(pattern, name)));
  if (tensor !== undefined && hasPrefixed(scheme.prefix, facts)) {
    return `it has a tensor ${quote(tensor)}${facts.base === null ? "; if the base has no such tensor" : ""}`;
  }
  return marks?.recognise?.(facts) ?? null;
}

/** Gives "x" is, or "x", "y" are. */
export function areText(tensors: readonly Pick<SeenTensor, "name">[]): string {
  return `${tensors.map(({ name }) => quote(name)).join(", ")} ${tensors.length === 1 ? "is" : "are"}`;
}

/** The base's tensors belong to its architecture: no script added them to the diff. */
function isOnlyOfDiff(pattern: string, { base }: Facts): boolean {
  return base === null || ![...base].some((name) => matchesName(pattern, name));
}

/** If the scheme has a prefix: does the diff have names of the base with that prefix? */
function hasPrefixed(prefix: Family["scheme"]["prefix"], { tensors, base }: Facts): boolean {
  return prefix === null || base === null || [...base].some((name) => tensors.has(prefix.text + name));
}

/** Is the flag, as written (`-` for `_`), the script's, or a beginning of it? */
export function isFlag({ name, shortest = name }: Pick<ScriptFlag, "name" | "shortest">, written: string): boolean {
  return dashed(name).startsWith(written) && written.startsWith(dashed(shortest));
}

const dashed = (name: string): string => name.replaceAll("_", "-");

/** Is this a flag of any script whose command line differs from weight_diff.py's, or a flag that changes the result? */
export function isScriptFlag(families: readonly Family[], written: string): boolean {
  return families.some((family) => switches(family).includes(written) || flagOf(family, written) !== null);
}

function switches({ variants = {} }: Family): readonly string[] {
  return Object.keys(variants).map(dashed);
}

function flagOf({ line }: Family, written: string): ScriptFlag | null {
  return line?.flags.find((flag) => isFlag(flag, written)) ?? null;
}

/** The option of recover that the flag sets in the family's script; null if none. */
export function operandNamed(family: Family, written: string): ScriptFlag["means"] {
  return flagOf(family, written)?.means ?? null;
}

/** The families whose script has this command line, in order. Empty if the line does not tell. */
export function familiesOfLine(families: readonly Family[], { flags, words }: ScriptWords): readonly Family[] {
  return flags.length === 0 ? [] : families.filter((family) => takes(family, flags, words));
}

function takes(family: Family, flags: readonly string[], words: number): boolean {
  const { line } = family;
  const known = flags.map((written) => flagOf(family, written));
  return (
    flags.every((written, index) => known[index] !== null || switches(family).includes(written)) &&
    (line?.needs ?? []).every((name) => known.some((flag) => flag?.name === name)) &&
    (line?.words ?? words) === words &&
    // A script takes its paths either by flags or as words. Only one script mixes them, and its row says so.
    (words === 0 || line?.words !== undefined || known.every((flag) => (flag?.means ?? null) === null))
  );
}
