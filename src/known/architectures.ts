/**
 * The tensors that models of well-known architectures have, and their shapes, by their config: as save_pretrained of transformers
 * 5.23.0 writes them (models/<model type>/modeling_*.py and configuration_*.py), and as they stand on the Hub. Every row is held
 * against transformers itself by test/conformance/architectures.test.ts. Architectures that are not listed are not judged.
 */

/** Values of a config.json, or of a config within one. A key that is absent or of another type is null. */
export interface ConfigValues {
  number(key: string): number | null;
  /** @param otherwise what counts where the key is absent. */
  flag(key: string, otherwise?: boolean): boolean;
  /** Integers; none where there is no list. */
  list(key: string): readonly number[];
}

/** Sizes by letter; null where the config does not tell. */
export type Sizes = Readonly<Record<string, number | null>>;

/** A tensor, or one in every layer, or one in every expert of every layer. */
export interface ArchitectureTensor {
  /** Without what stands before the body's names; "*" is the number of a layer, and a second one that of an expert. */
  readonly name: string;
  /** "Q H": two dimensions, each a letter of the sizes, a number, or a multiple as "3H". */
  readonly shape: string;
  /** In which layers, or models; everywhere without it. */
  readonly when?: (config: ConfigValues, layer: number) => boolean;
  /** Files of other versions hold experts in other tensors: judged only where one of the kind is there. */
  readonly otherwiseStored?: true;
  /** A norm's weights, near 1: a model in which they are all zero gives zeros. */
  readonly scale?: true;
}

export interface Architecture {
  readonly modelType: string;
  /** What its classes begin with: "Llama" for LlamaForCausalLM. A pattern. */
  readonly className: string;
  /** Before the body's names in a model with a head: base_model_prefix. */
  readonly prefix: string;
  /** The body's. V: vocabulary, H: hidden size, L: layers, E: experts; the others are the row's own. */
  readonly sizes: (config: ConfigValues) => Sizes;
  /** The keys of config.json that sizes are read from, for messages. */
  readonly keys: Readonly<Record<string, string>>;
  readonly tensors: readonly ArchitectureTensor[];
  /** The output embedding of a causal language model, by the names that versions give it; null for a tower. */
  readonly head: { readonly names: readonly string[]; readonly shape: string } | null;
  /** Name of the input embedding; null for a tower. */
  readonly embedding: string | null;
}

type When = ArchitectureTensor["when"];
/** Whether, or in which models, a layer has biases. */
type Biased = boolean | NonNullable<When>;
const list = (...rows: readonly (readonly ArchitectureTensor[])[]): readonly ArchitectureTensor[] => rows.flat();
const only = (when: When, rows: readonly ArchitectureTensor[]): readonly ArchitectureTensor[] =>
  rows.map((row) => ({ ...row, ...(when === undefined ? {} : { when }) }));
const weight = (name: string, shape: string): readonly ArchitectureTensor[] => [{ name: `${name}.weight`, shape }];
const bias = (name: string, shape: string): readonly ArchitectureTensor[] => [{ name: `${name}.bias`, shape }];
const rmsNorm = (name: string, shape = "H"): readonly ArchitectureTensor[] => [
  { name: `${name}.weight`, shape, scale: true },
];
/** Of norms whose weights are stored as offset from 1 (modeling_gemma.py, GemmaRMSNorm). */
const offsetNorm = (name: string, shape = "H"): readonly ArchitectureTensor[] => weight(name, shape);
const layerNorm = (name: string, shape = "H"): readonly ArchitectureTensor[] =>
  list(rmsNorm(name, shape), bias(name, shape));
const linear = (name: string, rows: string, columns: string, biased: Biased): readonly ArchitectureTensor[] =>
  list(
    weight(name, `${rows} ${columns}`),
    biased === false ? [] : only(biased === true ? undefined : biased, bias(name, rows)),
  );
const flag =
  (key: string, otherwise = false): NonNullable<When> =>
  (config) =>
    config.flag(key, otherwise);

