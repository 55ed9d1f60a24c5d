/** What the commands about chains may be asked. */
import type { ChainLayoutName, FIREWORKS_FORMATS } from "../../chain/chain.js";
import type { PublishedChecksum } from "../../chain/update-index.js";
import type { UpdateEncoding } from "../../formats/update.js";
import type { Hub } from "../../hub/place.js";
import type { MakingOptions, RunRequest } from "../../make/recipe.js";
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

export interface ChainFoldOptions extends RunRequest, Omit<ChainChoice, "baseVersion"> {
  /** The version before the first step that is folded; 0 by default. `to` is the last one. */
  readonly from?: number;
  /** The directory that gets the version's folder, `weight_v000040` for one. */
  readonly output: string;
  /** The model before the first step. Steps of one encoding fold without it; with it every tensor's last checksum is checked. */
  readonly raw?: string | null;
  /** What to write; null takes what the steps have, and "xor" where they differ. */
  readonly encoding?: UpdateEncoding | null;
  /** The checksums to state; null takes those of the steps. */
  readonly checksum?: PublishedChecksum | null;
  /** Call it the version after `from`: for readers that look for the next number only. */
  readonly renumber?: boolean;
  /** Bytes of tensors whose payloads share a shard; 5 GB by default. */
  readonly maxShardSize?: number;
}

export interface ChainMakeOptions extends RunRequest {
  /** The model before, which is the chain's newest version; for a full version it is not read. */
  readonly raw: string;
  /** The new model. */
  readonly tuned: string;
  /** The directory of the chain: the version's folder is made in it. */
  readonly chain: string;
  /** The version's number; null takes the one after the newest. */
  readonly version?: number | null;
  /** "xor" by default. */
  readonly encoding?: UpdateEncoding;
  /** The checksum of what each tensor becomes: "xxh3-128" by default. */
  readonly checksum?: PublishedChecksum;
  /** Publish the new model itself, and no update: later steps go on from there. */
  readonly full?: boolean;
  /** Bytes of tensors whose payloads share a shard; 5 GB by default. */
  readonly maxShardSize?: number;
}

/** With the Hub opened. */
export type Opened<O> = Omit<O, "hub"> & { readonly hub: Hub };
