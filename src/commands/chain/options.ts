/** The options of the commands about chains. */
import type { ChainLayoutName, FIREWORKS_FORMATS } from "../../chain/chain.js";
import type { PublishedChecksum } from "../../chain/update-index.js";
import type { UpdateEncoding } from "../../formats/update.js";
import type { Hub } from "../../hub/place.js";
import type { MakingOptions, RunRequest } from "../../make/recipe.js";
import type { HubRunOptions } from "../../run/inputs.js";
import type { RunOptions } from "../../run/run-plan.js";

/** Chooses a chain and a version of it. */
export interface ChainChoice {
  /** The directory with the versions, one version's own, or the name of a repository. */
  readonly chain: string;
  /** The layout. If it is left out, the names of the files show it. */
  readonly layout?: ChainLayoutName | null;
  /** The wanted version. If it is left out, it is the one to which the publisher's pointer points, else the newest complete one. */
  readonly to?: number | null;
  /** Which version the base is; 0 by default: the model before version 1. */
  readonly baseVersion?: number;
  /** The most steps that may lead to the version; 1000 by default. */
  readonly maxSteps?: number;
  /** The format that Fireworks' payloads must have. If it is left out, the payloads show it. */
  readonly format?: (typeof FIREWORKS_FORMATS)[number] | null;
}

export interface ChainInspectOptions extends HubRunOptions, ChainChoice {}

export interface ChainVerifyOptions extends RunOptions, ChainChoice {
  /** The base. With it, every checksum of every step is computed. Without it, only structure and frames are checked. */
  readonly raw?: string | null;
}

export interface ChainMaterializeOptions
  extends Omit<MakingOptions, "invFreq" | "rows" | "ignore" | "part" | "parts">,
    ChainChoice {
  /** The base model: a directory, a weight file, or the name of a repository. Not needed if the path starts with a full version. */
  readonly raw?: string | null;
  /** The folder for the model; null computes and checks everything, and writes nothing; "-" writes one file to stdout. */
  readonly tuned?: string | null;
}

export interface ChainFoldOptions extends RunRequest, Omit<ChainChoice, "baseVersion"> {
  /** The version before the first folded step; 0 by default. `to` is the last folded version. */
  readonly from?: number;
  /** The directory in which the version's folder is made, for example `weight_v000040`. */
  readonly output: string;
  /** The model before the first step. Steps of one encoding fold without it; with it every tensor's last checksum is checked. */
  readonly raw?: string | null;
  /** The encoding to write; null takes that of the steps, or "xor" if they differ. */
  readonly encoding?: UpdateEncoding | null;
  /** The checksums to state; null takes those of the steps. */
  readonly checksum?: PublishedChecksum | null;
  /** Give it the number after `from`, for readers that only look for the next number. */
  readonly renumber?: boolean;
  /** Bytes of tensors whose payloads share a shard; 5 GB by default. */
  readonly maxShardSize?: number;
}

export interface ChainMakeOptions extends RunRequest {
  /** The model of the chain's newest version. It is not read for a full version. */
  readonly raw: string;
  /** The new model. */
  readonly tuned: string;
  /** The directory of the chain, in which the version's folder is made. */
  readonly chain: string;
  /** The version's number; null takes the one after the newest. */
  readonly version?: number | null;
  /** "xor" by default. */
  readonly encoding?: UpdateEncoding;
  /** The algorithm of each changed tensor's checksum: "xxh3-128" by default. */
  readonly checksum?: PublishedChecksum;
  /** Publish the new model itself in place of an update. Later steps start from it. */
  readonly full?: boolean;
  /** Bytes of tensors whose payloads share a shard; 5 GB by default. */
  readonly maxShardSize?: number;
}

/** The options with the opened Hub. */
export type Opened<O> = Omit<O, "hub"> & { readonly hub: Hub };
