/**
 * A layout describes how a model's weights lie in files, under which names, and what else the files tell of the model. Each layout has a
 * row in registry.ts. The code that opens a checkpoint asks the rows, and knows none by name.
 */
import type { ErrorCode } from "../../errors.js";
import type { Piece } from "../../formats/pieces.js";
import type { ShardHeader, StoredRecord, TensorInfo } from "../../formats/tensor-info.js";
import type { HubFile } from "../../hub/place.js";

export type LayoutName = "huggingface" | "meta" | "easylm";

/** A weight file with its header. */
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
  /** Only if the tensor is cut up, or if its rows are stored in another order. `shard` and `range` are then those of the first piece. */
  readonly pieces?: readonly StoredPieceIn<S>[];
  /** Dtype and shape describe the tensor that is coded in `range` (docs/formats.md 3). The bytes there are not its elements. */
  readonly coded?: true;
}

/** A piece of a tensor, in a file of its own. */
export interface StoredPieceIn<S> extends Piece {
  readonly shard: S;
  /** The name under which the piece is stored. */
  readonly name: string;
  readonly record?: StoredRecord;
}

/** The weights among the files of a directory. */
export interface FoundWeights {
  /** Bare names, as far as names tell: of all parts, or of one file. Empty if an index lists them. */
  readonly files: readonly string[];
  /** Bare name of the index. */
  readonly index: string | null;
  /** Bare names of other weights that transformers would have loaded next: further copies, or stale files. */
  readonly others: readonly string[];
}

/** The reason for a refusal, in the words of an error. */
export interface Refusal {
  readonly code: ErrorCode;
  readonly fact: string;
  readonly hint: string;
  readonly file: string;
}

/** The input for reading a layout. */
export interface LayoutInput<S> {
  /** Of the files, or of the shards in the index, sorted by name. */
  readonly shards: readonly S[];
  /** The file to which the index assigns each tensor. */
  readonly index: { readonly file: string; readonly weightMap: ReadonlyMap<string, string> } | null;
  /** Text and path of the file that `Layout.params` names; null if there is none. */
  readonly params: { readonly text: string; readonly path: string } | null;
  /** As the user wrote it. */
  readonly path: string;
  readonly directory: string;
}

/** The model in the files. */
export interface LayoutModel<S> {
  readonly layout: LayoutName;
  readonly stateDict: ReadonlyMap<string, Stored<S>>;
  readonly notes: readonly string[];
  /** The text for config.json, if the layout has none; null if the config.json in the folder counts. */
  readonly configText: string | null;
  /** Why the model cannot be converted to Hugging Face's format; null if it can. */
  readonly unconvertible: Refusal | null;
}

export interface Layout {
  readonly name: LayoutName;
  /** The weights among a directory's names; null if there are none in this layout. */
  find(names: ReadonlySet<string>): FoundWeights | null;
  /** Is a file of this name only one part of a model? */
  isPart(file: string): boolean;
  /** Is a file with this header a whole model in this layout? */
  isWhole(header: ShardHeader): boolean;
  /** Bare name of a file beside the weights that is read with them. */
  readonly params: string | null;
  /** Is the tokenizer a side file, or one file for several models in the folder above? */
  readonly tokenizer: "beside" | "above";
  /** Were models released in exactly these files, so that their digests may be known? */
  readonly released: boolean;
  /** @throws {WeightDiffError} MISMATCH, NOT_FOUND, FORMAT_INVALID, FORMAT_UNSUPPORTED, IO. */
  read<S extends WeightFile>(input: LayoutInput<S>): Promise<LayoutModel<S>>;
}
