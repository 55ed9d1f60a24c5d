/**
 * The arithmetic of a diff as data: the axes along which the published scripts differ. An axis has exactly the values that some
 * script uses. plan/pair-rules.ts, plan/pairing.ts and engine/work/blend.ts carry each out; families/ says who
 * published by which scheme, and how that is recognised.
 */
import type { ComputeDtype } from "../engine/job/job.js";

/**
 * What becomes of vocabulary rows that only the diff has. "mean": the mean of raw's rows plus the diff's row. "zero": +0 plus the
 * diff's row, which turns -0 into +0. "overlap": raw is added to the top left block it covers, the rest is taken as it is. "refuse": there must be none.
 */
export const NEW_ROWS = ["mean", "zero", "overlap", "refuse"] as const;
export type NewRows = (typeof NEW_ROWS)[number];

/** How a script resizes the base's embeddings to a tokenizer's length (resize_token_embeddings of transformers), and what it then puts into the last rows. */
export interface Resize {
  /** Whose tokenizer it goes by. */
  readonly of: "raw" | "diff";
  /** What the script adds to it; of the diff's own tokenizer, what is added already. */
  readonly tokens: readonly string[];
  /** Only where it has no padding token. */
  readonly unlessPadded: boolean;
  /** The rows of these tokens are the new ones, also where the base has rows there; else only those that the base lacks are. */
  readonly overwrites: boolean;
}

export interface Scheme {
  /** As the option `scheme`, journals and manifests call it. */
  readonly name: string;
  /** "add": base + diff. "subtract": the sum of both is published, and the base is subtracted from it. "add-bits": bit patterns are added modulo 2^n. "xor": whole files are XORed, there are no tensors. */
  readonly operation: "add" | "subtract" | "add-bits" | "xor";
  /** The side whose names decide what is recovered, and in which order. */
  readonly driver: "diff" | "raw";
  /** The side whose tensor the script adds into; "new": a tensor of its own. Where the arithmetic is "stored", the sum has the dtype of that tensor, and a new one has the wider dtype of the two. */
  readonly into: "diff" | "raw" | "new";
  /** What the script loads: "models", whose embedding and head may be one matrix, or "files", as dictionaries of tensors. */
  readonly loading: "models" | "files";
  /** As `into`, for embeddings, where those differ. */
  readonly embeddingsInto?: "diff";
  /** The dtype that both operands are converted to and that the sum is rounded to, once. "stored": the dtypes of the files. */
  readonly arithmetic: ComputeDtype | "stored";
  /** The dtype that sums are rounded to, where it is not the one of the arithmetic. */
  readonly rounds?: ComputeDtype;
  /** The dtype in which the script saves float tensors; the user may ask for another. */
  readonly output: ComputeDtype | "stored";
  /** The rule for rows that only the diff has; "verbatim" for exact diffs, whose rows are bit patterns. */
  readonly newRows: NewRows | "verbatim";
  /** How the script first resizes the base's embeddings; left out where it does not. */
  readonly resize?: Resize;
  /** Which tensors may differ in shape. */
  readonly newRowsOf: "embeddings" | "any";
  /** Where the diff's tensor has another shape than raw's, the script takes it as it is, unless it has exactly so many rows more. */
  readonly elseVerbatim?: { readonly unlessNewRows: number };
  /** Patterns of the names whose tensors are taken from the diff as they are. */
  readonly verbatim: readonly string[];
  /** Patterns of the names that are added; all others are taken as they are. Null: every name is added. */
  readonly summed: readonly string[] | null;
  /** The diff's names are raw's with this text before them. "if-used": only where the diff's names have it. */
  readonly prefix: { readonly text: string; readonly when: "always" | "if-used" } | null;
  /** What becomes of tensors that only the diff has. With patterns: those that match are kept, any other is a mismatch. */
  readonly diffOnly: "refuse" | "keep" | "drop" | readonly string[];
  /** What becomes of tensors that only raw has. */
  readonly baseOnly: "refuse" | "copy";
  /** The file beside the diff that states the sum of the recovered model, and the script's own tolerances. */
  readonly sumFile?: { readonly file: string; readonly absolute: number; readonly relative: number };
  /** What the script gets wrong and this tool writes right, in words; null if there is no such thing. */
  readonly mends: string | null;
}

/** Does the pattern match? With `*`, which stands for anything, it must match the whole name; without, it may be anywhere in the name. */
export function matchesName(pattern: string, name: string): boolean {
  if (!pattern.includes("*")) {
    return name.includes(pattern);
  }
  // The pieces between the stars are sought one after the other, so that no pattern makes this slow.
  const pieces = pattern.split("*");
  const [head = "", tail = ""] = [pieces[0], pieces.at(-1)];
  if (!name.startsWith(head) || name.length < head.length + tail.length) {
    return false;
  }
  let at = head.length;
  for (const piece of pieces.slice(1, -1)) {
    const found = name.indexOf(piece, at);
    if (found < 0) {
      return false;
    }
    at = found + piece.length;
  }
  return name.endsWith(tail) && name.length - tail.length >= at;
}

const matchesAny = (patterns: readonly string[], name: string): boolean =>
  patterns.some((pattern) => matchesName(pattern, name));

/** Is this tensor of the diff added to raw's (or raw's taken from it), rather than taken as it is? */
export function isSummed({ verbatim, summed }: Scheme, name: string): boolean {
  return !matchesAny(verbatim, name) && (summed === null || matchesAny(summed, name));
}

/** What becomes of a tensor that only the diff has. */
export function fateOfDiffOnly({ diffOnly }: Scheme, name: string): "refuse" | "keep" | "drop" {
  return typeof diffOnly === "string" ? diffOnly : matchesAny(diffOnly, name) ? "keep" : "refuse";
}
