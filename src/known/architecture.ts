/**
 * What a row of the table of architectures says, and the parts that rows are made of: weights, biases, norms, the layers of LLaMA's
 * kind, experts, towers. The table is in architectures.ts.
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
/** Of norms whose weights are stored as offset from 1 (modeling_gemma.py, GemmaRMSNorm). */
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

/** In the words of LLaMA's config. @param own what the class takes where the config says nothing. */
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

/** Of LLaMA's names. */
export const llamaLike = (
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
  tensors: rowsOf([{ name: EMBEDDING, shape: "V H" }], tensors, norm),
  head: HEAD,
  embedding: EMBEDDING,
});

/** Layers of experts, by the rule of Qwen's mixtures (modeling_qwen3_moe.py, Qwen3MoeDecoderLayer). */
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

/** In the words of GPT-2's config. */
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

/** A tower of CLIP's or SigLIP's kind. @param more rows beside the layers. */
export const tower = (
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
