/**
 * The arithmetic of a diff as data: the axes along which the published scripts differ. An axis has exactly the values that some script
 * uses. plan/pair-rules.ts, plan/pairing.ts and engine/work/blend.ts carry them out. families/ says who published by which scheme, and how
 * it is recognised.
 */
import type { ComputeDtype } from "../engine/job/job.js";

/**
 * What happens to vocabulary rows that only the diff has. "mean": the mean of raw's rows plus the diff's row. "zero": +0 plus the diff's
 * row, which turns -0 into +0. "overlap": raw is added to the top left block that it covers, and the rest stays the diff's. "refuse": new
 * rows are an error.
 */
export const NEW_ROWS = ["mean", "zero", "overlap", "refuse"] as const;
export type NewRows = (typeof NEW_ROWS)[number];

/**
 * How a script resizes the base's embeddings to the length of a tokenizer (resize_token_embeddings of transformers), and which rows it then
 * treats as new.
 */
export interface Resize {
  /** The side whose tokenizer decides. */
  readonly of: "raw" | "diff";
  /** Tokens that the script adds to that tokenizer. The diff's own tokenizer already has them. */
  readonly tokens: readonly string[];
  /** Only if the tokenizer has no padding token. */
  readonly unlessPadded: boolean;
  /** The rows of these tokens count as new even if the base has rows there. Otherwise only rows that the base lacks do. */
  readonly overwrites: boolean;
}

export interface Scheme {
  /** The name in the option `scheme`, in journals and in manifests. */
  readonly name: string;
  /**
   * "add": base + diff. "subtract": the publisher added the base, so it is subtracted. "add-bits": bit patterns are added modulo 2^n.
   * "xor": whole files are XORed, without regard to tensors.
   */
  readonly operation: "add" | "subtract" | "add-bits" | "xor";
  /** The side whose names decide which tensors are recovered, and in which order. */
  readonly driver: "diff" | "raw";
  /**
   * The side whose tensor the script adds into; "new": into a new tensor. If the arithmetic is "stored", the sum has the dtype of that
   * tensor. A new tensor has the wider of the two dtypes.
   */
  readonly into: "diff" | "raw" | "new";
  /** What the script loads: "models", whose embedding and head may be one matrix, or "files" as dictionaries of tensors. */
  readonly loading: "models" | "files";
  /** Like `into`, for embeddings, if they differ. */
  readonly embeddingsInto?: "diff";
  /** Both operands are converted to this dtype, and the sum is rounded to it once. "stored": the dtypes of the files. */
  readonly arithmetic: ComputeDtype | "stored";
  /** The dtype that sums are rounded to, if it is not the dtype of the arithmetic. */
  readonly rounds?: ComputeDtype;
  /** The dtype in which the script saves float tensors. The user may ask for another. */
  readonly output: ComputeDtype | "stored";
  /** The rule for rows that only the diff has. "verbatim" is for exact diffs, whose rows are bit patterns. */
  readonly newRows: NewRows | "verbatim";
  /** How the script resizes the base's embeddings before it adds. Left out if it does not. */
  readonly resize?: Resize;
  /** Tensors whose shapes may differ. */
  readonly newRowsOf: "embeddings" | "any";
  /** If the diff's tensor has another shape than raw's, the script takes it unchanged, unless it has exactly so many more rows. */
  readonly elseVerbatim?: { readonly unlessNewRows: number };
  /** Patterns of names whose tensors are taken from the diff unchanged. */
  readonly verbatim: readonly string[];
  /** Patterns of names that are added; other tensors are taken unchanged. Null: every tensor is added. */
  readonly summed: readonly string[] | null;
  /** The diff's names are raw's names with this text before them. "if-used": only if the diff's names start with it. */
  readonly prefix: { readonly text: string; readonly when: "always" | "if-used" } | null;
  /** What happens to tensors that only the diff has. With patterns: matching tensors are kept, others are a mismatch. */
  readonly diffOnly: "refuse" | "keep" | "drop" | readonly string[];
  /** What happens to tensors that only raw has. */
  readonly baseOnly: "refuse" | "copy";
  /** The file beside the diff that states the sum of the recovered model, and the tolerances of the script. */
  readonly sumFile?: { readonly file: string; readonly absolute: number; readonly relative: number };
  /** A fault of the script that this tool does not repeat, in words; null if there is none. */
  readonly mends: string | null;
}

/**
 * Does the pattern match? A pattern with `*`, which stands for any text, must match the whole name. A pattern without it may match any part
 * of the name.
 */
export function matchesName(pattern: string, name: string): boolean {
  if (!pattern.includes("*")) {
    return name.includes(pattern);
  }
  // Finds the pieces between the stars one after the other, so no pattern makes this slow.
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

/** Is this tensor of the diff added to raw's (or raw's subtracted from it)? If not, it is taken unchanged. */
export function isSummed({ verbatim, summed }: Scheme, name: string): boolean {
  return !matchesAny(verbatim, name) && (summed === null || matchesAny(summed, name));
}

/** What happens to a tensor that only the diff has. */
export function fateOfDiffOnly({ diffOnly }: Scheme, name: string): "refuse" | "keep" | "drop" {
  return typeof diffOnly === "string" ? diffOnly : matchesAny(diffOnly, name) ? "keep" : "refuse";
}
