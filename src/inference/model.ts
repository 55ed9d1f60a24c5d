/**
 * A language model as a function from token ids to logits, whatever its family and wherever its weights lie. Every pass reads all weights
 * once, in constant memory: so the texts that are to be looked at go through it together.
 */

/** Ids of one text in a pass. */
export interface Text {
  /**
   * Texts of one key continue each other: the ids of a later pass come after those of the earlier ones. Null where nothing will follow:
   * then nothing is kept.
   */
  readonly key: string | null;
  /** At least one. */
  readonly ids: readonly number[];
  /** The logits after the last id, the loss of each id, or both. */
  readonly wanted: "last" | "losses" | "both";
}

/** What the model says of a text. */
export interface Said {
  /** [vocabulary] F32: the logits of what comes after the last id. Null where it was not wanted. */
  readonly last: Float32Array | null;
  /** Nats of ids[i + 1], given all before it: one less than `ids` has. Null where they were not wanted. */
  readonly losses: Float64Array | null;
}

export interface LanguageModel {
  /** "llama", "mistral" …, as config.json's model_type. */
  readonly family: string;
  /** Rows of the embedding. */
  readonly vocabulary: number;
  /** The most ids of a text. */
  readonly positions: number;
  readonly layers: number;
  /** Bytes that one pass reads. */
  readonly passBytes: number;
  /** What a user should know, one sentence each: a head that differs from the embedding it is said to be tied to … */
  readonly notes: readonly string[];
  /**
   * Passes all weights once (more than once where the ids are too many for its memory).
   * @param onProgress told how many of `passBytes` bytes have passed.
   * @throws {BrokenModel} where weights, or what comes of them, are not finite. @throws {WeightDiffError} IO, INPUT_CHANGED,
   * INTERRUPTED, TERMINATED, DISK_FULL; USAGE for an id that has no row, and for more ids than `positions`.
   */
  pass(texts: readonly Text[], onProgress?: (bytes: number) => void): Promise<readonly Said[]>;
  /** Ends its threads and takes its temporary file away. */
  close(): Promise<void>;
}

/** Not finite: a finding about the model, not a failure of the run. */
export class BrokenModel extends Error {
  /** @param tensor the first one in the order of the pass. @param weights is it the weights themselves, or what came of them? */
  constructor(
    readonly tensor: string,
    readonly weights: boolean,
  ) {
    super(`no numbers from ${tensor} on`);
  }
}