const times = (...factors: readonly (number | null)[]): number | null =>
  factors.reduce<number | null>(
    (product, factor) => (product === null || factor === null ? null : product * factor),
    1,
  );
const over = (a: number | null, b: number | null): number | null =>
  a === null || b === null || b === 0 || a % b !== 0 ? null : a / b;

/** In the words of LLaMA's config. @param own what the class takes where the config says nothing. */
const llamaSizes =
  (own: { readonly headSize?: "by hidden size"; readonly groups?: "as heads" }) =>
  (config: ConfigValues): Sizes => {
    const heads = config.number("num_attention_heads");
    const hidden = config.number("hidden_size");
    const size = config.number("head_dim") ?? (own.headSize === undefined ? null : over(hidden, heads));
    const groups = config.number("num_key_value_heads") ?? (own.groups === undefined ? null : heads);
    const [query, keys] = [times(heads, size), times(groups, size)];
    return {
      V: config.number("vocab_size"),
      H: hidden,
      I: config.number("intermediate_size"),
      L: config.number("num_hidden_layers"),
      D: size,
      Q: query,
      K: keys,
      P: query === null || keys === null ? null : query + 2 * keys,
    };
  };
const LLAMA_KEYS = {
  V: "vocab_size",
  H: "hidden_size",
  I: "intermediate_size",
  L: "num_hidden_layers",
  D: "head_dim",
  Q: "num_attention_heads",
  K: "num_key_value_heads",
  P: "num_key_value_heads",
} as const;

const LAYER = "layers.*";
const EMBEDDING = "embed_tokens.weight";
const HEAD = { names: ["lm_head.weight"], shape: "V H" } as const;
const attention = (qkv: Biased, out: Biased): readonly ArchitectureTensor[] =>
  list(
    linear(`${LAYER}.self_attn.q_proj`, "Q", "H", qkv),
    linear(`${LAYER}.self_attn.k_proj`, "K", "H", qkv),
    linear(`${LAYER}.self_attn.v_proj`, "K", "H", qkv),
    linear(`${LAYER}.self_attn.o_proj`, "H", "Q", out),
  );
const mlp = (part: string, size: string, biased: Biased): readonly ArchitectureTensor[] =>
  list(
    linear(`${part}.gate_proj`, size, "H", biased),
    linear(`${part}.up_proj`, size, "H", biased),
    linear(`${part}.down_proj`, "H", size, biased),
  );
const LLAMA_NORMS = list(rmsNorm(`${LAYER}.input_layernorm`), rmsNorm(`${LAYER}.post_attention_layernorm`));
const HEAD_NORMS = list(rmsNorm(`${LAYER}.self_attn.q_norm`, "D"), rmsNorm(`${LAYER}.self_attn.k_norm`, "D"));

/** Of LLaMA's names. */
const llamaLike = (
  modelType: string,
  className: string,
  sizes: Architecture["sizes"],
  tensors: readonly ArchitectureTensor[],
  norm: readonly ArchitectureTensor[] = rmsNorm("norm"),
): Architecture => ({
  modelType,
  className,
  prefix: "model.",
  sizes,
  keys: LLAMA_KEYS,
  tensors: list([{ name: EMBEDDING, shape: "V H" }], tensors, norm),
  head: HEAD,
  embedding: EMBEDDING,
});

/** Layers of experts, by the rule of Qwen's mixtures (modeling_qwen3_moe.py, Qwen3MoeDecoderLayer). */
const isSparse: NonNullable<When> = (config, layer) =>
  !config.list("mlp_only_layers").includes(layer) && (layer + 1) % (config.number("decoder_sparse_step") ?? 1) === 0;
const isDense: NonNullable<When> = (config, layer) => !isSparse(config, layer);
const experts = (part: string, names: readonly [string, string, string], size: string) =>
  otherwiseStored(
    list(
      weight(`${part}.experts.*.${names[0]}`, `${size} H`),
      weight(`${part}.experts.*.${names[1]}`, `${size} H`),
      weight(`${part}.experts.*.${names[2]}`, `H ${size}`),
    ),
  );
