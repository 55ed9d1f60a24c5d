/**
 * The precision trap (docs/formats.md 2.1): LLaMA-1 was released in float16, but transformers from 4.33 on converts it through
 * bfloat16, writes the rounded values as either dtype, and says float16 in the config. A diff on such a base does not give the
 * tuned model, and nothing else shows it. Decided from shapes, config and the sampled values; dtype in the config counts nothing.
 */

import type { Checkpoint } from "../checkpoint/checkpoint.js";
import type { ModelConfig } from "../checkpoint/config.js";
import type { FloatDtype } from "../formats/dtype.js";
import { INPUT_EMBEDDING } from "../known/embeddings.js";
import { firstLlama } from "../known/models.js";
import { isExact } from "./bit-census.js";
import type { SampledPair } from "./sample.js";

const LLAMA_VOCAB = 32_000;
const LLAMA_CONTEXT = 2048;
const MIN_ELEMENTS = 1000;

/**
 * Whether the base is a LLaMA-1 in all that shapes and config tell. Llama 2 has the same shapes and twice the context: without
 * a config of base or diff, nothing is claimed. Models that copy LLaMA-1's shape and context (OpenLLaMA) look the same.
 */
export function isFirstLlama(raw: Checkpoint, rawConfig: ModelConfig | null, diffConfig: ModelConfig | null): boolean {
  const config = rawConfig ?? diffConfig;
  const [rows, hidden] = [...raw.stateDict].find(([name]) => INPUT_EMBEDDING.test(name))?.[1].shape ?? [];
  const layers = firstLlama(hidden ?? 0)?.layers;
  return (
    config?.modelType === "llama" &&
    config.context === LLAMA_CONTEXT &&
    rows === LLAMA_VOCAB &&
    layers !== undefined &&
    raw.stateDict.has(`model.layers.${layers - 1}.input_layernorm.weight`) &&
    !raw.stateDict.has(`model.layers.${layers}.input_layernorm.weight`)
  );
}

export type Precision =
  /** Stored in 8 significant bits. */
  | { readonly kind: "stored"; readonly elements: number }
  /** Stored wider, and every sampled value fits into BF16. */
  | { readonly kind: "rounded"; readonly dtype: FloatDtype; readonly elements: number }
  | { readonly kind: "fine" };

/** What the sampled values of the base say of its precision. Of float16 weights one in eight fits into BF16. */
export function judgePrecision(pairs: readonly SampledPair[]): Precision {
  const values = pairs
    .flatMap(({ windows }) => windows.flatMap(({ raw }) => [...raw]))
    .filter((bits) => bits << 1 !== 0);
  const stored = pairs.filter(({ rawDtype }) => rawDtype === "BF16").length;
  if (stored * 2 > pairs.length) {
    return { kind: "stored", elements: values.length };
  }
  if (values.length < MIN_ELEMENTS || !values.every((bits) => isExact("BF16", bits))) {
    return { kind: "fine" };
  }
  const dtype = pairs.find(({ rawDtype }) => rawDtype !== "BF16")?.rawDtype ?? "BF16";
  return { kind: "rounded", dtype, elements: values.length };
}
