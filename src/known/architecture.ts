/**
 * The type of a row in the table of architectures, and the parts from which rows are made: weights, biases, norms, LLaMA-like layers,
 * experts, towers. The table is in architectures.ts.
 */

/** Values of a config.json, or of a config inside one. A key that is absent or of another type gives null. */
export interface ConfigValues {
  number(key: string): number | null;
  /** @param otherwise the value if the key is absent. */
  flag(key: string, otherwise?: boolean): boolean;
  /** Integers; empty if the key holds no list. */
  list(key: string): readonly number[];
}

/** Sizes by letter; null if the config does not tell. */
export type Sizes = Readonly<Record<string, number | null>>;

/** A tensor, a tensor in every layer, or a tensor in every expert of every layer. */
export interface ArchitectureTensor {
  /** The name without the prefix of the body. The first "*" is the number of a layer, the second that of an expert. */
  readonly name: string;
  /** For example "Q H" for two dimensions. Each is a letter of `sizes`, a number, or a multiple such as "3H". */
  readonly shape: string;
  /** In which layers or models the tensor exists. Left out for all. */
  readonly when?: (config: ConfigValues, layer: number) => boolean;
  /** Files of other versions store experts in other tensors, so these are judged only if one of them exists. */
  readonly otherwiseStored?: true;
  /** A norm's weights, near 1. If they are all zero, the model outputs zeros. */
  readonly scale?: true;
}

export interface KnownArchitecture {
  readonly modelType: string;
  /** A pattern for the start of its class names: "Llama" for LlamaForCausalLM. */
  readonly className: string;
  /** The text before the body's names in a model with a head: base_model_prefix. */
  readonly prefix: string;
  /** The sizes of the body. V: vocabulary, H: hidden size, L: layers, E: experts; other letters belong to the row. */
  readonly sizes: (config: ConfigValues) => Sizes;
  /** The keys of config.json that sizes are read from, for messages. */
  readonly keys: Readonly<Record<string, string>>;
  readonly tensors: readonly ArchitectureTensor[];
  /** The output embedding of a causal language model, by the names that different versions give it; null for a tower. */
  readonly head: { readonly names: readonly string[]; readonly shape: string } | null;
  /** Name of the input embedding; null for a tower. */
  readonly embedding: string | null;
}

type When = ArchitectureTensor["when"];
/** Whether, or in which models, a layer has biases. */
type Biased = boolean | NonNullable<When>;
export const rowsOf = (...rows: readonly (readonly ArchitectureTensor[])[]): readonly ArchitectureTensor[] =>
  rows.flat();
export const onlyWhen = (when: When, rows: readonly ArchitectureTensor[]): readonly ArchitectureTensor[] =>
  rows.map((row) => ({ ...row, ...(when === undefined ? {} : { when }) }));
export const weight = (name: string, shape: string): readonly ArchitectureTensor[] => [
  { name: `${name}.weight`, shape },
];
export const bias = (name: string, shape: string): readonly ArchitectureTensor[] => [{ name: `${name}.bias`, shape }];
const rmsNorm = (name: string, shape = "H"): readonly ArchitectureTensor[] => [
  { name: `${name}.weight`, shape, scale: true },
];
/** Norms whose weights are stored as an offset from 1 (modeling_gemma.py, GemmaRMSNorm). */
export const offsetNorm = (name: string, shape = "H"): readonly ArchitectureTensor[] => weight(name, shape);
export const layerNorm = (name: string, shape = "H"): readonly ArchitectureTensor[] =>
  rowsOf(rmsNorm(name, shape), bias(name, shape));
export const linear = (name: string, rows: string, columns: string, biased: Biased): readonly ArchitectureTensor[] =>
  rowsOf(
    weight(name, `${rows} ${columns}`),
    biased === false ? [] : onlyWhen(biased === true ? undefined : biased, bias(name, rows)),
  );
export const configFlag =
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

/** Sizes by the keys of LLaMA's config. @param own the defaults of the class. */
export const llamaSizes =
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
export const LLAMA_KEYS = {
  V: "vocab_size",
  H: "hidden_size",
  I: "intermediate_size",
  L: "num_hidden_layers",
  D: "head_dim",
  Q: "num_attention_heads",
  K: "num_key_value_heads",
  P: "num_key_value_heads",
} as const;

