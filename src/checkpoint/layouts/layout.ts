/**
 * What a layout is: how the weights of a model lie in files, under which names, and what it says of the model besides. Each has a row
 * in registry.ts; whoever opens a checkpoint asks the rows, and knows none of them by name.
 */
import type { ErrorCode } from "../../errors.js";
import type { Piece } from "../../formats/pieces.js";
import type { ShardHeader, StoredRecord, TensorInfo } from "../../formats/tensor-info.js";
import type { HubFile } from "../../hub/place.js";

export type LayoutName = "huggingface" | "meta" | "easylm";

/** A weight file, its header read. */
export interface WeightFile {
  /** Bare name. */
  readonly file: string;
  readonly path: string;
  readonly header: ShardHeader;
  readonly hub?: HubFile;
}

/** A tensor and the file that holds it. */
export interface Stored<S> extends TensorInfo {
  readonly shard: S;
  /** Only where it is cut up or its rows are stored in another order; `shard` and `range` are then the first one's. */
  readonly pieces?: readonly StoredPieceIn<S>[];
  /** Dtype and shape are those of what is coded in `range` (docs/formats.md 3), whose bytes are not its elements. */
  readonly coded?: true;
}

/** Part of a tensor, in a file of its own. */
export interface StoredPieceIn<S> extends Piece {
  readonly shard: S;
  /** Name of what is stored there. */
  readonly name: string;
  readonly record?: StoredRecord;
}

/** The weights among the files of a directory. */
export interface FoundWeights {
  /** Bare names, as far as names tell: of all parts, or of one file; none where an index lists them. */
  readonly files: readonly string[];
  /** Bare name of the index. */
  readonly index: string | null;
  /** Bare names of what transformers would have taken after these: other copies of the weights, or stale ones. */
  readonly others: readonly string[];
}

/** Why something is refused, in the words of an error. */
export interface Refusal {
  readonly code: ErrorCode;
  readonly fact: string;
  readonly hint: string;
  readonly file: string;
}

/** What a layout has to read. */
export interface LayoutInput<S> {
  /** Of the files or of the index's shards, in the order of their names. */
  readonly shards: readonly S[];
  /** What the index assigns to which file. */
  readonly index: { readonly file: string; readonly weightMap: ReadonlyMap<string, string> } | null;
  /** Text and path of the file that `Layout.params` names; null where there is none. */
  readonly params: { readonly text: string; readonly path: string } | null;
  /** As the user wrote it. */
  readonly path: string;
  readonly directory: string;
}

/** The model that the files are. */
export interface LayoutModel<S> {
  readonly layout: LayoutName;
  readonly stateDict: ReadonlyMap<string, Stored<S>>;
  readonly notes: readonly string[];
  /** The config.json that such a model comes without; null where the one in its folder counts. */
  readonly configText: string | null;
  /** Why it cannot be converted to Hugging Face's format; null if it can. */
  readonly unconvertible: Refusal | null;
}

export interface Layout {
  readonly name: LayoutName;
  /** The weights among a directory's names; null where there are none in this layout. */
  find(names: ReadonlySet<string>): FoundWeights | null;
  /** Is a file of this name nothing without the others beside it? */
  isPart(file: string): boolean;
  /** Is a file with this header a whole model in this layout? */
  isWhole(header: ShardHeader): boolean;
  /** Bare name of a file beside the weights that is read with them. */
  readonly params: string | null;
  /** Is the tokenizer a side file like all others, or one file for several models, in the folder above? */
  readonly tokenizer: "beside" | "above";
  /** Were models released in these very files, so that their digests may be known? */
  readonly released: boolean;
  /** @throws {WeightDiffError} MISMATCH, NOT_FOUND, FORMAT_INVALID, FORMAT_UNSUPPORTED, IO. */
  read<S extends WeightFile>(input: LayoutInput<S>): Promise<LayoutModel<S>>;
}
