/**
 * --scheme auto: which family a diff is of, by evidence, in this order: the mark that make-diff leaves; the name of its
 * repository, or the one its config remembers; files and tensors that only one family has; dtypes and shapes. Where what is
 * left would give different bits for this very pair, nothing is chosen (DESIGN 5).
 */
import type { Checkpoint, StoredTensor } from "./checkpoint/checkpoint.js";
import type { ModelConfig } from "./checkpoint/config.js";
import { WeightDiffError } from "./errors.js";
import { encodingOf } from "./exact.js";
import { type Dtype, isFloatDtype } from "./formats/dtype.js";
import { printable, quote } from "./formats/quote.js";
import { repoName } from "./known-sums.js";
import type { OwnTensor } from "./own-tensors.js";
import { INV_FREQ, type Pair } from "./pair.js";
import { recoverPairing } from "./pair-rules.js";
import { pairTensors } from "./pairing.js";
import { ALL_SCHEMES, SCHEMES, schemeNamed } from "./scheme.js";
import { isSummed, matchesName, type Scheme } from "./scheme-axes.js";

export interface Choice {
  readonly scheme: Scheme;
  /** Why, in words for the user. */
  readonly reason: string;
}

export interface Evidence {
  readonly diff: Checkpoint;
  /** Of the diff; null without one. */
  readonly config: Pick<ModelConfig, "nameOrPath"> | null;
  /** Bare names of what lies beside the diff. */
  readonly files: readonly string[];
  /** What its added_tokens.json adds. */
  readonly tokens: readonly string[];
  /** Which of its tensors were seen to be the model's own, or differences. */
  readonly own: readonly OwnTensor[];
  /** The base; null where the diff is looked at by itself. */
  readonly raw: Checkpoint | null;
  /** How many vocabulary rows the diff has and raw lacks, at most over all embeddings. */
  readonly newRows: number;
}

/**
 * Decides the scheme. @throws {WeightDiffError} SCHEME_UNKNOWN with the candidates and what each does; FORMAT_INVALID for a mark
 * that is not understood.
 */
export function chooseScheme(evidence: Evidence): Choice {
  return byMark(evidence) ?? byRepo(evidence) ?? byMarks(evidence) ?? byDtypes(evidence);
}

function byMark({ diff }: Evidence): Choice | null {
  const encoding = encodingOf(diff);
  return encoding === null
    ? null
    : {
        scheme: schemeNamed(encoding === "exact" ? "exact" : "open-instruct"),
        reason: `its files are marked as a diff by weight-diff make-diff, encoding ${encoding}`,
      };
}

function byRepo({ diff, config }: Evidence): Choice | null {
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
    const scheme = ALL_SCHEMES.find(({ repos }) => repos.some((repo) => isRepo(repo, name)));
    if (scheme !== undefined) {
      return { scheme, reason: words };
    }
  }
  return null;
}

/** A pattern without `*` is the whole name. */
function isRepo(pattern: string, name: string): boolean {
  const lower = name.toLowerCase();
  return pattern.includes("*") ? matchesName(pattern, lower) : pattern === lower;
}

function byMarks(evidence: Evidence): Choice | null {
  const found = SCHEMES.flatMap((scheme) => {
    const mark = markOf(scheme, evidence);
    return mark === null ? [] : [{ scheme, reason: mark }];
  });
  const [first] = found;
  if (first === undefined || found.length === 1) {
    return first ?? null;
  }
  const { same, candidates } = compareHere(
    found.map(({ scheme }) => scheme),
    evidence,
  );
  const [left] = candidates;
  if (same && left !== undefined) {
    return { scheme: left, reason: found.find(({ scheme }) => scheme === left)?.reason ?? first.reason };
  }
  throw undecided(
    evidence,
    `${found.map(({ scheme, reason }) => `${reason}, as ${scheme.name} has it`).join("; ")}`,
    candidates,
  );
}

/** What marks the diff as the scheme's, in words; null if nothing does. */
function markOf({ marks }: Scheme, { files, tokens, diff }: Evidence): string | null {
  const file = marks?.files?.find((name) => files.includes(name));
  if (file !== undefined) {
    return `${file} lies beside it`;
  }
  const shard = diff.shards.find(({ header }) => header.format === marks?.format);
  if (shard !== undefined) {
    return `its weights are in the format ${shard.header.format}`;
  }
  const token = tokens.find((name) => marks?.tokens?.includes(name) === true);
  if (token !== undefined) {
    return `its tokenizer has the token ${quote(token)}`;
  }
  const tensor = [...diff.stateDict.keys()].find((name) =>
    marks?.tensors?.some((pattern) => matchesName(pattern, name)),
  );
  return tensor === undefined ? null : `it has a tensor ${quote(tensor)}`;
}

