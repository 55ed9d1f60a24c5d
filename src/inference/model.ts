/**
 * A language model as a function from token ids to logits, for any family, wherever its weights lie. Every pass reads all weights once, in
 * constant memory. So all texts of interest go through it together.
 */

/** The ids of one text in a pass. */
export interface Text {
  /**
   * Texts with the same key continue each other: the ids of a later pass follow those of the earlier ones. Null if nothing will follow;
   * then nothing is kept.
   */
  readonly key: string | null;
  /** At least one. */
  readonly ids: readonly number[];
  /** What to return: the logits after the last id, the loss of each id, or both. */
  readonly wanted: "last" | "losses" | "both";
}

/** What the model returns for a text. */
export interface Said {
  /** [vocabulary] F32: the logits after the last id. Null if not wanted. */
  readonly last: Float32Array | null;
  /** Nats of ids[i + 1], given all ids before it: one fewer than `ids`. Null if not wanted. */
  readonly losses: Float64Array | null;
}

export interface LanguageModel {
  /** For example "llama" or "mistral", as model_type in config.json. */
  readonly family: string;
  /** Rows of the embedding. */
  readonly vocabulary: number;
  /** The most ids of a text. */
  readonly positions: number;
  readonly layers: number;
  /** Bytes that one pass reads. */
  readonly passBytes: number;
  /** Notes for the user, one sentence each, for example about a head that differs from the embedding it should be tied to. */
  readonly notes: readonly string[];
  /**
   * Passes all weights once, or more often if the ids do not fit its memory.
   * @param onProgress called with how many of `passBytes` bytes have passed.
   * @throws {BrokenModel} if weights, or values computed from them, are not finite.
   * @throws {WeightDiffError} IO, INPUT_CHANGED, INTERRUPTED, TERMINATED, DISK_FULL; USAGE for an id without a row, and for more ids than
   * `positions`.
   */
  pass(texts: readonly Text[], onProgress?: (bytes: number) => void): Promise<readonly Said[]>;
  /** Ends its threads, and removes its temporary file. */
  close(): Promise<void>;
}

/** The model has values that are not finite. This is a finding about the model, not a failure of the run. */
export class BrokenModel extends Error {
  /**
   * @param tensor the first such tensor, in the order of the pass.
   * @param weights are the weights themselves not finite, or values computed from them?
   */
  constructor(
    readonly tensor: string,
    readonly weights: boolean,
  ) {
    super(`no numbers from ${tensor} on`);
  }
}
