/**
 * Buffers that a model computes and that files may hold beside the parameters. Some versions of transformers save them, others do not, so
 * one side of a pair may lack them. The list comes from the calls of register_buffer in transformers 4.0.1, 4.12.5, 4.20.1, 4.28.1, 4.31.0,
 * 4.36.2, 4.44.2, 4.57.1 and 5.23.0. A name alone says little: GPT-2's mask is called `attn.bias`, like a learned bias. So shape, dtype or
 * config.json must confirm it.
 */
import { type Dtype, isFloatDtype } from "../formats/dtype.js";
import type { Shape } from "../formats/tensor-info.js";

interface Tensor {
  readonly dtype: Dtype;
  readonly shape: Shape;
}

interface BufferRule {
  readonly name: RegExp;
  /** @param modelType model_type of config.json; null if unknown. */
  is(tensor: Tensor, modelType: string | null, name: string): boolean;
}

/** Families whose attention keeps its causal mask among the weights. */
const MASKED: ReadonlySet<string> = new Set([
  "bark",
  "bloom",
  "codegen",
  "decision_transformer",
  "gpt2",
  "gpt_bigcode",
  "gpt_neo",
  "gpt_neox",
  "gpt_neox_japanese",
  "gptj",
  "imagegpt",
  "openai-gpt",
  "trajectory_transformer",
]);
/** Families whose position embeddings (`embed_positions.weight`) are computed sinusoids and not parameters. */
const SINUSOIDAL: ReadonlySet<string> = new Set(["fsmt", "marian", "pegasus", "pegasus_x", "roformer"]);

/** Names of buffers that LLaMA, GPT-NeoX and their kin never use: they compute rotary frequencies and masks themselves. */
export const NEVER_USED = /\.(rotary_emb\.inv_freq|attention\.(bias|masked_bias))$/;

const count = ({ shape }: Tensor): number => shape.reduce((product, size) => product * size, 1);
const isFlag = ({ dtype }: Tensor): boolean => dtype === "BOOL" || dtype === "U8";
const isInteger = ({ dtype }: Tensor): boolean => /^[IU]\d+$/.test(dtype);
/** [1, 1, n, n], or [n, n]. */
const isSquare = ({ shape }: Tensor): boolean =>
  shape.length >= 2 && shape.at(-1) === shape.at(-2) && shape.slice(0, -2).every((size) => size === 1);
const isVector = ({ dtype, shape }: Tensor): boolean => isFloatDtype(dtype) && shape.length === 1;
const isMatrix = ({ dtype, shape }: Tensor): boolean => isFloatDtype(dtype) && shape.length === 2;

const RULES: readonly BufferRule[] = [
  {
    // Booleans are never learned. For floats, the family decides, or names in GPT-2's style.
    name: /(^|\.)(attn|attention|self_attention|crossattention|scale_mask_softmax)\.(bias|causal_mask|mask)$/,
    is: (tensor, modelType, name) =>
      isSquare(tensor) &&
      (isFlag(tensor) || (modelType === null ? /(^|\.)h\.\d+\.attn\.bias$/.test(name) : MASKED.has(modelType))),
  },
  { name: /(^|\.)(masked_bias|(self_)?mask_value_float(16|32))$/, is: (tensor) => count(tensor) === 1 },
  { name: /(^|\.)(encoder|decoder)\.version$/, is: (tensor) => count(tensor) === 1 },
  { name: /(^|\.)_float_tensor$/, is: (tensor) => count(tensor) === 1 },
  // Integers have no gradients, so they are never parameters.
  {
    name: /(^|\.)(position_ids|token_type_ids|relative_position_index|attention_bias_idxs)$/,
    is: isInteger,
  },
  // Also original_inv_freq, and full_attention_inv_freq in models with several kinds of layers.
  { name: /(^|[._])inv_freq$/, is: isVector },
  { name: /(^|\.)(cos|sin)_cached$/, is: ({ dtype, shape }) => isFloatDtype(dtype) && shape.length >= 2 },
  { name: /(^|\.)relative_coords_table$/, is: ({ shape }) => shape.length === 4 && shape[3] === 2 },
  { name: /(^|\.)(embed_positions|pos_sinusoidal_embed)\.weights$/, is: isMatrix },
  {
    name: /(^|\.)embed_positions\.weight$/,
    is: (tensor, modelType) => isMatrix(tensor) && SINUSOIDAL.has(modelType ?? ""),
  },
  { name: /(^|\.)relative_positions_encoding\.positions_encoding$/, is: ({ shape }) => shape.length === 3 },
  { name: /(^|\.)criterion\.empty_weight$/, is: isVector },
  {
    name: /(^|\.)self_attn\.(slope_rate|query_decay|key_decay|diagonal_decay)$/,
    is: (_, modelType) => modelType?.startsWith("minimax") === true,
  },
];

/** Is this tensor a buffer that models compute? @param modelType model_type of config.json; null if unknown. */
export function isComputedBuffer(name: string, tensor: Tensor, modelType: string | null): boolean {
  return RULES.some((rule) => rule.name.test(name) && rule.is(tensor, modelType, name));
}

/**
 * Parameters in the files of a family that transformers does not load into its classes (`_keys_to_ignore_on_load_unexpected`, 4.20.1 to
 * 5.23.0): layers that predict further tokens ("mtp"), and a bias of T5 that was never used.
 */
const UNUSED: readonly (readonly [modelTypes: RegExp, name: RegExp])[] = [
  [/^(t5|mt5|umt5|longt5)$/, /^decoder\.block\.0\.layer\.1\.EncDecAttention\.relative_attention_bias\.weight$/],
  [/^(deepseek_v3|deepseek_v32)$/, /^model\.layers\.61\./],
  [/^glm4_moe$/, /^model\.layers\.(46|92)\./],
  [/^glm4v_moe$/, /^model\.(language_model\.)?layers\.(46|92)\./],
  [/^glm4_moe_lite$/, /^model\.layers\.47\./],
  [
    /^(qwen3_next|qwen3_5\w*|olmo_hybrid|mimo_v2_flash|longcat_flash|exaone_moe|ernie4_5_moe|nemotron_h|deepseek_v4)$/,
    /^(model\.)?mtp[._]/,
  ],
];

/** Does transformers skip this parameter when it loads a model of this type? */
export function isUnused(name: string, modelType: string | null): boolean {
  return modelType !== null && UNUSED.some(([types, pattern]) => types.test(modelType) && pattern.test(name));
}