function byDtypes(evidence: Evidence): Choice {
  const { diff, newRows } = evidence;
  const weights = [...diff.stateDict].filter(([name, { dtype }]) => isFloatDtype(dtype) && !INV_FREQ.test(name));
  const [first] = weights;
  const dtype: Dtype = first?.[1].dtype ?? "F32";
  const foreign = weights.find(([, tensor]) => tensor.dtype !== "F32")?.[1];
  const usual = schemeNamed("open-instruct");
  if (foreign === undefined && newRows <= 1 && !isContradicted(usual, evidence)) {
    return {
      scheme: usual,
      reason: `every float tensor of the diff is F32 and ${newRows <= 0 ? "no vocabulary row is" : "one vocabulary row is"} new`,
    };
  }
  const uniform = weights.every(([, tensor]) => tensor.dtype === dtype);
  const plausible = SCHEMES.filter(
    ({ arithmetic, operation, byNameOnly }) =>
      operation === "add" && byNameOnly !== true && (!uniform || dtype === "F64" || arithmetic === dtype),
  );
  const { same, candidates } = compareHere(
    plausible.filter((scheme) => !isContradicted(scheme, evidence)),
    evidence,
  );
  const [left] = candidates;
  if (same && left !== undefined) {
    const others = candidates.slice(1).map(({ name }) => name);
    const named = evidence.own.filter(({ kind }) => kind === "own").map(({ name }) => quote(name));
    const seen =
      named.length === 0 ? "" : `, and its ${named.join(", ")} ${named.length === 1 ? "is" : "are"} the model's own`;
    return {
      scheme: left,
      reason: `the diff is ${dtype}${newRows > 0 ? ` and has ${newRows} new vocabulary ${newRows === 1 ? "row" : "rows"}` : ""}${seen}, as ${left.name} makes them${others.length === 0 ? "" : ` (${others.join(", ")} would give the same bits here)`}`,
    };
  }
  throw undecided(evidence, why(foreign, newRows), candidates.length > 0 ? candidates : plausible);
}

/** Does the scheme add what is the model's own, or leave alone what is a difference? */
function isContradicted(scheme: Scheme, { own }: Evidence): boolean {
  return own.some(({ name, kind }) => isSummed(scheme, name) !== (kind === "difference"));
}

function why(foreign: StoredTensor | undefined, newRows: number): string {
  return foreign === undefined
    ? `has ${newRows} vocabulary rows more than the base: some scripts add the base's mean row to them, others take them as they are`
    : `tensor ${quote(foreign.name)} in ${foreign.shard.file} is ${foreign.dtype}: a diff that is not all F32 can be of several schemes, which give different bits`;
}

function undecided({ diff }: Evidence, reason: string, candidates: readonly Scheme[]): WeightDiffError {
  const lines = candidates.map(({ name, who, summary }) => `--scheme ${name}  (${who}: ${summary})`);
  return new WeightDiffError(
    "SCHEME_UNKNOWN",
    `${diff.path}: ${reason}`,
    `say which script made it:\n  ${lines.join("\n  ")}`,
  );
}

/** Those of the schemes by which this diff fits this base, and whether they all give the same bits. */
function compareHere(
  schemes: readonly Scheme[],
  { raw, diff }: Evidence,
): { readonly same: boolean; readonly candidates: readonly Scheme[] } {
  if (raw === null) {
    return { same: schemes.length === 1, candidates: schemes };
  }
  const made = schemes.flatMap((scheme) => {
    const bits = bitsHere(scheme, raw, diff);
    return bits === null ? [] : [{ scheme, bits }];
  });
  return {
    same: new Set(made.map(({ bits }) => bits)).size === 1,
    candidates: made.map(({ scheme }) => scheme),
  };
}

/** All that decides the bits of this pair under the scheme, as text; null if the two do not fit under it. */
function bitsHere(scheme: Scheme, raw: Checkpoint, diff: Checkpoint): string | null {
  try {
    const options = { scheme, dtype: null, rows: null, ropeTheta: 10_000, rawTied: null, diffTied: null };
    const { pairs } = pairTensors(raw, diff, recoverPairing(diff, options));
    return JSON.stringify(pairs.map(axesOf).sort((a, b) => (String(a[0]) < String(b[0]) ? -1 : 1)));
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
