/** What the commands about chains may be asked. */
import type { ChainLayoutName, FIREWORKS_FORMATS } from "../../chain/chain.js";
import type { Hub } from "../../hub/place.js";
import type { MakingOptions } from "../../make/recipe.js";
import type { HubRunOptions } from "../../run/inputs.js";
import type { RunOptions } from "../../run/run-plan.js";

/** Which chain, and which version of it. */
export interface ChainChoice {
  /** The directory with the versions, one version's own, or the name of a repository. */
  readonly chain: string;
  /** Whose layout; left out, the names tell. */
  readonly layout?: ChainLayoutName | null;
  /** The version that is wanted; left out, the one that the publisher points at, else the newest complete one. */
  readonly to?: number | null;
  /** The version that the base is; 0 by default: the model before version 1. */
  readonly baseVersion?: number;
  /** How many steps may lead there; 1000 by default. */
  readonly maxSteps?: number;
  /** Of Fireworks' payloads: what they must be; left out, the payloads tell. */
  readonly format?: (typeof FIREWORKS_FORMATS)[number] | null;
}

export interface ChainInspectOptions extends HubRunOptions, ChainChoice {}

export interface ChainVerifyOptions extends RunOptions, ChainChoice {
  /** The base: with it, every checksum of every step is computed. Left out, structure and frames are checked only. */
  readonly raw?: string | null;
}

export interface ChainMaterializeOptions
  extends Omit<MakingOptions, "invFreq" | "rows" | "ignore" | "part" | "parts">,
    ChainChoice {
  /** The base model: a directory, a weight file, or the name of a repository. Not needed where a full version starts the path. */
  readonly raw?: string | null;
  /** The folder for the model; null computes and checks everything, and writes nothing; "-" writes one file to stdout. */
  readonly tuned?: string | null;
}

/** With the Hub opened. */
export type Opened<O> = Omit<O, "hub"> & { readonly hub: Hub };
