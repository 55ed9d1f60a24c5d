/**
 * --scheme auto: which family a diff is of, by evidence, in this order: the mark that make-diff leaves; the name of its
 * repository, or the one its config remembers; files and tensors that only one family has; what values tell. Dtypes and shapes
 * alone choose only where DESIGN 5 says so: where what is left would give different bits for this very pair, nothing is chosen.
 */

import type { Checkpoint, StoredTensor } from "../checkpoint/checkpoint.js";
import type { ModelConfig } from "../checkpoint/config.js";
import { WeightDiffError } from "../errors.js";
import { type Dtype, isFloatDtype, torchName } from "../formats/dtype.js";
import { printable, quote } from "../formats/quote.js";
import { repoName } from "../known/sums.js";
import { encodingOf } from "../plan/exact.js";
import { INV_FREQ } from "../plan/pair.js";
import { INPUT_EMBEDDING } from "../plan/pairing.js";
import { isSummed, matchesName, type Scheme } from "../scheme/axes.js";
import { ALL_SCHEMES, SCHEMES, schemeNamed } from "../scheme/scheme.js";
import { type Candidate, candidatesHere, candidateText, refuseUnpaired, type Ties } from "./candidates.js";
import { mayBeOwn, type OwnTensor } from "./own-tensors.js";

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
  readonly ties: Ties;
  /** How many vocabulary rows the diff has and raw lacks, at most over all embeddings. */
  readonly newRows: number;
}

/**
 * Decides the scheme. @throws {WeightDiffError} SCHEME_UNKNOWN with the candidates and what each does; FORMAT_INVALID for a mark
 * that is not understood.
 */
export function chooseScheme(evidence: Evidence): Choice {
  return byMark(evidence) ?? byRepo(evidence) ?? byMarks(evidence) ?? byDoubled(evidence) ?? byDtypes(evidence);
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
  const candidates = candidatesHere(
    found.map(({ scheme }) => scheme),
    evidence.raw,
    evidence.diff,
    evidence.ties,
  );
  const [left] = candidates;
  if (left !== undefined && candidates.length === 1) {
    return { scheme: left.scheme, reason: found.find(({ scheme }) => scheme === left.scheme)?.reason ?? first.reason };
  }
  throw undecided(
    evidence,
    `${found.map(({ scheme, reason }) => `${reason}, as ${scheme.name} has it`).join("; ")}`,
    candidates,
  );
}

/** What marks the diff as the scheme's, in words; null if nothing does. */
function markOf({ marks, prefix }: Scheme, { files, tokens, diff, raw }: Evidence): string | null {
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
    marks?.tensors?.some((pattern) => matchesName(pattern, name) && isOnlyOfDiff(pattern, raw)),
  );
  return tensor === undefined || !isPrefixed(prefix, raw, diff) ? null : `it has a tensor ${quote(tensor)}`;
}

/** What the base has as well, it has from its own architecture: no script of a diff put it there. */
function isOnlyOfDiff(pattern: string, raw: Checkpoint | null): boolean {
  return raw === null || ![...raw.stateDict.keys()].some((name) => matchesName(pattern, name));
}

/** Has the diff names of the base with the scheme's prefix before them, if the scheme has one? */
function isPrefixed(prefix: Scheme["prefix"], raw: Checkpoint | null, diff: Checkpoint): boolean {
  return (
    prefix === null || raw === null || [...raw.stateDict.keys()].some((name) => diff.stateDict.has(prefix.text + name))
  );
}

/** Between these, times the base's, lies the sum of a tuned embedding and the base's. */
const DOUBLED = { least: 1.6, most: 2.4 } as const;

/** BiLLa's mark: a full model, tuned from the base, but for the input embedding, which has the base's added to it. */
function byDoubled({ own }: Evidence): Choice | null {
  const embedding = own.find(({ name }) => INPUT_EMBEDDING.test(name));
  const others = own.filter((tensor) => tensor !== embedding);
  const isDoubled =
    embedding !== undefined &&
    embedding.kind === "own" &&
    embedding.scale >= DOUBLED.least &&
    embedding.scale <= DOUBLED.most &&
    others.length > 0 &&
    others.every(({ kind, scale }) => kind === "own" && scale < DOUBLED.least);
  return isDoubled
    ? {
        scheme: schemeNamed("billa"),
        reason: `its ${quote(embedding.name)} is ${embedding.scale.toFixed(2)} times the base's, its ${named(others)} the model's own: a full model whose embedding has the base's added to it`,
      }
    : null;
}

/** "x" is, "x", "y" are. */
function named(tensors: readonly OwnTensor[]): string {
  return `${tensors.map(({ name }) => quote(name)).join(", ")} ${tensors.length === 1 ? "is" : "are"}`;
}

/**
 * All float32 and at most one new row is open-instruct. Else dtypes and shapes choose nothing: a script may load a diff in another
 * dtype than it was saved in, and that a scheme fits because it leaves a tensor alone is no evidence for it. Values choose, where
 * they show which tensors are the model's own and one result is left.
 * @throws {WeightDiffError} MISMATCH where the two do not fit, whatever the scheme; SCHEME_UNKNOWN.
 */