const otherwiseStored = (rows: readonly ArchitectureTensor[]): readonly ArchitectureTensor[] =>
  rows.map((row) => ({ ...row, otherwiseStored: true }));
const numberOfExperts = (config: ConfigValues): number | null =>
  config.number("num_experts") ?? config.number("num_local_experts");

const GEMMA = llamaSizes({});
const gemmaNorms = (...names: readonly string[]): readonly ArchitectureTensor[] =>
  list(...names.map((name) => offsetNorm(`${LAYER}.${name}`)));
const GEMMA_2_NORMS = gemmaNorms(
  "input_layernorm",
  "post_attention_layernorm",
  "pre_feedforward_layernorm",
  "post_feedforward_layernorm",
);

/** In the words of GPT-2's config. */
const gptSizes = (config: ConfigValues): Sizes => {
  const hidden = config.number("n_embd");
  return {
    V: config.number("vocab_size"),
    H: hidden,
    I: config.number("n_inner") ?? times(4, hidden),
    L: config.number("n_layer"),
    N: config.number("n_positions"),
  };
};
const GPT_KEYS = { V: "vocab_size", H: "n_embd", I: "n_inner", L: "n_layer", N: "n_positions" } as const;

/** A tower of CLIP's or SigLIP's kind. @param more rows beside the layers. */
const tower = (
  modelType: string,
  more: readonly ArchitectureTensor[],
  places: (patches: number) => number,
): Architecture => ({
  modelType,
  className: "",
  prefix: "",
  sizes: (config) => {
    const [image, patch] = [config.number("image_size"), config.number("patch_size")];
    const side = image === null || patch === null || patch === 0 ? null : Math.floor(image / patch);
    return {
      H: config.number("hidden_size"),
      I: config.number("intermediate_size"),
      L: config.number("num_hidden_layers"),
      C: config.number("num_channels"),
      S: patch,
      N: side === null ? null : places(side * side),
    };
  },
  keys: {
    H: "hidden_size",
    I: "intermediate_size",
    L: "num_hidden_layers",
    C: "num_channels",
    S: "patch_size",
    N: "image_size",
  },
  tensors: list(
    more,
    [{ name: "embeddings.position_embedding.weight", shape: "N H" }],
    ...["q_proj", "k_proj", "v_proj", "out_proj"].map((name) =>
      linear(`encoder.layers.*.self_attn.${name}`, "H", "H", true),
    ),
    layerNorm("encoder.layers.*.layer_norm1"),
    layerNorm("encoder.layers.*.layer_norm2"),
    linear("encoder.layers.*.mlp.fc1", "I", "H", true),
    linear("encoder.layers.*.mlp.fc2", "H", "I", true),
    layerNorm("post_layernorm"),
  ),
  head: null,
  embedding: null,
});

