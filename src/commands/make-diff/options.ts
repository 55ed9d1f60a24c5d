/** The options of make-diff, and its report. */
import type { Signed } from "../../check/signature.js";
import type { MakingOptions, MakingReport } from "../../make/recipe.js";
import type { ENCODINGS, Encoding } from "../../plan/exact.js";

export interface MakeDiffOptions extends MakingOptions {
  /** The base model: a directory (Meta's own too), a weight file, a Hub cache folder, or the name of a repository. */
  readonly raw: string;
  /** The fine-tuned model, given likewise. */
  readonly tuned: string;
  /** The directory for the diff. Null makes and proves it without writing anything. "-" writes one file to stdout (docs/recover.md). */
  readonly diff?: string | null;
  /** "additive": float32, for this tool and the reference scripts. "exact": bit patterns, for this tool only. */
  readonly encoding?: (typeof ENCODINGS)[number];
  /** Code an exact diff as small as possible. If `encoding` is left out, it is exact. */
  readonly compress?: boolean;
  /** A file with a private key (PEM, EC) to sign every written file. */
  readonly signKey?: string | null;
  /** Put a page and a picture of what changed beside the diff and into its card. This reads both models once more. */
  readonly report?: boolean;
  /** The base's name in the model card: "org/name". */
  readonly baseModel?: string | null;
}

export interface MakeDiffReport extends MakingReport {
  readonly encoding: Encoding;
  readonly outcome: "made" | "checked" | "planned" | "verified" | "part";
  /** The signature over all written files, if asked for. */
  readonly signature?: Signed;
  readonly tensors: number;
  readonly elements: number;
  /** For each tensor, how many elements recover will not restore bit for bit. Lists only tensors that have such elements. */
  readonly inexact: ReadonlyMap<string, number>;
}