export const LAYER = "layers.*";
const EMBEDDING = "embed_tokens.weight";
export const HEAD = { names: ["lm_head.weight"], shape: "V H" } as const;
export const attention = (qkv: Biased, out: Biased): readonly ArchitectureTensor[] =>
  rowsOf(
    linear(`${LAYER}.self_attn.q_proj`, "Q", "H", qkv),
    linear(`${LAYER}.self_attn.k_proj`, "K", "H", qkv),
    linear(`${LAYER}.self_attn.v_proj`, "K", "H", qkv),
    linear(`${LAYER}.self_attn.o_proj`, "H", "Q", out),
  );
export const mlp = (part: string, size: string, biased: Biased): readonly ArchitectureTensor[] =>
  rowsOf(
    linear(`${part}.gate_proj`, size, "H", biased),
    linear(`${part}.up_proj`, size, "H", biased),
    linear(`${part}.down_proj`, "H", size, biased),
  );
export const LLAMA_NORMS = rowsOf(rmsNorm(`${LAYER}.input_layernorm`), rmsNorm(`${LAYER}.post_attention_layernorm`));
export const HEAD_NORMS = rowsOf(rmsNorm(`${LAYER}.self_attn.q_norm`, "D"), rmsNorm(`${LAYER}.self_attn.k_norm`, "D"));

/** The tensors of a model with LLaMA's names. */
export const llamaLike = (
  modelType: string,
  className: string,
  sizes: KnownArchitecture["sizes"],
  tensors: readonly ArchitectureTensor[],
  norm: readonly ArchitectureTensor[] = rmsNorm("norm"),
): KnownArchitecture => ({
  modelType,
  className,
  prefix: "model.",
  sizes,
  keys: LLAMA_KEYS,
  tensors: rowsOf([{ name: EMBEDDING, shape: "V H" }], tensors, norm),
  head: HEAD,
  embedding: EMBEDDING,
});

/** Which layers have experts, by the rule of Qwen's mixtures (modeling_qwen3_moe.py, Qwen3MoeDecoderLayer). */
export const isSparse: NonNullable<When> = (config, layer) =>
  !config.list("mlp_only_layers").includes(layer) && (layer + 1) % (config.number("decoder_sparse_step") ?? 1) === 0;
export const isDense: NonNullable<When> = (config, layer) => !isSparse(config, layer);
export const experts = (part: string, names: readonly [string, string, string], size: string) =>
  otherwiseStored(
    rowsOf(
      weight(`${part}.experts.*.${names[0]}`, `${size} H`),
      weight(`${part}.experts.*.${names[1]}`, `${size} H`),
      weight(`${part}.experts.*.${names[2]}`, `H ${size}`),
    ),
  );
export const otherwiseStored = (rows: readonly ArchitectureTensor[]): readonly ArchitectureTensor[] =>
  rows.map((row) => ({ ...row, otherwiseStored: true }));
export const numberOfExperts = (config: ConfigValues): number | null =>
  config.number("num_experts") ?? config.number("num_local_experts");

export const GEMMA = llamaSizes({});
export const gemmaNorms = (...names: readonly string[]): readonly ArchitectureTensor[] =>
  rowsOf(...names.map((name) => offsetNorm(`${LAYER}.${name}`)));
export const GEMMA_2_NORMS = gemmaNorms(
  "input_layernorm",
  "post_attention_layernorm",
  "pre_feedforward_layernorm",
  "post_feedforward_layernorm",
);

/** Sizes by the keys of GPT-2's config. */
export const gptSizes = (config: ConfigValues): Sizes => {
  const hidden = config.number("n_embd");
  return {
    V: config.number("vocab_size"),
    H: hidden,
    I: config.number("n_inner") ?? times(4, hidden),
    L: config.number("n_layer"),
    N: config.number("n_positions"),
  };
};
export const GPT_KEYS = { V: "vocab_size", H: "n_embd", I: "n_inner", L: "n_layer", N: "n_positions" } as const;

/** A tower like CLIP's or SigLIP's. @param more tensors outside the layers. */
export const tower = (
  modelType: string,
  more: readonly ArchitectureTensor[],
  places: (patches: number) => number,
): KnownArchitecture => ({
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
  tensors: rowsOf(
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
