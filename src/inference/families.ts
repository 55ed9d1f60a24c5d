/** The supported families as data: the names of their modules, and what is computed between the matrices. To add a family, add a row. */
import { ROPE_THETA } from "../kernel/inv-freq.js";
import type { ConfigDefaults } from "./config-reader.js";

/** The modules of a layer: by their names after the layer's prefix, or as stored. */
export interface Layer<Module> {
  readonly before: Module;
  /** Matrices with one input that give queries, keys and values: one matrix each, or one for all, head by head. */
  readonly attention: readonly Module[];
  readonly output: Module;
  readonly between: Module;
  /** The gate and what it multiplies; or the matrix to which the activation is applied. */
  readonly inner: readonly Module[];
  readonly down: Module;
  /** Norms of each head's queries and keys; empty if there are none. */
  readonly heads: readonly Module[];
}

/** Does a matrix have a bias: always, never, or as this key of the config says? */
export type HasBias = boolean | string;

export interface ModelFamily {
  readonly names: {
    /** The prefix of all names but the head's, unless the model was saved without its head. */
    readonly body: string;
    readonly embedding: string;
    /** The text before the layer's number. */
    readonly layers: string;
    readonly layer: Layer<string>;
    readonly last: string;
    readonly head: string;
  };
  /** The defaults of its config class. */
  readonly defaults: ConfigDefaults;
  /** "rms": has only a weight. "layer": subtracts the mean, and has weight and bias. */
  readonly norm: "rms" | "layer";
  /** The key of the number that norms add to the variance. */
  readonly eps: string;
  /** The name of the supported activation in config.json. */
  readonly activation: "silu" | "gelu";
  readonly biases: { readonly attention: HasBias; readonly output: HasBias; readonly mlp: HasBias };
  /** The keys of the base of the rotary frequencies, and of the share of a head that is rotated; null: the whole head. */
  readonly rope: { readonly theta: string; readonly share: string | null };
  /** May attention and MLP read the same input? */
  readonly parallel: boolean;
  /**
   * Does a token see only sliding_window tokens? "always": in every layer. "asked": if use_sliding_window is true, in layers from
   * max_window_layers on. If there are layer_types, they tell the layers.
   */
  readonly window: "none" | "always" | "asked";
}

const NULLS = ["num_key_value_heads", "sliding_window", "layer_types"];

const LLAMA: ModelFamily = {
  names: {
    body: "model.",
    embedding: "model.embed_tokens",
    layers: "model.layers.",
    layer: {
      before: "input_layernorm",
      attention: ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
      output: "self_attn.o_proj",
      between: "post_attention_layernorm",
      inner: ["mlp.gate_proj", "mlp.up_proj"],
      down: "mlp.down_proj",
      heads: [],
    },
    last: "model.norm",
    head: "lm_head",
  },
  defaults: {
    values: {
      hidden_size: 4096,
      intermediate_size: 11008,
      num_hidden_layers: 32,
      num_attention_heads: 32,
      num_key_value_heads: null,
      head_dim: null,
      hidden_act: "silu",
      max_position_embeddings: 2048,
      rms_norm_eps: 1e-6,
      rope_theta: ROPE_THETA,
      attention_bias: false,
      mlp_bias: false,
    },
    nulls: new Set([...NULLS, "head_dim"]),
  },
  norm: "rms",
  eps: "rms_norm_eps",
  activation: "silu",
  biases: { attention: "attention_bias", output: "attention_bias", mlp: "mlp_bias" },
  rope: { theta: "rope_theta", share: null },
  parallel: false,
  window: "none",
};

const MISTRAL: ModelFamily = {
  ...LLAMA,
  defaults: {
    ...LLAMA.defaults,
    values: {
      ...LLAMA.defaults.values,
      intermediate_size: 14336,
      num_key_value_heads: 8,
      max_position_embeddings: 131072,
      sliding_window: 4096,
    },
  },
  biases: { attention: false, output: false, mlp: false },
  window: "always",
};

