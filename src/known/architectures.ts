/**
 * The tensors of well-known architectures and their shapes, derived from their config: as save_pretrained of transformers 5.23.0 writes
 * them (models/<model type>/modeling_*.py and configuration_*.py), and as they are on the Hub. test/conformance/architectures.test.ts
 * compares every row with transformers itself. Other architectures are not judged.
 */

import {
  attention,
  bias,
  type ConfigValues,
  configFlag,
  experts,
  GEMMA,
  GEMMA_2_NORMS,
  GPT_KEYS,
  gemmaNorms,
  gptSizes,
  HEAD,
  HEAD_NORMS,
  isDense,
  isSparse,
  type KnownArchitecture,
  LAYER,
  LLAMA_KEYS,
  LLAMA_NORMS,
  layerNorm,
  linear,
  llamaLike,
  llamaSizes,
  mlp,
  numberOfExperts,
  offsetNorm,
  onlyWhen,
  otherwiseStored,
  rowsOf,
  tower,
  weight,
} from "./architecture.js";

const ROWS: readonly KnownArchitecture[] = [
  llamaLike(
    "llama",
    "(?:Llama|LLaMA)",
    llamaSizes({ headSize: "by hidden size", groups: "as heads" }),
    rowsOf(
      attention(configFlag("attention_bias"), configFlag("attention_bias")),
      mlp(`${LAYER}.mlp`, "I", configFlag("mlp_bias")),
      LLAMA_NORMS,
    ),
  ),
  llamaLike(
    "mistral",
    "Mistral",
    llamaSizes({ headSize: "by hidden size" }),
    rowsOf(attention(false, false), mlp(`${LAYER}.mlp`, "I", false), LLAMA_NORMS),
  ),
  llamaLike(
    "qwen2",
    "Qwen2",
    llamaSizes({ headSize: "by hidden size" }),
    rowsOf(attention(true, false), mlp(`${LAYER}.mlp`, "I", false), LLAMA_NORMS),
  ),
  llamaLike(
    "qwen3",
    "Qwen3",
    llamaSizes({}),
    rowsOf(
      attention(configFlag("attention_bias"), configFlag("attention_bias")),
      HEAD_NORMS,
      mlp(`${LAYER}.mlp`, "I", false),
      LLAMA_NORMS,
    ),
  ),
  llamaLike(
    "qwen3_moe",
    "Qwen3Moe",
    (config) => ({
      ...llamaSizes({ headSize: "by hidden size" })(config),
      M: config.number("moe_intermediate_size"),
      E: numberOfExperts(config),
    }),
    rowsOf(
      attention(configFlag("attention_bias"), configFlag("attention_bias")),
      HEAD_NORMS,
      onlyWhen(isDense, mlp(`${LAYER}.mlp`, "I", false)),
      onlyWhen(isSparse, weight(`${LAYER}.mlp.gate`, "E H")),
      onlyWhen(isSparse, experts(`${LAYER}.mlp`, ["gate_proj", "up_proj", "down_proj"], "M")),
      LLAMA_NORMS,
    ),
  ),
  llamaLike(
    "mixtral",
    "Mixtral",
    (config) => ({ ...llamaSizes({ headSize: "by hidden size" })(config), E: numberOfExperts(config) }),
    rowsOf(
      attention(false, false),
      otherwiseStored(weight(`${LAYER}.block_sparse_moe.gate`, "E H")),
      experts(`${LAYER}.block_sparse_moe`, ["w1", "w3", "w2"], "I"),
      LLAMA_NORMS,
    ),
  ),
  llamaLike(
    "gemma",
    "Gemma",
    GEMMA,
    rowsOf(
      attention(configFlag("attention_bias"), configFlag("attention_bias")),
      mlp(`${LAYER}.mlp`, "I", false),
      gemmaNorms("input_layernorm", "post_attention_layernorm"),
    ),
    offsetNorm("norm"),
  ),
  llamaLike(
    "gemma2",
    "Gemma2",
    GEMMA,
    rowsOf(
      attention(configFlag("attention_bias"), configFlag("attention_bias")),
      mlp(`${LAYER}.mlp`, "I", false),
      GEMMA_2_NORMS,
    ),
    offsetNorm("norm"),
  ),
  llamaLike(
    "gemma3_text",
    "Gemma3(?:Text)?",
    GEMMA,
    rowsOf(
      attention(configFlag("attention_bias"), configFlag("attention_bias")),
      offsetNorm(`${LAYER}.self_attn.q_norm`, "D"),
      offsetNorm(`${LAYER}.self_attn.k_norm`, "D"),
      mlp(`${LAYER}.mlp`, "I", false),
      GEMMA_2_NORMS,
    ),
    offsetNorm("norm"),
  ),
  llamaLike(
    "phi3",
    "Phi3",
    llamaSizes({ headSize: "by hidden size", groups: "as heads" }),
    rowsOf(
      weight(`${LAYER}.self_attn.qkv_proj`, "P H"),
      weight(`${LAYER}.self_attn.o_proj`, "H Q"),
      weight(`${LAYER}.mlp.gate_up_proj`, "2I H"),
      weight(`${LAYER}.mlp.down_proj`, "H I"),
      LLAMA_NORMS,
    ),
  ),
  {
    modelType: "gpt_neox",
    className: "GPTNeoX",
    prefix: "gpt_neox.",
    sizes: (config) => ({
      V: config.number("vocab_size"),
      H: config.number("hidden_size"),
      I: config.number("intermediate_size"),
      L: config.number("num_hidden_layers"),
    }),
    keys: LLAMA_KEYS,
    tensors: rowsOf(
      [{ name: "embed_in.weight", shape: "V H" }],
      layerNorm(`${LAYER}.input_layernorm`),
      layerNorm(`${LAYER}.post_attention_layernorm`),
      linear(`${LAYER}.attention.query_key_value`, "3H", "H", configFlag("attention_bias", true)),
      linear(`${LAYER}.attention.dense`, "H", "H", configFlag("attention_bias", true)),
      linear(`${LAYER}.mlp.dense_h_to_4h`, "I", "H", true),
      linear(`${LAYER}.mlp.dense_4h_to_h`, "H", "I", true),
      layerNorm("final_layer_norm"),
    ),
    head: { names: ["embed_out.weight", "lm_head.weight"], shape: "V H" },
    embedding: "embed_in.weight",
  },
  {
    modelType: "gpt2",
    className: "GPT2",
    prefix: "transformer.",
    sizes: gptSizes,
    keys: GPT_KEYS,
    // Conv1D stores its matrices with the input size first (pytorch_utils.py).
    tensors: rowsOf(
      [
        { name: "wte.weight", shape: "V H" },
        { name: "wpe.weight", shape: "N H" },
      ],
      layerNorm("h.*.ln_1"),
      weight("h.*.attn.c_attn", "H 3H"),
      bias("h.*.attn.c_attn", "3H"),
      linear("h.*.attn.c_proj", "H", "H", true),
      layerNorm("h.*.ln_2"),
      weight("h.*.mlp.c_fc", "H I"),
      bias("h.*.mlp.c_fc", "I"),
      weight("h.*.mlp.c_proj", "I H"),
      bias("h.*.mlp.c_proj", "H"),
      layerNorm("ln_f"),
    ),
    head: HEAD,
    embedding: "wte.weight",
  },
  {
    modelType: "gptj",
    className: "GPTJ",
    prefix: "transformer.",
    sizes: gptSizes,
    keys: GPT_KEYS,
    tensors: rowsOf(
      [{ name: "wte.weight", shape: "V H" }],
      layerNorm("h.*.ln_1"),
      ...["q_proj", "k_proj", "v_proj", "out_proj"].map((name) => weight(`h.*.attn.${name}`, "H H")),
      linear("h.*.mlp.fc_in", "I", "H", true),
      linear("h.*.mlp.fc_out", "H", "I", true),
      layerNorm("ln_f"),
    ),
    head: HEAD,
    embedding: "wte.weight",
  },
  {
    modelType: "opt",
    className: "OPT",
    prefix: "model.",
    sizes: (config) => {
      const [hidden, positions] = [config.number("hidden_size"), config.number("max_position_embeddings")];
      return {
        V: config.number("vocab_size"),
        H: hidden,
        // The width of the embeddings: 512 in OPT-350m, whose hidden size is 1024.
        W: config.number("word_embed_proj_dim") ?? hidden,
        I: config.number("ffn_dim"),
        L: config.number("num_hidden_layers"),
        N: positions === null ? null : positions + 2,
      };
    },
    keys: {
      V: "vocab_size",
      H: "hidden_size",
      W: "word_embed_proj_dim",
      I: "ffn_dim",
      L: "num_hidden_layers",
      N: "max_position_embeddings",
    },
    tensors: rowsOf(
      [
        { name: "decoder.embed_tokens.weight", shape: "V W" },
        { name: "decoder.embed_positions.weight", shape: "N H" },
      ],
      ...["q_proj", "k_proj", "v_proj", "out_proj"].map((name) =>
        linear(`decoder.layers.*.self_attn.${name}`, "H", "H", configFlag("enable_bias", true)),
      ),
      linear("decoder.layers.*.fc1", "I", "H", configFlag("enable_bias", true)),
      linear("decoder.layers.*.fc2", "H", "I", configFlag("enable_bias", true)),
      onlyWhen(
        configFlag("layer_norm_elementwise_affine", true),
        rowsOf(layerNorm("decoder.layers.*.self_attn_layer_norm"), layerNorm("decoder.layers.*.final_layer_norm")),
      ),
      // OPT-350m has none (modeling_opt.py, OPTDecoder).
      onlyWhen(
        (config) =>
          config.flag("do_layer_norm_before", true) &&
          !config.flag("_remove_final_layer_norm") &&
          config.flag("layer_norm_elementwise_affine", true),
        layerNorm("decoder.final_layer_norm"),
      ),
      onlyWhen(isProjected, rowsOf(weight("decoder.project_in", "H W"), weight("decoder.project_out", "W H"))),
    ),
    head: { names: ["lm_head.weight"], shape: "V W" },
    embedding: "decoder.embed_tokens.weight",
  },
  {
    modelType: "bloom",
    className: "Bloom",
    prefix: "transformer.",
    sizes: (config) => {
      const hidden = config.number("n_embed") ?? config.number("hidden_size");
      return {
        V: config.number("vocab_size"),
        H: hidden,
        L: config.number("n_layer") ?? config.number("num_hidden_layers"),
      };
    },
    keys: { V: "vocab_size", H: "hidden_size", L: "n_layer" },
    tensors: rowsOf(
      [{ name: "word_embeddings.weight", shape: "V H" }],
      layerNorm("word_embeddings_layernorm"),
      layerNorm("h.*.input_layernorm"),
      linear("h.*.self_attention.query_key_value", "3H", "H", true),
      linear("h.*.self_attention.dense", "H", "H", true),
      layerNorm("h.*.post_attention_layernorm"),
      linear("h.*.mlp.dense_h_to_4h", "4H", "H", true),
      linear("h.*.mlp.dense_4h_to_h", "H", "4H", true),
      layerNorm("ln_f"),
    ),
    head: HEAD,
    embedding: "word_embeddings.weight",
  },
  tower(
    "clip_vision_model",
    rowsOf(
      [
        { name: "embeddings.class_embedding", shape: "H" },
        { name: "embeddings.patch_embedding.weight", shape: "H C S S" },
      ],
      layerNorm("pre_layrnorm"),
    ),
    (patches) => patches + 1,
  ),
  tower(
    "siglip_vision_model",
    [
      { name: "embeddings.patch_embedding.weight", shape: "H C S S" },
      { name: "embeddings.patch_embedding.bias", shape: "H" },
    ],
    (patches) => patches,
  ),
];

/** By model type. */
export const ARCHITECTURES: ReadonlyMap<string, KnownArchitecture> = new Map(ROWS.map((row) => [row.modelType, row]));

function isProjected(config: ConfigValues): boolean {
  const width = config.number("word_embed_proj_dim");
  return width !== null && config.number("hidden_size") !== null && width !== config.number("hidden_size");
}

/**
 * Models whose language model is one of the above, with its own config in text_config, at the place that LANGUAGE_MODELS gives. Their
 * towers are judged if vision_config names one of the above.
 */
export const COMPOSITES: ReadonlySet<string> = new Set([
  "llava",
  "llava_next",
  "llava_next_video",
  "llava_onevision",
  "mistral3",
  "paligemma",
  "video_llava",
  "vipllava",
]);

/** Prefixes of body and head: up to transformers 4.51, and on the Hub; from 4.52 on; in a model without a head. */
export const LANGUAGE_MODELS: readonly { readonly prefix: string; readonly head: string }[] = [
  { prefix: "language_model.model.", head: "language_model." },
  { prefix: "model.language_model.", head: "" },
  { prefix: "language_model.", head: "" },
];
