/**
 * What a diff would become under each of several schemes. Schemes that give the same bits for this pair are one candidate. The rules of
 * pairing tell all that, without reading a tensor.
 */
import { WeightDiffError } from "../../errors.js";
import { dtypeName, isFloatDtype } from "../../formats/dtype.js";
import { ROPE_THETA } from "../../kernel/inv-freq.js";
import { INV_FREQ, type Pair } from "../../plan/pair.js";
import { recoverPairing } from "../../plan/pair-rules.js";
import { pairTensors } from "../../plan/pairing.js";
import type { Scheme } from "../../scheme/axes.js";
import { schemeNamed } from "../../scheme/families.js";
import type { Family } from "../../scheme/family.js";
import type { Evidence } from "./choice.js";

/** Schemes that give the same bits, in the given order. */
export interface Candidate {
  readonly family: Family;
  readonly others: readonly Family[];
  /** The dtypes of the written float tensors, as torch spells them; empty without a base. */
  readonly saved: readonly string[];
}

/** The pair. */
type Here = Pick<Evidence, "raw" | "diff" | "said">;

/** The families under whose scheme this diff fits this base. Without a base, each family is a candidate of its own. */
export function candidatesHere(families: readonly Family[], here: Here): readonly Candidate[] {
  if (here.raw === null) {
    return families.map((family) => ({ family, others: [], saved: [] }));
  }
  const found = new Map<string, Candidate>();
  for (const family of families) {
    const pairs = pairsHere(family.scheme, here);
    if (pairs === null) {
      continue;
    }
    // Everything that decides the bits, as text.
    const bits = JSON.stringify(pairs.map(axesOf).sort((a, b) => (String(a[0]) < String(b[0]) ? -1 : 1)));
    const known = found.get(bits);
    found.set(
      bits,
      known === undefined
        ? { family, others: [], saved: savedDtypes(pairs) }
        : { ...known, others: [...known.others, family] },
    );
  }
  return [...found.values()];
}

/**
 * Refuses a pair in which a tensor has no counterpart, except the model's own tensors. Base and diff do not belong together then, and a
 * scheme that drops or keeps such tensors would only hide it.
 * @throws {WeightDiffError} MISMATCH, as planRecover.
 */
export function refuseUnpaired(here: Here, own: readonly string[]): void {
  pair({ ...schemeNamed("open-instruct"), newRows: "zero", verbatim: own }, here);
}

/** @returns null if the pair does not fit under the scheme. */
function pairsHere(scheme: Scheme, here: Here): readonly Pair[] | null {
  try {
    return pair(scheme, here);
  } catch (error) {
    if (error instanceof WeightDiffError && error.code === "MISMATCH") {
      return null;
    }
    throw error;
  }
}

function pair(scheme: Scheme, { raw, diff, said }: Here): readonly Pair[] {
  // No other option decides whether the pair fits.
  const options = { scheme, dtype: null, rows: null, ropeTheta: ROPE_THETA, ...said };
  return raw === null ? [] : pairTensors(raw, diff, recoverPairing(diff, options)).pairs;
}

/** What decides the bits of one pair of tensors. The side that is added into is left out, since it matters only if both values are NaN. */
function axesOf({ name, rule, dtype, blend, driver, raw, again = [] }: Pair): readonly unknown[] {
  const stored = raw?.kind === "stored" ? raw.tensor : null;
  const grown = stored !== null && stored.shape.join() !== driver.shape.join();
  const plain = { operation: "add", operands: "F32", result: "F32", rows: "mean" } as const;
  const sum = blend ?? (rule === "add" ? plain : null);
  return [
    name,
    dtype,
    sum === null ? rule : [sum.operation, sum.operands, sum.result, grown ? sum.rows : ""],
    stored?.name ?? raw?.kind ?? null,
    again.map(({ tensor }) => tensor.name),
  ];
}

function savedDtypes(pairs: readonly Pair[]): readonly string[] {
  const dtypes = pairs.flatMap(({ name, dtype }) => (isFloatDtype(dtype) && !INV_FREQ.test(name) ? [dtype] : []));
  return [...new Set(dtypes)].map(dtypeName);
}

const ROWS: Readonly<Record<Scheme["newRows"], string | null>> = {
  mean: "new rows get the mean of the base's",
  zero: "new rows are the diff's own",
  verbatim: "new rows are the diff's own",
  overlap: "new rows are the diff's own",
  refuse: null,
};

/**
 * The error if no scheme can be chosen.
 * @param dtype the diff's dtype as torch spells it, if the candidates are sorted by it; else null.
 */
export function undecided(
  { diff, newRows }: Pick<Evidence, "diff" | "newRows">,
  reason: string,
  candidates: readonly Candidate[],
  dtype: string | null = null,
): WeightDiffError {
  const ranked = dtype !== null && new Set(candidates.map(({ family }) => family.scheme.arithmetic)).size > 1;
  const order = ranked ? `, likeliest first (a script that publishes ${dtype} mostly adds in ${dtype})` : "";
  const among = candidates.map((candidate) => ({
    value: candidate.family.scheme.name,
    means: candidateText(candidate, newRows > 0),
  }));
  return new WeightDiffError("SCHEME_UNKNOWN", reason, undefined, {
    at: { file: diff.path },
    advice: [{ to: `say which script made it${order}`, option: "scheme", among }],
  });
}

/** What a candidate does, in one line. @param grown does the diff have new rows? */
function candidateText({ family, others, saved }: Candidate, grown: boolean): string {
  const { who, scheme } = family;
  const { arithmetic, output, newRows, verbatim, summed } = scheme;
  const stored = arithmetic === "stored";
  const kept = verbatim.filter((pattern) => !pattern.includes("inv_freq"));
  const meaning = [
    `adds in ${stored ? "the files' own dtypes" : dtypeName(arithmetic)}`,
    ...((stored || arithmetic !== output) && saved.length > 0 ? [`saves ${saved.join(" and ")}`] : []),
    ...(grown && ROWS[newRows] !== null ? [ROWS[newRows]] : []),
    ...(kept.length > 0 ? [`${kept.join(", ")} as in the diff`] : []),
    ...(summed === null ? [] : [`all but ${summed.join(", ")} as in the diff`]),
  ].join(", ");
  const same =
    others.length === 0 ? "" : `; the same bits here: ${others.map((other) => other.scheme.name).join(", ")}`;
  return `${who}: ${meaning}${same}`;
}
