/**
 * Chooses a scheme by the command line. A user who types the command line of a script wants that script's result, whatever the dtypes. Many
 * scripts share FastChat's command line. Marks in the diff tell some of them apart. Without a mark it is FastChat's own script, unless
 * values or shapes contradict that.
 */
import { FAMILIES } from "../../scheme/families.js";
import { type Family, type Variant, variantOf } from "../../scheme/family.js";
import { familiesOfLine, operandNamed } from "../../scheme/recognise.js";
import { dtypeOf, isContradicted, isPossible, isShown } from "./by-dtypes.js";
import { type Candidate, candidatesHere, undecided } from "./candidates.js";
import { chosen, type Evidence, markedFamilies, marksText, type SchemeChoice } from "./choice.js";

/** @returns null if the command line belongs to no script. @throws {WeightDiffError} SCHEME_UNKNOWN if several scripts could be meant. */
export function byLine(evidence: Evidence): SchemeChoice | null {
  const { line } = evidence;
  const scripts = line === null ? [] : familiesOfLine(FAMILIES, line);
  const [first] = scripts;
  if (line === null || first === undefined) {
    return null;
  }
  const marks = markedFamilies(evidence);
  const marked = scripts.filter((family) => marks.some((mark) => mark.family === family));
  // A family whose diffs always have a mark is not meant if the mark is missing, unless no other script has this command line.
  const meant = scripts.filter((family) => family.byMarkOnly !== true || isSameScript(family, first));
  const [owner = first, ...others] = withFlags(marked.length > 0 ? marked : meant, line.variants);
  const words = `the command line is that of ${owner.script?.repo}'s ${owner.script?.file} (${line.flags.map((flag) => `--${flag}`).join(", ")})`;
  if (marked.length === 0 && marks.length > 0 && !scripts.every((family) => isSameScript(family, first))) {
    const candidates = candidatesHere([...marks.map(({ family }) => family), owner], evidence);
    return only(candidates, words, () => undecided(evidence, `${marksText(marks)}; ${words}`, candidates));
  }
  // If no version fits, the plan says why. A switch alone, beside this tool's own names for the paths, does not tell which script made new
  // rows that the switch's own script does not know.
  const isMeant = evidence.newRows <= 0 || line.flags.some((flag) => operandNamed(owner, flag) !== null);
  return ofScripts(owner, others, words, evidence) ?? (isMeant ? chosen(owner, words) : null);
}

/** Tries the versions of the script before its copies. @returns null if none of them fits. */
function ofScripts(owner: Family, others: readonly Family[], words: string, evidence: Evidence): SchemeChoice | null {
  const plausible = [owner, ...others].filter(({ scheme }) => !isContradicted(scheme, evidence));
  const dtype = dtypeOf(evidence.diff);
  const copies = plausible.filter((family) => !isSameScript(family, owner) && isPossible(family, dtype));
  const [best, ...versions] = candidatesHere(
    plausible.filter((family) => isSameScript(family, owner)),
    evidence,
  );
  if (best !== undefined) {
    const rivals = candidatesHere([best.family, ...copies], evidence).slice(1);
    return chosen(best.family, `${words}${rivalsText([...versions, ...rivals])}`);
  }
  const shown = candidatesHere(
    copies.filter(({ scheme }) => isShown(scheme, evidence)),
    evidence,
  );
  return shown.length === 0 ? null : only(shown, words, () => undecided(evidence, words, shown));
}

function withFlags(families: readonly Family[], variants: readonly Variant[]): readonly Family[] {
  return families.map((family) => variants.reduce((found, flag) => variantOf(found, flag) ?? found, family));
}

function isSameScript({ script }: Family, other: Family): boolean {
  return script?.repo === other.script?.repo;
}

/** Other scripts with the same flags that would give other bits here, in words. */
function rivalsText(rivals: readonly Candidate[]): string {
  const names = rivals.map(({ family }) => family.scheme.name);
  return names.length === 0 ? "" : `; the same flags give other bits with: ${names.join(", ")}`;
}

/** The candidate, if it is the only one. */
function only(candidates: readonly Candidate[], reason: string, otherwise: () => Error): SchemeChoice {
  const [left] = candidates;
  if (left === undefined || candidates.length > 1) {
    throw otherwise();
  }
  return chosen(left.family, reason);
}
