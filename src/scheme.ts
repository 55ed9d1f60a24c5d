/**
 * The table of schemes: what each family's script does with the tensors, as data (DESIGN 5, FIELD 1). An axis has exactly
 * the values that some row uses; a new family is a new row, and at most a new value.
 */

import type { Checkpoint } from "./checkpoint/checkpoint.js";
import { WeightDiffError } from "./errors.js";
import { encodingOf } from "./exact.js";
import { isFloatDtype } from "./formats/dtype.js";
import { quote } from "./formats/quote.js";
import { repoName } from "./known-sums.js";

/** What the user may say of vocabulary rows that only the diff has. "mean": raw's rows averaged, plus the diff's row. */
export type NewRows = "mean" | "refuse";

export interface Scheme {
  readonly name: string;
  readonly summary: string;
  /** The script whose result is reproduced. */
  readonly script: string;
  /** "add-bits": bit patterns, modulo 2^n. */
  readonly operation: "add" | "add-bits";
  /** Whose names decide what is recovered. */
  readonly driver: "diff";
  readonly arithmetic: "F32" | "stored";
  /** "verbatim": the diff's rows are the model's. */
  readonly newRows: "mean" | "verbatim";
  /** Where config and side files come from. */
  readonly sideFiles: "diff";
  /** Last parts of the names of repositories that are known to be of this family. */
  readonly repos: readonly string[];
}

const WEIGHT_DIFF = {
  operation: "add",
  driver: "diff",
  arithmetic: "F32",
  newRows: "mean",
  sideFiles: "diff",
} as const;

export const SCHEMES: readonly Scheme[] = [
  {
    name: "open-instruct",
    summary: "Tulu and Open-Instruct: float32, new vocabulary rows get the mean of the base's rows",
    script: "allenai/open-instruct scripts/weights/weight_diff.py, recover",
    ...WEIGHT_DIFF,
    repos: [],
  },
  {
    name: "alpaca",
    summary: "Stanford Alpaca: as open-instruct, with a published sum",
    script: "tatsu-lab/stanford_alpaca weight_diff.py, recover",
    ...WEIGHT_DIFF,
    repos: ["alpaca-7b", "alpaca-7b-wdiff"],
  },
  {
    name: "exact",
    summary: "weight-diff make-diff --encoding exact: bit patterns, whatever the dtype",
    script: "this tool",
    operation: "add-bits",
    driver: "diff",
    arithmetic: "stored",
    newRows: "verbatim",
    sideFiles: "diff",
    repos: [],
  },
];

export interface Choice {
  readonly scheme: Scheme;
  /** Why, in words for the user. */
  readonly reason: string;
}

/** The scheme called `name`. @throws {WeightDiffError} USAGE. */
export function schemeNamed(name: string): Scheme {
  const scheme = SCHEMES.find((row) => row.name === name);
  if (scheme === undefined) {
    throw new WeightDiffError(
      "USAGE",
      `unknown scheme "${name}"`,
      `known schemes: auto, ${SCHEMES.map((row) => row.name).join(", ")}`,
    );
  }
  return scheme;
}

/**
 * Decides the scheme: by the mark that make-diff leaves in the files; else by what is known of the diff's repository; else
 * open-instruct, but only where no family could give other bits: every float tensor is F32 and at most one row is new (DESIGN 5).
 * @param newRows how many vocabulary rows the diff has and raw lacks, at most over all embeddings.
 * @throws {WeightDiffError} SCHEME_UNKNOWN with the candidates; FORMAT_INVALID for a mark that is not understood.
 */
export function chooseScheme(diff: Checkpoint, newRows: number): Choice {
  const encoding = encodingOf(diff);
  if (encoding !== null) {
    return {
      scheme: schemeNamed(encoding === "exact" ? "exact" : "open-instruct"),
      reason: `its files are marked as a diff by weight-diff make-diff, encoding ${encoding}`,
    };
  }
  const repo = repoName(diff);
  const known = SCHEMES.find((row) => row.repos.includes(repo));
  if (known !== undefined) {
    return { scheme: known, reason: `the diff is ${repo}` };
  }
  const candidates = SCHEMES.filter(({ operation }) => operation === "add")
    .map((row) => `--scheme ${row.name}  (${row.summary})`)
    .join("\n  ");
  const foreign = [...diff.stateDict.values()].find((tensor) => isFloatDtype(tensor.dtype) && tensor.dtype !== "F32");
  if (foreign !== undefined) {
    throw new WeightDiffError(
      "SCHEME_UNKNOWN",
      `${diff.path}: tensor ${quote(foreign.name)} in ${foreign.shard.file} is ${foreign.dtype}: a diff that is not all F32 can be of several schemes, which give different bits`,
      `say which script made it:\n  ${candidates}`,
    );
  }
  if (newRows > 1) {
    throw new WeightDiffError(
      "SCHEME_UNKNOWN",
      `${diff.path}: has ${newRows} vocabulary rows more than the base: some scripts add the base's mean row to them, others take them as they are`,
      `say which script made it:\n  ${candidates}`,
    );
  }
  return {
    scheme: schemeNamed("open-instruct"),
    reason: `every float tensor of the diff is F32 and ${newRows === 0 ? "no vocabulary row is" : "one vocabulary row is"} new`,
  };
}
