/** The options of `recover`. */
import type { SchemeOptions } from "../../evidence/scheme.js";
import type { Hub } from "../../hub/place.js";
import type { MakingOptions } from "../../make/recipe.js";

export interface RecoverOptions extends MakingOptions, SchemeOptions {
  /** The base model: a directory (Meta's own too), a weight file, a Hub cache folder, or the name of a repository. */
  readonly raw: string;
  /** The published diff, given likewise. For a family that XORs whole files, the folder with them. */
  readonly diff: string;
  /**
   * The directory for the recovered model. Null computes and checks everything, and writes nothing. "-" writes one file to stdout
   * (docs/recover.md).
   */
  readonly tuned?: string | null;
  /**
   * The dtype of the written float tensors. Left out, it is the one that the scheme's script saves. "auto": the smallest that holds every
   * value (docs/recover.md). CHECK_FAILED if the run meets a value that the sample did not show.
   */
  readonly dtype?: "F32" | "F16" | "BF16" | "auto";
  /** A file with the publisher's public key (PEM, EC). A diff that differs from what was signed is refused before a tensor is read. */
  readonly verifyKey?: string | null;
  /** The naive sum that the result must have (docs/arithmetic.md 7); "known" takes the published one, if there is one. */
  readonly expectSum?: number | "known" | null;
  /** The wanted version of a chain of updates. Left out, it is the one that its publisher points at, or else the newest complete one. */
  readonly to?: number | null;
  /** The version of a chain that the base holds; 0 by default. */
  readonly baseVersion?: number;
}

/** The same options with the Hub opened. */
export type OpenRecoverOptions = RecoverOptions & { readonly hub: Hub };
