/** The defaults of the functions' options. Each is written here and nowhere else. */
export const DEFAULTS = {
  /** Bytes of tensor data in one output file: transformers' own limit when these diffs were made; later versions write larger files. */
  maxShardSize: 5_000_000_000,
  /** rotary_emb.inv_freq buffers: models recompute them. */
  invFreq: "drop",
  /** The evidence decides. */
  scheme: "auto",
  /** The encoding that the reference scripts read. */
  encoding: "additive",
  /** Of a chain of updates: its base is the model before version 1. */
  baseVersion: 0,
  /** Steps from the base to the version that is wanted. */
  maxSteps: 1000,
} as const;
