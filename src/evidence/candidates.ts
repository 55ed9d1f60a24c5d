/**
 * What a diff would become under each of several schemes: schemes that give the same bits for this very pair are one candidate,
 * and what sets one candidate apart from another is said in words. Told by the rules of pairing, no bytes are read.
 */
import type { Checkpoint } from "../checkpoint/checkpoint.js";
import { WeightDiffError } from "../errors.js";
import { type Dtype, isFloatDtype, torchName } from "../formats/dtype.js";
import { INV_FREQ, type Pair } from "../plan/pair.js";
import { recoverPairing } from "../plan/pair-rules.js";
import { pairTensors } from "../plan/pairing.js";
import type { Scheme } from "../scheme/axes.js";
import { schemeNamed } from "../scheme/scheme.js";

/** Schemes that give the same bits, in the order they came. */
export interface Candidate {
  readonly scheme: Scheme;
  readonly others: readonly Scheme[];
  /** Of the float tensors written, as torch spells them; none where there is no base to tell. */
  readonly saved: readonly string[];
}

/** tie_word_embeddings of each side's config: null where it does not say. */
export interface Ties {
  readonly rawTied: boolean | null;
  readonly diffTied: boolean | null;
}

/** Of no weight for what fits. */
const UNSAID = { dtype: null, rows: null, ropeTheta: 10_000 };

/** Those of the schemes by which this diff fits this base. Without a base, each scheme is a candidate of its own. */
export function candidatesHere(
  schemes: readonly Scheme[],
  raw: Checkpoint | null,
  diff: Checkpoint,
  ties: Ties,
): readonly Candidate[] {
  if (raw === null) {
    return schemes.map((scheme) => ({ scheme, others: [], saved: [] }));
  }
  const found = new Map<string, Candidate>();
  for (const scheme of schemes) {
    const pairs = pairsHere(scheme, raw, diff, ties);
    if (pairs === null) {
      continue;
    }
    // All that decides the bits, as text.
    const bits = JSON.stringify(pairs.map(axesOf).sort((a, b) => (String(a[0]) < String(b[0]) ? -1 : 1)));
    const known = found.get(bits);
    found.set(
      bits,
      known === undefined
        ? { scheme, others: [], saved: savedDtypes(pairs) }
        : { ...known, others: [...known.others, scheme] },
    );
  }
  return [...found.values()];
}

/**
 * Every tensor must have its counterpart, but those that are the model's own: else the two do not belong together, and a scheme that
 * drops or leaves alone what does not fit would only hide it. @throws {WeightDiffError} MISMATCH, as planRecover.
 */
export function refuseUnpaired(raw: Checkpoint, diff: Checkpoint, ties: Ties, own: readonly string[]): void {
  const scheme: Scheme = { ...schemeNamed("open-instruct"), newRows: "zero", verbatim: own };
  pairTensors(raw, diff, recoverPairing(diff, { scheme, ...UNSAID, ...ties }));
}

/** @returns null if the two do not fit under the scheme. */
function pairsHere(scheme: Scheme, raw: Checkpoint, diff: Checkpoint, ties: Ties): readonly Pair[] | null {
  try {
    return pairTensors(raw, diff, recoverPairing(diff, { scheme, ...UNSAID, ...ties })).pairs;
  } catch (error) {
    if (error instanceof WeightDiffError && error.code === "MISMATCH") {
      return null;
    }
    throw error;
  }
}

/** Whose tensor is added into is left out: it tells only where both are NaN. */
function axesOf({ name, rule, dtype, blend, driver, raw }: Pair): readonly unknown[] {
  const stored = raw?.kind === "stored" ? raw.tensor : null;
  const grown = stored !== null && stored.shape.join() !== driver.shape.join();
  const plain = { operation: "add", operands: "F32", result: "F32", rows: "mean" } as const;
  const sum = blend ?? (rule === "add" ? plain : null);
  return [
    name,
    dtype,
    sum === null ? rule : [sum.operation, sum.operands, sum.result, grown ? sum.rows : ""],
    stored?.name ?? raw?.kind ?? null,
  ];
}

function savedDtypes(pairs: readonly Pair[]): readonly string[] {
  const dtypes = pairs.flatMap(({ name, dtype }) => (isFloatDtype(dtype) && !INV_FREQ.test(name) ? [dtype] : []));
  return [...new Set(dtypes)].map(spelled);
}

const spelled = (dtype: Dtype): string => torchName(dtype) ?? dtype;

const ROWS: Readonly<Record<Scheme["newRows"], string | null>> = {
  mean: "new rows get the mean of the base's",
  zero: "new rows are the diff's own",
  verbatim: "new rows are the diff's own",
  overlap: "new rows are the diff's own",
  refuse: null,
};

/** One line for a hint. @param grown whether rows are new here. */
export function candidateText({ scheme, others, saved }: Candidate, grown: boolean): string {
  const { name, who, arithmetic, output, newRows, verbatim, summed } = scheme;
  const stored = arithmetic === "stored";
  const kept = verbatim.filter((pattern) => !pattern.includes("inv_freq"));
  const meaning = [
    `adds in ${stored ? "the files' own dtypes" : spelled(arithmetic)}`,
    ...((stored || arithmetic !== output) && saved.length > 0 ? [`saves ${saved.join(" and ")}`] : []),
    ...(grown && ROWS[newRows] !== null ? [ROWS[newRows]] : []),
    ...(kept.length > 0 ? [`${kept.join(", ")} as in the diff`] : []),
    ...(summed === null ? [] : [`all but ${summed.join(", ")} as in the diff`]),
  ].join(", ");
  const same = others.length === 0 ? "" : `; the same bits here: ${others.map((other) => other.name).join(", ")}`;
  return `--scheme ${name}  (${who}: ${meaning}${same})`;
}
