/** What groups of scripts share. A family starts from one of these and states its differences. */
import type { Resize, Scheme } from "./axes.js";
import type { CommandLine, ScriptFlag } from "./family.js";

type Axes = Omit<Scheme, "name">;

/** weight_diff.py: two float32 models, a loop over the diff's names. */
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

/** smart_tokenizer_and_embedding_resize of weight_diff.py: adds a padding token if the base has none. */
export const PADDED: Resize = { of: "raw", tokens: ["[PAD]"], unlessPadded: true, overwrites: true };

const MENDED_CONFIG = "config.json is the diff's: the script saves the base's, whose token ids may be wrong";

/** apply_delta.py of FastChat and its copies: two float16 models, a loop over the base's names. */
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

/** Copies of it that loop over the diff's names. */
export const DELTA_DRIVEN: Axes = {
  ...WEIGHT_DIFF,
  arithmetic: "F16",
  output: "F16",
  newRows: "refuse",
};

/** apply_delta_low_cpu_mem: one file of the base after the other, in the dtypes of the files. The config is the delta's. */
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

/** The command line of apply_delta.py and its copies. People use the short flags of its documentation: --base, --target, --delta. */
export const APPLY_DELTA_LINE: CommandLine = {
  flags: [BASE_MODEL_PATH, { name: "target-model-path", shortest: "target", means: "tuned" }, DELTA_PATH],
};

/** A flag without effect here, and the reason. Without a reason, other flags take its place. */
export const ignored = (name: string, note?: string): ScriptFlag => ({
  name,
  means: null,
  ...(note === undefined ? {} : { note }),
});
