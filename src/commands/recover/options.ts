/** What recover may be asked. */
import type { SchemeOptions } from "../../evidence/scheme.js";
import type { Hub } from "../../hub/place.js";
import type { MakingOptions } from "../../make/make.js";

export interface RecoverOptions extends MakingOptions, SchemeOptions {
  /** The base model: a directory (Meta's own too), a weight file, a Hub cache folder, or the name of a repository. */
  readonly raw: string;
  /** The published diff, likewise; of a family that XORs, its files. */
  readonly diff: string;
  /** Where the model goes; null computes and checks everything and writes nothing. */
  readonly tuned?: string | null;
  /** Of the float tensors written. */
  readonly dtype?: "F32" | "F16" | "BF16";
  /** A sum to hold the result against; "known" takes the published one, if there is one. */
  readonly expectSum?: number | "known" | null;
}

/** The same, with the Hub opened. */
export type OpenRecoverOptions = RecoverOptions & { readonly hub: Hub };