function byDtypes(evidence: Evidence): Choice {
  const { diff, raw, ties, newRows } = evidence;
  const weights = [...diff.stateDict].filter(([name, { dtype }]) => isFloatDtype(dtype) && !INV_FREQ.test(name));
  const foreign = weights.find(([, tensor]) => tensor.dtype !== "F32")?.[1];
  const usual = schemeNamed("open-instruct");
  if (foreign === undefined && newRows <= 1 && !isContradicted(usual, evidence)) {
    return {
      scheme: usual,
      reason: `every float tensor of the diff is F32 and ${newRows <= 0 ? "no vocabulary row is" : "one vocabulary row is"} new`,
    };
  }
  const [first, ...more] = new Set(weights.map(([, { dtype }]) => dtype));
  const dtype = first === undefined || more.length > 0 ? null : first;
  const flagged = ALL_SCHEMES.filter((scheme) => !SCHEMES.includes(scheme));
  const possible = [...SCHEMES, ...flagged]
    .filter((scheme) => isPossible(scheme, dtype))
    .sort((a, b) => unlikeliness(a, dtype) - unlikeliness(b, dtype));
  const plausible = possible.filter((scheme) => !isContradicted(scheme, evidence));
  const own = evidence.own.filter(({ kind }) => kind === "own");
  if (raw !== null) {
    refuseUnpaired(
      raw,
      diff,
      ties,
      own.map(({ name }) => name),
    );
  }
  const here = candidatesHere(plausible, raw, diff, ties);
  const [left] = here;
  if (left !== undefined && here.length === 1 && isShown(left.scheme, evidence)) {
    const others = left.others.map(({ name }) => name);
    const seen = `, and its ${named(own)} the model's own`;
    return {
      scheme: left.scheme,
      reason: `the diff is ${dtype ?? "of several dtypes"}${newRows > 0 ? ` and has ${newRows} new vocabulary ${newRows === 1 ? "row" : "rows"}` : ""}${seen}, as ${left.scheme.name} makes them${others.length === 0 ? "" : ` (${others.join(", ")} would give the same bits here)`}`,
    };
  }
  throw undecided(
    evidence,
    why(foreign, evidence),
    here.length > 0 ? here : candidatesHere(possible, null, diff, ties),
    dtype === null ? null : (torchName(dtype) ?? dtype),
  );
}

/** Could its script have been meant for a diff of this dtype? None is, that would drop half the bits of a float32 diff. */
function isPossible({ operation, byNameOnly, arithmetic, output }: Scheme, dtype: Dtype | null): boolean {
  const own = arithmetic === "stored" ? output : arithmetic;
  const fits =
    arithmetic === "stored" ? own === "stored" || dtype === null || own === dtype : dtype !== "F32" || own === "F32";
  return operation === "add" && byNameOnly !== true && fits;
}

/** A script publishes in the dtype that it computes in; else the files' own dtypes are likelier than a wider one, and that than another. */
function unlikeliness({ arithmetic }: Scheme, dtype: Dtype | null): number {
  return dtype === null || arithmetic === dtype ? 0 : ["stored", "F32"].indexOf(arithmetic) + 1 || 3;
}

/** Do values show that what the scheme leaves alone is the model's own, all of it and at least one tensor? */
function isShown(scheme: Scheme, { diff, raw, own }: Evidence): boolean {
  const alone = [...diff.stateDict.keys()].filter(
    (name) => mayBeOwn(name) && raw?.stateDict.has(name) === true && !isSummed(scheme, name),
  );
  return alone.length > 0 && alone.every((name) => own.some((tensor) => tensor.name === name && tensor.kind === "own"));
}

/** Does the scheme add what is the model's own, or leave alone what is a difference? */
function isContradicted(scheme: Scheme, { own }: Evidence): boolean {
  return own.some(({ name, kind }) => isSummed(scheme, name) !== (kind === "difference"));
}

function why(foreign: StoredTensor | undefined, { own, newRows }: Evidence): string {
  if (foreign !== undefined) {
    return `tensor ${quote(foreign.name)} in ${foreign.shard.file} is ${foreign.dtype}: a diff that is not all F32 can be of several schemes, which give different bits`;
  }
  return newRows > 1
    ? `has ${newRows} vocabulary rows more than the base: some scripts add the base's mean row to them, others take them as they are`
    : `its ${named(own.filter(({ kind }) => kind === "own"))} the model's own: several scripts leave embeddings alone, and give different bits`;
}

/** @param dtype of the diff, where the candidates come in the order of what it makes likely. */
function undecided(
  { diff, newRows }: Evidence,
  reason: string,
  candidates: readonly Candidate[],
  dtype: string | null = null,
): WeightDiffError {
  const ranked = dtype !== null && new Set(candidates.map(({ scheme }) => scheme.arithmetic)).size > 1;
  const order = ranked ? `, likeliest first (a script that publishes ${dtype} mostly adds in ${dtype})` : "";
  const lines = candidates.map((candidate) => candidateText(candidate, newRows > 0));
  return new WeightDiffError(
    "SCHEME_UNKNOWN",
    `${reason}`,
    `say which script made it${order}:\n  ${lines.join("\n  ")}`,
    { at: { file: diff.path } },
  );
}
