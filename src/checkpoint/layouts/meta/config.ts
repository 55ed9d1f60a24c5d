/**
 * The config.json and generation_config.json that a model in Meta's layout comes without: what transformers' converter of the
 * LLaMA-1 era writes for it (4.28.1, convert_llama_weights_to_hf.py and the defaults of LlamaConfig), from the shapes and
 * params.json. For Llama 3, which that converter did not know, what 4.44.2 writes (the same file, lines 93 and 282 to 305). No
 * version of transformers is claimed.
 */
import { type Dtype, torchName } from "../../../formats/dtype.js";
import { ROPE_THETA } from "../../../kernel/inv-freq.js";
import type { MetaModel } from "./layout.js";
import type { MetaParams } from "./params.js";

/** Ids in the tokenizer.model of LLaMA and Llama 2. It has no padding token; transformers wrote 0. */
const TOKENS = { bos_token_id: 1, eos_token_id: 2, pad_token_id: 0 } as const;
/** Ids of a Llama 3 base model. transformers writes nothing about padding. */
const TOKENS_OF_3 = { bos_token_id: 128_000, eos_token_id: 128_001, pad_token_id: undefined } as const;
/** Tokens in the tokenizer of Llama 3. Earlier ones have 32,000, Code Llama 16 more. */
const VOCABULARY_OF_3 = 128_256;
/** The largest LLaMA-1 has the epsilon of Llama 2, but no Llama 2 has its shape. */
const LARGEST_FIRST = 22_016;

/** Text of config.json. Without params.json, it leaves out the values that only that file states. */
export function metaConfigText(model: MetaModel, params: MetaParams | null): string {
  const { hiddenSize, layers, heads, keyValueHeads, intermediateSize, vocabulary, tensors } = model;
  const dtype: Dtype = tensors[0]?.dtype ?? "F16";
  const tokens = tokensOf(vocabulary);
  const values: readonly (readonly [key: string, value: unknown])[] = [
    ["architectures", ["LlamaForCausalLM"]],
    ["bos_token_id", tokens.bos_token_id],
    ["eos_token_id", tokens.eos_token_id],
    ["hidden_act", "silu"],
    ["hidden_size", hiddenSize],
    ["initializer_range", 0.02],
    ["intermediate_size", intermediateSize],
    ...(params === null ? [] : [["max_position_embeddings", positionsOf(model, params)] as const]),
    ["model_type", "llama"],
    ["num_attention_heads", heads],
    ["num_hidden_layers", layers],
    ...(keyValueHeads === heads ? [] : [["num_key_value_heads", keyValueHeads] as const]),
    ["pad_token_id", tokens.pad_token_id],
    ...(params === null ? [] : [["rms_norm_eps", params.normEps] as const]),
    ...(params?.ropeTheta === null || params === null ? [] : [["rope_theta", params.ropeTheta] as const]),
    ["tie_word_embeddings", false],
    ["torch_dtype", torchName(dtype)],
    ["use_cache", true],
    ["vocab_size", vocabulary],
  ];
  return objectText(values);
}

/** Text of generation_config.json. @param vocabulary number of tokens of the model; null if unknown. */
export function generationConfigText(vocabulary: number | null): string {
  return objectText([["_from_model_config", true], ...Object.entries(tokensOf(vocabulary ?? 0))]);
}

function tokensOf(vocabulary: number): typeof TOKENS | typeof TOKENS_OF_3 {
  return vocabulary >= VOCABULARY_OF_3 ? TOKENS_OF_3 : TOKENS;
}

/**
 * The context length that the model was trained with: LLaMA-1 2048, Llama 2 4096, Llama 3 8192, Code Llama 16384. The last two state a
 * rope_theta.
 */
function positionsOf({ intermediateSize, vocabulary }: MetaModel, { normEps, ropeTheta }: MetaParams): number {
  if (vocabulary >= VOCABULARY_OF_3) {
    return 8192;
  }
  if (ropeTheta !== null && ropeTheta !== ROPE_THETA) {
    return 16_384;
  }
  return normEps < 5e-6 || intermediateSize === LARGEST_FIRST ? 2048 : 4096;
}

/** As Python's json module prints it with an indent of 2: small numbers as 1e-06. Undefined values are left out. */
function objectText(values: readonly (readonly [key: string, value: unknown])[]): string {
  const stated = values.filter(([, value]) => value !== undefined);
  const lines = stated.map(([key, value]) => {
    const text =
      typeof value === "number" && value > 0 && value < 1e-4
        ? value.toExponential().replace(/e-(\d)$/, "e-0$1")
        : JSON.stringify(value, null, 2).replaceAll("\n", "\n  ");
    return `  ${JSON.stringify(key)}: ${text}`;
  });
  return `{\n${lines.join(",\n")}\n}\n`;
}
