/** The options of `recover`. */
import type { SchemeOptions } from "../../evidence/scheme.js";
import type { Hub } from "../../hub/place.js";
import type { MakingOptions } from "../../make/recipe.js";

export interface RecoverOptions extends MakingOptions, SchemeOptions {
  /** The base model: a directory (Meta's own too), a weight file, a Hub cache folder, or the name of a repository. */
  readonly raw: string;
  /** The published diff, given likewise; for a family that XORs whole files, the folder with them. */
  readonly diff: string;
  /** The folder for the recovered model; null computes and checks everything, and writes nothing; "-" writes one file to stdout (docs/recover.md). */
  readonly tuned?: string | null;
  /**
   * The dtype of the float tensors that are written; left out, the one that the scheme's script saves. "auto": the smallest that holds every
   * value (docs/recover.md); CHECK_FAILED where the run meets a value that the sample did not foretell.
   */
  readonly dtype?: "F32" | "F16" | "BF16" | "auto";
  /** A file with the publisher's public key (PEM, EC): a diff that is not as it was signed is refused before a tensor is read. */
  readonly verifyKey?: string | null;
  /** The naive sum that the result must have (docs/arithmetic.md 7); "known" takes the published one, if there is one. */
  readonly expectSum?: number | "known" | null;
  /** Of a chain of updates: the version that is wanted; left out, the one that its publisher points at, else the newest complete one. */
  readonly to?: number | null;
  /** Of a chain: the version that the base is; 0 by default. */
  readonly baseVersion?: number;
}

/** The same, once the Hub is opened. */
export type OpenRecoverOptions = RecoverOptions & { readonly hub: Hub };
