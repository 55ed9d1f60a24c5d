/**
 * The scheme "auto": chooses the family of a diff by evidence, in this order: the mark that make-diff leaves; the name of the repository,
 * or the name that the config remembers; the command line, if it is a script's (by-line.ts); files, tokens and tensors that only one family
 * has; values. Dtypes and shapes alone choose only open-instruct (by-dtypes.ts). No scheme is chosen because it would drop what does not
 * fit, or leave it unchanged.
 */
import { printable } from "../../formats/quote.js";
import { repoName } from "../../known/sums.js";
import { encodingOf } from "../../plan/exact.js";
import { ALL_FAMILIES, familyNamed } from "../../scheme/families.js";
import { familyOfRepo } from "../../scheme/recognise.js";
import { byDtypes } from "./by-dtypes.js";
import { byLine } from "./by-line.js";
import { candidatesHere, undecided } from "./candidates.js";
import { chosen, type Evidence, markedFamilies, marksText, type SchemeChoice } from "./choice.js";

/**
 * Decides the scheme.
 * @throws {WeightDiffError} SCHEME_UNKNOWN, with the candidates and what each does; MISMATCH if the two do not fit under any scheme;
 * FORMAT_INVALID for a mark that is not understood.
 */
export function chooseScheme(evidence: Evidence): SchemeChoice {
  return byMark(evidence) ?? byRepo(evidence) ?? byLine(evidence) ?? byMarks(evidence) ?? byDtypes(evidence);
}

function byMark({ diff }: Evidence): SchemeChoice | null {
  const encoding = encodingOf(diff);
  return encoding === null
    ? null
    : chosen(
        familyNamed(encoding === "additive" ? "open-instruct" : "exact"),
        `its files are marked as a diff by make-diff, encoding ${encoding}`,
      );
}

function byRepo({ diff, config }: Evidence): SchemeChoice | null {
  const own = repoName(diff);
  const remembered =
    (config?.nameOrPath ?? "")
      .split(/[\\/]/)
      .filter((part) => part !== "")
      .at(-1) ?? "";
  for (const [name, words] of [
    [own, `the diff is ${printable(own)}`],
    [remembered, `its config.json was written as ${printable(remembered)}`],
  ] as const) {
    const family = familyOfRepo(ALL_FAMILIES, name);
    if (family !== undefined) {
      return chosen(family, words);
    }
  }
  return null;
}

function byMarks(evidence: Evidence): SchemeChoice | null {
  const marks = markedFamilies(evidence);
  const [first] = marks;
  if (first === undefined || marks.length === 1) {
    return first === undefined ? null : chosen(first.family, first.reason);
  }
  const candidates = candidatesHere(
    marks.map(({ family }) => family),
    evidence,
  );
  const left = candidates.length === 1 ? marks.find(({ family }) => family === candidates[0]?.family) : undefined;
  if (left === undefined) {
    throw undecided(evidence, marksText(marks), candidates);
  }
  return chosen(left.family, left.reason);
}
