/** The defaults of the functions' options. Each is written here and nowhere else. */
export const DEFAULTS = {
  /**
   * Bytes of tensor data in one output file. This was the default of transformers when these diffs were made; later versions write larger
   * files.
   */
  maxShardSize: 5_000_000_000,
  /** For rotary_emb.inv_freq buffers, which models recompute. */
  invFreq: "drop",
  /** The evidence decides. */
  scheme: "auto",
  /** The encoding that the reference scripts can read. */
  encoding: "additive",
  /** The base of a chain of updates is the model before version 1. */
  baseVersion: 0,
  /** The most steps from the base to the wanted version. */
  maxSteps: 1000,
} as const;
