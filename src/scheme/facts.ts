/** What is known of a diff when its family is looked for, as plain data. */
import type { ShardHeader } from "../formats/tensor-info.js";

/** What is known of a diff. */
export interface Facts {
  /** Bare names of the files beside the weights. */
  readonly files: readonly string[];
  /** The tokens that its tokenizer adds. */
  readonly tokens: readonly string[];
  readonly formats: readonly ShardHeader["format"][];
  /** Names of the diff's tensors. */
  readonly tensors: ReadonlySet<string>;
  /** Names of the base's; null where the diff is looked at by itself. */
  readonly base: ReadonlySet<string> | null;
  /** What values show of embeddings, output head and last norm. */
  readonly own: readonly SeenTensor[];
}

/** A tensor of the diff that is no difference but the model's own, or one that is a difference. */
export interface SeenTensor {
  readonly name: string;
  readonly kind: "own" | "difference";
  /** How much of the base's values is in the diff's: 1 for an unchanged model, 0 for a difference. */
  readonly scale: number;
}

/** What a command line has in the words of the scripts: flags as they were written, without dashes and `-` for `_`; paths without a flag. */
export interface ScriptWords {
  readonly flags: readonly string[];
  readonly words: number;
}
