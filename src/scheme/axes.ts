/**
 * The arithmetic of a diff as data: the axes along which the published scripts differ. An axis has exactly the values that some
 * script uses. How each is carried out stands in plan/pair-rules.ts, plan/pairing.ts and engine/work/blend.ts; who published by
 * which scheme, and how that is recognised, in families/.
 */
import type { ComputeDtype } from "../engine/job/job.js";

/**
 * Vocabulary rows that only the diff has. "mean": raw's rows averaged, plus the diff's row. "zero": plus +0, which turns -0 into
 * +0. "overlap": raw is added to the top left block it covers, the rest is taken as it is. "refuse": there must be none.
 */
export const NEW_ROWS = ["mean", "zero", "overlap", "refuse"] as const;
export type NewRows = (typeof NEW_ROWS)[number];

/** transformers' resize_token_embeddings to the length of a tokenizer, and what the script then puts into the last rows. */
export interface Resize {
  /** Whose tokenizer. */
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
  /** "add-bits": bit patterns, modulo 2^n. "subtract": the base is taken off again, what is published is the sum. "xor": whole files, not tensors. */
  readonly operation: "add" | "subtract" | "add-bits" | "xor";
  /** Whose names decide what is recovered, and in which order. */
  readonly driver: "diff" | "raw";
  /** Whose tensor the script adds into; "new": neither's. Under "stored", its dtype is the sum's, a new one's the wider. */
  readonly into: "diff" | "raw" | "new";
  /** How the script comes by its tensors: two models, whose embedding and head may be one matrix; or the files' dictionaries. */
  readonly loading: "models" | "files";
  /** The same as `into` for embeddings, where it differs. */
  readonly embeddingsInto?: "diff";
  /** Both operands are converted to it, the sum is rounded once to it. "stored": as they are in the files. */
  readonly arithmetic: ComputeDtype | "stored";
  /** What sums are rounded to where that is not the arithmetic's. */
  readonly rounds?: ComputeDtype;
  /** What the script saves: the float tensors' dtype, unless the user wants another. */
  readonly output: ComputeDtype | "stored";
  /** "verbatim" is of exact diffs: there rows are bit patterns. */
  readonly newRows: NewRows | "verbatim";
  /** How the script first brings the base's rows to the number of a tokenizer's tokens; left out where it does not. */
  readonly resize?: Resize;
  /** Which tensors may differ in shape. */
  readonly newRowsOf: "embeddings" | "any";
  /** A diff's tensor of any other shape than raw's with so many rows more is the model's own: the script leaves it alone. */
  readonly elseVerbatim?: { readonly unlessNewRows: number };
  /** Patterns of names that are taken from the diff as they are. */
  readonly verbatim: readonly string[];
  /** Patterns of the only names that are not; null for all. */
  readonly summed: readonly string[] | null;
  /** The diff's names are raw's with this before them. "if-used": where no name has it, names are raw's. */
  readonly prefix: { readonly text: string; readonly when: "always" | "if-used" } | null;
  /** Tensors that only the diff has; patterns: those are kept, any other is a mismatch. */
  readonly diffOnly: "refuse" | "keep" | "drop" | readonly string[];
  /** Tensors that only raw has. */
  readonly baseOnly: "refuse" | "copy";
  /** A file beside the diff with the sum of the recovered model, and how far off the script lets it be. */
  readonly sumFile?: { readonly file: string; readonly absolute: number; readonly relative: number };
  /** What the script writes wrong and this tool writes right, in words; null if there is no such thing. */
  readonly mends: string | null;
}

/** A pattern with `*` is compared with the whole name, `*` standing for anything; one without is looked for anywhere in it. */
export function matchesName(pattern: string, name: string): boolean {
  if (!pattern.includes("*")) {
    return name.includes(pattern);
  }
  // Piece by piece, each at its first place after the one before: no pattern makes this slow.
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
