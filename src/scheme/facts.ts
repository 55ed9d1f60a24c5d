/** The facts about a diff by which its family is recognised, as plain data. */
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
  /** Names of the base's tensors; null if there is no base. */
  readonly base: ReadonlySet<string> | null;
  /** What the values of embeddings, output head and last norm show. */
  readonly own: readonly SeenTensor[];
}

/** A tensor of the diff: is it a difference, or the model's own? */
export interface SeenTensor {
  readonly name: string;
  readonly kind: "own" | "difference";
  /** The share of the base's values in the diff's: 1 for an unchanged model, 0 for a difference. */
  readonly scale: number;
}

/**
 * The words of a command line in the scripts' terms: flags as written, without dashes and with `-` for `_`, and the number of paths without
 * a flag.
 */
export interface ScriptWords {
  readonly flags: readonly string[];
  readonly words: number;
}
