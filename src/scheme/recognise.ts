/**
 * Recognises whose diff it is: by the name of its repository, its files, tokens and tensors, its values, and the command line of the
 * script that the user means. Pure: everything that is known comes in as data, and so do the families to look among.
 */
import { quote } from "../formats/quote.js";
import { matchesName } from "./axes.js";
import type { Facts, ScriptWords, SeenTensor } from "./facts.js";
import type { Family, ScriptFlag } from "./family.js";

/** The first of the families whose repository has this name. */
export function familyOfRepo(families: readonly Family[], name: string): Family | undefined {
  return families.find(({ repos }) => repos.some((repo) => isRepo(repo, name)));
}

/** A pattern without `*` is the whole name. */
function isRepo(pattern: string, name: string): boolean {
  const lower = name.toLowerCase();
  return pattern.includes("*") ? matchesName(pattern, lower) : pattern === lower;
}

/** What marks the diff as the family's, in words; null if nothing does. */
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
    return `it has a tensor ${quote(tensor)}${facts.base === null ? "; if the base has none such" : ""}`;
  }
  return marks?.recognise?.(facts) ?? null;
}

/** "x" is, "x", "y" are. */
export function areText(tensors: readonly Pick<SeenTensor, "name">[]): string {
  return `${tensors.map(({ name }) => quote(name)).join(", ")} ${tensors.length === 1 ? "is" : "are"}`;
}

/** What the base has as well, it has from its own architecture: no script put it into the diff. */
function isOnlyOfDiff(pattern: string, { base }: Facts): boolean {
  return base === null || ![...base].some((name) => matchesName(pattern, name));
}

/** Has the diff names of the base with the scheme's prefix before them, if the scheme has one? */
function hasPrefixed(prefix: Family["scheme"]["prefix"], { tensors, base }: Facts): boolean {
  return prefix === null || base === null || [...base].some((name) => tensors.has(prefix.text + name));
}

/** Is the flag, as it was written (`-` for `_`), one of the script's: its name or a beginning of it? */
export function isFlag({ name, shortest = name }: Pick<ScriptFlag, "name" | "shortest">, written: string): boolean {
  return dashed(name).startsWith(written) && written.startsWith(dashed(shortest));
}

const dashed = (name: string): string => name.replaceAll("_", "-");

/** Is it a flag of any script that sets its command line apart, one that changes bits among them? */
export function isScriptFlag(families: readonly Family[], written: string): boolean {
  return families.some((family) => switches(family).includes(written) || flagOf(family, written) !== null);
}

function switches({ variants = {} }: Family): readonly string[] {
  return Object.keys(variants).map(dashed);
}

function flagOf({ line }: Family, written: string): ScriptFlag | null {
  return line?.flags.find((flag) => isFlag(flag, written)) ?? null;
}

/** Which option of recover the flag is in the family's script; null if none. */
export function operandNamed(family: Family, written: string): ScriptFlag["means"] {
  return flagOf(family, written)?.means ?? null;
}

/** The families whose script has this command line, in their order; none where it says nothing of a script. */
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
    // A script has its paths by flags or without, and not both, but for the one that says so.
    (words === 0 || line?.words !== undefined || known.every((flag) => (flag?.means ?? null) === null))
  );
}
