/** What make-diff may be asked, and what it tells. */
import type { Signed } from "../../check/signature.js";
import type { MakingOptions, MakingReport } from "../../make/recipe.js";
import type { ENCODINGS, Encoding } from "../../plan/exact.js";

export interface MakeDiffOptions extends MakingOptions {
  /** The base model: a directory (Meta's own too), a weight file, a Hub cache folder, or the name of a repository. */
  readonly raw: string;
  /** The fine-tuned model, likewise. */
  readonly tuned: string;
  /** Where the diff goes; null makes and proves it without writing anything; "-" writes one file to stdout (docs/recover.md). */
  readonly diff?: string | null;
  /** "additive": float32, for this tool and the reference scripts. "exact": bit patterns, for this tool only. */
  readonly encoding?: (typeof ENCODINGS)[number];
  /** Code an exact diff as small as it gets; without `encoding` it is exact. */
  readonly compress?: boolean;
  /** A file with a private key (PEM, EC): what is written is signed with it. */
  readonly signKey?: string | null;
  /** Put what the fine-tune changed beside the diff, as a page and a picture, and into its card: both models are read once more. */
  readonly report?: boolean;
  /** What the model card calls the base: "org/name". */
  readonly baseModel?: string | null;
}

export interface MakeDiffReport extends MakingReport {
  readonly encoding: Encoding;
  readonly outcome: "made" | "checked" | "planned" | "verified" | "part";
  /** Of all files written, if that was asked for. */
  readonly signature?: Signed;
  readonly tensors: number;
  readonly elements: number;
  /** Elements that recover will not give back bit for bit, by tensor; only tensors that have some. */
  readonly inexact: ReadonlyMap<string, number>;
}
