/**
 * The precision trap (docs/formats.md 2.1): LLaMA-1 was released in float16, but transformers from 4.33 on converts it through bfloat16,
 * writes the rounded values in either dtype, and states float16 in the config. On such a base, a diff does not give the tuned model, and
 * nothing else shows the fault. Shapes, config and sampled values decide; the dtype in the config is ignored.
 */

import type { Checkpoint } from "../checkpoint/checkpoint.js";
import type { ModelConfig } from "../checkpoint/config.js";
import type { FloatDtype } from "../formats/dtype.js";
import { isExact } from "../kernel/fits.js";
import { INPUT_EMBEDDING } from "../known/embeddings.js";
import { firstLlama } from "../known/models.js";
import type { SampledPair } from "./sample.js";

const LLAMA_VOCAB = 32_000;
const LLAMA_CONTEXT = 2048;
const MIN_ELEMENTS = 1000;

/**
 * Is the base a LLaMA-1, by its shapes and config? Llama 2 has the same shapes and twice the context, so without a config of base or diff
 * the answer is no. Models that copy LLaMA-1's shape and context (OpenLLaMA) look the same.
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
  /** The base is stored in bfloat16. */
  | { readonly kind: "stored"; readonly elements: number }
  /** The base is stored in a wider dtype, but every sampled value fits into BF16. */
  | { readonly kind: "rounded"; readonly dtype: FloatDtype; readonly elements: number }
  | { readonly kind: "fine" };

/** Judges the base's precision by its sampled values. By chance, one in eight float16 weights fits into BF16. */
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
