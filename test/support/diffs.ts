/** A tiny LLaMA, its fine-tune, and the diff that make-diff publishes: what verify is tried on. */
import { cp } from "node:fs/promises";
import { join } from "node:path";
import { makeDiff } from "../../src/commands/make-diff.js";
import { indexText, safetensors, type TensorSpec, writeFiles } from "./checkpoints.js";

const HIDDEN = 16;
const MLP = 24;
const VOCABULARY = 20;

const CONFIG = {
  model_type: "llama",
  vocab_size: VOCABULARY,
  hidden_size: HIDDEN,
  intermediate_size: MLP,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  tie_word_embeddings: false,
  torch_dtype: "float32",
};

/** Values of a tensor: norms near 1, all else near 0, the same for the same seed. */
function values(name: string, count: number, seed: number): Float32Array {
  let state = seed;
  for (const letter of name) {
    state = (Math.imul(state, 31) + letter.charCodeAt(0)) | 0;
  }
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1103515245) + 12345) | 0;
    return (name.includes("norm") ? 1 : 0) + state / 2 ** 37;
  });
}

/** The tensors of the model of this seed. */
export function llama(seed: number): readonly TensorSpec[] {
  const square = [HIDDEN, HIDDEN] as const;
  const layer = (index: number): readonly (readonly [string, readonly number[]])[] =>
    [
      ["self_attn.q_proj", square],
      ["self_attn.k_proj", square],
      ["self_attn.v_proj", square],
      ["self_attn.o_proj", square],
      ["mlp.gate_proj", [MLP, HIDDEN]],
      ["mlp.down_proj", [HIDDEN, MLP]],
      ["mlp.up_proj", [MLP, HIDDEN]],
      ["input_layernorm", [HIDDEN]],
      ["post_attention_layernorm", [HIDDEN]],
    ].map(([name, shape]) => [`model.layers.${index}.${name}.weight`, shape as readonly number[]]);
  const shapes: readonly (readonly [string, readonly number[]])[] = [
    ["model.embed_tokens.weight", [VOCABULARY, HIDDEN]],
    ...layer(0),
    ...layer(1),
    ["model.norm.weight", [HIDDEN]],
    ["lm_head.weight", [VOCABULARY, HIDDEN]],
  ];
  return shapes.map(([name, shape]): TensorSpec => {
    const count = shape.reduce((product, size) => product * size, 1);
    const base = values(name, count, 1);
    // A fine-tune is its base and a little more.
    return [
      name,
      "F32",
      shape,
      seed === 1 ? base : base.map((value, i) => value + 1e-3 * (values(name, count, seed)[i] ?? 0)),
    ];
  });
}

export const TOKENIZER = {
  "tokenizer.json": `${JSON.stringify({ model: { vocab: Object.fromEntries([..."abcdefghijklmnopqrst"].map((c, i) => [c, i])) }, added_tokens: [] })}\n`,
  "tokenizer_config.json": '{"tokenizer_class": "LlamaTokenizer"}\n',
};

/** A model of one file, or of two with an index. */
export async function writeModel(
  folder: string,
  tensors: readonly TensorSpec[],
  { sharded = false, config = {} }: { readonly sharded?: boolean; readonly config?: object } = {},
): Promise<string> {
  const half = Math.ceil(tensors.length / 2);
  const parts = sharded ? [tensors.slice(0, half), tensors.slice(half)] : [tensors];
  const name = (index: number): string =>
    sharded ? `model-0000${index + 1}-of-00002.safetensors` : "model.safetensors";
  const map = Object.fromEntries(parts.flatMap((part, index) => part.map(([tensor]) => [tensor, name(index)])));
  const total = tensors.reduce((sum, [, , , data]) => sum + (data?.byteLength ?? 0), 0);
  return writeFiles(folder, {
    ...Object.fromEntries(parts.map((part, index) => [name(index), safetensors(...part)])),
    ...(sharded
      ? { "model.safetensors.index.json": indexText(map).replace('"total_size":0', `"total_size":${total}`) }
      : {}),
    "config.json": JSON.stringify({ ...CONFIG, ...config }),
    ...TOKENIZER,
  });
}

export interface Published {
  readonly base: string;
  readonly tuned: string;
  readonly diff: string;
}

/** Base, fine-tune, and the diff between them with everything that make-diff puts beside it. */
export async function publish(
  folder: string,
  options: { readonly encoding?: "additive" | "exact"; readonly maxShardSize?: number } = {},
): Promise<Published> {
  const places = { base: join(folder, "base"), tuned: join(folder, "tuned"), diff: join(folder, "diff") };
  await writeModel(places.base, llama(1));
  await writeModel(places.tuned, llama(7));
  await makeDiff({ raw: places.base, tuned: places.tuned, diff: places.diff, ...options });
  return places;
}

/** A copy that may be spoilt. */
export async function copyOf(folder: string, name: string): Promise<string> {
  await cp(folder, `${folder}-${name}`, { recursive: true });
  return `${folder}-${name}`;
}
