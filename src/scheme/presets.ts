/** What groups of scripts have in common. The families start from one of these and say what differs. */
import type { Resize, Scheme } from "./axes.js";
import type { CommandLine, ScriptFlag } from "./family.js";

type Axes = Omit<Scheme, "name">;

/** weight_diff.py: two float32 models, loop over the diff's names. */
export const WEIGHT_DIFF: Axes = {
  operation: "add",
  driver: "diff",
  into: "diff",
  loading: "models",
  arithmetic: "F32",
  output: "F32",
  newRows: "mean",
  newRowsOf: "embeddings",
  verbatim: [],
  summed: null,
  prefix: null,
  diffOnly: "refuse",
  baseOnly: "refuse",
  mends: null,
};

/** weight_diff.py's smart_tokenizer_and_embedding_resize: a padding token for a base without one. */
export const PADDED: Resize = { of: "raw", tokens: ["[PAD]"], unlessPadded: true, overwrites: true };

const MENDED_CONFIG = "config.json is the diff's: the script saves the base's, whose token ids may be wrong";

/** FastChat's apply_delta.py and its copies: two float16 models, loop over the base's names. */
export const APPLY_DELTA: Axes = {
  ...WEIGHT_DIFF,
  driver: "raw",
  into: "raw",
  arithmetic: "F16",
  output: "F16",
  newRows: "refuse",
  diffOnly: "drop",
  mends: MENDED_CONFIG,
};

/** Its copies that loop over the diff's names. */
export const DELTA_DRIVEN: Axes = {
  ...WEIGHT_DIFF,
  arithmetic: "F16",
  output: "F16",
  newRows: "refuse",
};

/** apply_delta_low_cpu_mem: file by file of the base, in the dtypes of the files; its config is the delta's. */
export const LOW_CPU_MEM = {
  driver: "raw",
  into: "raw",
  loading: "files",
  arithmetic: "stored",
  output: "stored",
  diffOnly: "drop",
  mends: null,
} as const;

export const BASE_MODEL_PATH: ScriptFlag = { name: "base-model-path", shortest: "base", means: "raw" };
export const DELTA_PATH: ScriptFlag = { name: "delta-path", shortest: "delta", means: "diff" };

/** apply_delta.py and its copies; people use its flags in the short form of its own documentation: --base, --target, --delta. */
export const APPLY_DELTA_LINE: CommandLine = {
  flags: [BASE_MODEL_PATH, { name: "target-model-path", shortest: "target", means: "tuned" }, DELTA_PATH],
};

/** A flag that means nothing here, and why; without a reason, one that stands for others. */
export const ignored = (name: string, note?: string): ScriptFlag => ({
  name,
  means: null,
  ...(note === undefined ? {} : { note }),
});