const QWEN2: ModelFamily = {
  ...LLAMA,
  defaults: {
    values: {
      ...LLAMA.defaults.values,
      intermediate_size: 22016,
      num_key_value_heads: 32,
      max_position_embeddings: 32768,
      use_sliding_window: false,
      sliding_window: 4096,
      max_window_layers: 28,
    },
    nulls: new Set(NULLS),
  },
  biases: { attention: true, output: false, mlp: false },
  window: "asked",
};

const QWEN3: ModelFamily = {
  ...QWEN2,
  names: {
    ...QWEN2.names,
    layer: { ...QWEN2.names.layer, heads: ["self_attn.q_norm", "self_attn.k_norm"] },
  },
  defaults: { ...QWEN2.defaults, values: { ...QWEN2.defaults.values, head_dim: 128 } },
  biases: { attention: "attention_bias", output: "attention_bias", mlp: false },
};

const GPT_NEOX: ModelFamily = {
  names: {
    body: "gpt_neox.",
    embedding: "gpt_neox.embed_in",
    layers: "gpt_neox.layers.",
    layer: {
      before: "input_layernorm",
      attention: ["attention.query_key_value"],
      output: "attention.dense",
      between: "post_attention_layernorm",
      inner: ["mlp.dense_h_to_4h"],
      down: "mlp.dense_4h_to_h",
      heads: [],
    },
    last: "gpt_neox.final_layer_norm",
    head: "embed_out",
  },
  defaults: {
    values: {
      hidden_size: 6144,
      intermediate_size: 24576,
      num_hidden_layers: 44,
      num_attention_heads: 64,
      hidden_act: "gelu",
      max_position_embeddings: 2048,
      layer_norm_eps: 1e-5,
      rotary_emb_base: ROPE_THETA,
      rotary_pct: 0.25,
      attention_bias: true,
      use_parallel_residual: true,
    },
    nulls: new Set(["head_dim"]),
  },
  norm: "layer",
  eps: "layer_norm_eps",
  activation: "gelu",
  biases: { attention: "attention_bias", output: "attention_bias", mlp: true },
  rope: { theta: "rotary_emb_base", share: "rotary_pct" },
  parallel: true,
  window: "none",
};

/**
 * By model_type of config.json. Sources: transformers 5.23, modeling_*.py and configuration_*.py of
 * models/{llama,mistral,qwen2,qwen3,gpt_neox}. fixtures/inference/configs.json has their defaults for missing keys.
 */
export const MODEL_FAMILIES: ReadonlyMap<string, ModelFamily> = new Map<string, ModelFamily>([
  ["llama", LLAMA],
  ["mistral", MISTRAL],
  ["qwen2", QWEN2],
  ["qwen3", QWEN3],
  ["gpt_neox", GPT_NEOX],
]);

/** Other names of a family, and models whose text part belongs to one. */
const ALIASES: ReadonlyMap<string, { readonly family: string; readonly note: string | null }> = new Map([
  ["llava", { family: "llama", note: "only the text part runs: pictures are ignored" }],
  ["llava_llama", { family: "llama", note: "only the text part runs: pictures are ignored" }],
]);

/** Classes of models, for a config without a model_type, as some of 2023. */
const CLASSES: ReadonlyMap<string, string> = new Map([
  ["LLaMAForCausalLM", "llama"],
  ["LlamaForCausalLM", "llama"],
  ["MistralForCausalLM", "mistral"],
  ["Qwen2ForCausalLM", "qwen2"],
  ["Qwen3ForCausalLM", "qwen3"],
  ["GPTNeoXForCausalLM", "gpt_neox"],
]);

/** The family of a config; null if it is not supported. */
export function familyOf(
  modelType: string | null,
  architecture: string | null,
): { readonly name: string; readonly family: ModelFamily; readonly note: string | null } | null {
  const type = modelType ?? CLASSES.get(architecture ?? "") ?? "";
  const alias = ALIASES.get(type);
  const name = alias?.family ?? type;
  const family = MODEL_FAMILIES.get(name);
  return family === undefined ? null : { name, family, note: alias?.note ?? null };
}
