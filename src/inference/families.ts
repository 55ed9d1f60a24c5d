/** The families that run, as data: how their tensors are called and what is computed between the matrices. Add a row to add a family. */

/** A layer, by the names of its tensors after the layer's own prefix, without ".weight" and ".bias". */
export interface LayerNames {
  readonly before: string;
  /** Matrices of one input whose products are the queries, keys and values: one each, or one for all of them, head by head. */
  readonly attention: readonly string[];
  readonly output: string;
  readonly between: string;
  /** The gate and what it lets through; or what the activation is applied to. */
  readonly inner: readonly string[];
  readonly down: string;
  /** Norms of each head's queries and keys; none. */
  readonly heads: readonly string[];
}

export interface Family {
  readonly embedding: string;
  readonly layers: string;
  readonly layer: LayerNames;
  readonly last: string;
  readonly head: string;
  /** "rms": weight only. "layer": mean taken away, weight and bias. */
  readonly norm: "rms" | "layer";
  readonly eps: { readonly key: string; readonly value: number };
  /** config.json's name of the activation that runs. */
  readonly activation: "silu" | "gelu";
  /** Elements of a head that turn: all of them, or a share that the config names. */
  readonly turns: { readonly keys: readonly string[]; readonly value: number } | null;
  /** May attention and MLP read the same input? */
  readonly parallel: boolean;
  /** "always": the config's sliding_window is used, 4096 without the key. "asked": only where use_sliding_window is true, which does not run. */
  readonly window: "none" | "always" | "asked";
}

const LLAMA: Family = {
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
  norm: "rms",
  eps: { key: "rms_norm_eps", value: 1e-6 },
  activation: "silu",
  turns: null,
  parallel: false,
  window: "none",
};

/** By config.json's model_type. Sources: transformers 5.23, models/{llama,mistral,qwen2,qwen3,gpt_neox}/modeling_*.py. */
export const FAMILIES: ReadonlyMap<string, Family> = new Map<string, Family>([
  ["llama", LLAMA],
  ["mistral", { ...LLAMA, window: "always" }],
  ["qwen2", { ...LLAMA, window: "asked" }],
  ["qwen3", { ...LLAMA, layer: { ...LLAMA.layer, heads: ["self_attn.q_norm", "self_attn.k_norm"] }, window: "asked" }],
  [
    "gpt_neox",
    {
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
      norm: "layer",
      eps: { key: "layer_norm_eps", value: 1e-5 },
      activation: "gelu",
      turns: { keys: ["rotary_pct", "partial_rotary_factor"], value: 0.25 },
      parallel: true,
      window: "none",
    },
  ],
]);

/** Other names of a family, and models whose text part is one of it. */
const ALIASES: ReadonlyMap<string, { readonly family: string; readonly note: string | null }> = new Map([
  ["llava", { family: "llama", note: "only the text part runs: pictures are not looked at" }],
  ["llava_llama", { family: "llama", note: "only the text part runs: pictures are not looked at" }],
]);

/** Classes of configs that name no model_type, as some of 2023 do. */
const CLASSES: ReadonlyMap<string, string> = new Map([
  ["LLaMAForCausalLM", "llama"],
  ["LlamaForCausalLM", "llama"],
  ["MistralForCausalLM", "mistral"],
  ["GPTNeoXForCausalLM", "gpt_neox"],
]);

/** The family of a config; null where it does not run. */
export function familyOf(
  modelType: string | null,
  architecture: string | null,
): { readonly name: string; readonly family: Family; readonly note: string | null } | null {
  const type = modelType ?? CLASSES.get(architecture ?? "") ?? "";
  const alias = ALIASES.get(type);
  const name = alias?.family ?? type;
  const family = FAMILIES.get(name);
  return family === undefined ? null : { name, family, note: alias?.note ?? null };
}