const ROWS: readonly Architecture[] = [
  llamaLike(
    "llama",
    "(?:Llama|LLaMA)",
    llamaSizes({ headSize: "by hidden size", groups: "as heads" }),
    list(
      attention(flag("attention_bias"), flag("attention_bias")),
      mlp(`${LAYER}.mlp`, "I", flag("mlp_bias")),
      LLAMA_NORMS,
    ),
  ),
  llamaLike(
    "mistral",
    "Mistral",
    llamaSizes({ headSize: "by hidden size" }),
    list(attention(false, false), mlp(`${LAYER}.mlp`, "I", false), LLAMA_NORMS),
  ),
  llamaLike(
    "qwen2",
    "Qwen2",
    llamaSizes({ headSize: "by hidden size" }),
    list(attention(true, false), mlp(`${LAYER}.mlp`, "I", false), LLAMA_NORMS),
  ),
  llamaLike(
    "qwen3",
    "Qwen3",
    llamaSizes({}),
    list(
      attention(flag("attention_bias"), flag("attention_bias")),
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
    list(
      attention(flag("attention_bias"), flag("attention_bias")),
      HEAD_NORMS,
      only(isDense, mlp(`${LAYER}.mlp`, "I", false)),
      only(isSparse, weight(`${LAYER}.mlp.gate`, "E H")),
      only(isSparse, experts(`${LAYER}.mlp`, ["gate_proj", "up_proj", "down_proj"], "M")),
      LLAMA_NORMS,
    ),
  ),
  llamaLike(
    "mixtral",
    "Mixtral",
    (config) => ({ ...llamaSizes({ headSize: "by hidden size" })(config), E: numberOfExperts(config) }),
    list(
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
    list(
      attention(flag("attention_bias"), flag("attention_bias")),
      mlp(`${LAYER}.mlp`, "I", false),
      gemmaNorms("input_layernorm", "post_attention_layernorm"),
    ),
    offsetNorm("norm"),
  ),
  llamaLike(
    "gemma2",
    "Gemma2",
    GEMMA,
    list(attention(flag("attention_bias"), flag("attention_bias")), mlp(`${LAYER}.mlp`, "I", false), GEMMA_2_NORMS),
    offsetNorm("norm"),
  ),
  llamaLike(
    "gemma3_text",
    "Gemma3(?:Text)?",
    GEMMA,
    list(
      attention(flag("attention_bias"), flag("attention_bias")),
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
    list(
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
    tensors: list(
      [{ name: "embed_in.weight", shape: "V H" }],
      layerNorm(`${LAYER}.input_layernorm`),
      layerNorm(`${LAYER}.post_attention_layernorm`),
      linear(`${LAYER}.attention.query_key_value`, "3H", "H", flag("attention_bias", true)),
      linear(`${LAYER}.attention.dense`, "H", "H", flag("attention_bias", true)),
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
    // Matrices of Conv1D: input size first (pytorch_utils.py).
    tensors: list(
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
    tensors: list(
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
        // Of the embeddings: 512 in OPT-350m, whose hidden size is 1024.
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
    tensors: list(
      [
        { name: "decoder.embed_tokens.weight", shape: "V W" },
        { name: "decoder.embed_positions.weight", shape: "N H" },
      ],
      ...["q_proj", "k_proj", "v_proj", "out_proj"].map((name) =>
        linear(`decoder.layers.*.self_attn.${name}`, "H", "H", flag("enable_bias", true)),
      ),
      linear("decoder.layers.*.fc1", "I", "H", flag("enable_bias", true)),
      linear("decoder.layers.*.fc2", "H", "I", flag("enable_bias", true)),
      only(
        flag("layer_norm_elementwise_affine", true),
        list(layerNorm("decoder.layers.*.self_attn_layer_norm"), layerNorm("decoder.layers.*.final_layer_norm")),
      ),
      // OPT-350m has none (modeling_opt.py, OPTDecoder).
      only(
        (config) =>
          config.flag("do_layer_norm_before", true) &&
          !config.flag("_remove_final_layer_norm") &&
          config.flag("layer_norm_elementwise_affine", true),
        layerNorm("decoder.final_layer_norm"),
      ),
      only(isProjected, list(weight("decoder.project_in", "H W"), weight("decoder.project_out", "W H"))),
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
    tensors: list(
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
    list(
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
export const ARCHITECTURES: ReadonlyMap<string, Architecture> = new Map(ROWS.map((row) => [row.modelType, row]));

function isProjected(config: ConfigValues): boolean {
  const width = config.number("word_embed_proj_dim");
  return width !== null && config.number("hidden_size") !== null && width !== config.number("hidden_size");
}

/**
 * Models whose language model is one of the above, by its own config in text_config, and that have it where LANGUAGE_MODELS says.
 * Their towers are judged if vision_config names one of the above.
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

/** Body and head: until transformers 4.51, and on the Hub; from 4.52 on; of the model without a head. */
export const LANGUAGE_MODELS: readonly { readonly prefix: string; readonly head: string }[] = [
  { prefix: "language_model.model.", head: "language_model." },
  { prefix: "model.language_model.", head: "" },
  { prefix: "language_model.", head: "" },
];
