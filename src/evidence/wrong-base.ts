/**
 * Do the configs of base and diff describe the same model? A fine-tune keeps the architecture of its base, so a difference means another
 * base (docs/troubleshooting.md) or an edited config. The vocabulary is not compared here, since the shapes tell.
 */
import type { ModelConfig } from "../checkpoint/config.js";

interface ConfigDifference {
  /** The key in config.json. */
  readonly key: string;
  readonly raw: string | number;
  readonly diff: string | number;
}

/** Two names of one function. */
const ACTIVATIONS: ReadonlyMap<string, string> = new Map([["swish", "silu"]]);
/** Some configs write 1e-05 as 9.999999747378752e-06. */
const TOLERANCE = 1e-3;

/** The values that a fine-tune keeps from its base, and how to read them. */
const KEYS: readonly {
  readonly key: string;
  readonly value: (config: ModelConfig) => string | number | null;
  /** Differences that fine-tuning may cause. */
  readonly allowed?: (raw: number, diff: number) => boolean;
}[] = [
  { key: "rms_norm_eps", value: ({ normEps }) => normEps },
  // Fine-tuning may lengthen the context, but never shortens it.
  { key: "max_position_embeddings", value: ({ context }) => context, allowed: (raw, diff) => diff > raw },
  { key: "hidden_act", value: ({ activation }) => ACTIVATIONS.get(activation ?? "") ?? activation },
  { key: "num_attention_heads", value: ({ heads }) => heads },
  { key: "num_key_value_heads", value: ({ keyValueHeads }) => keyValueHeads },
  { key: "rope_theta", value: ({ ropeTheta }) => ropeTheta },
];

/** The values that differ although a fine-tune would have kept them. A value that one side does not state is no difference. */
export function compareConfigs(raw: ModelConfig | null, diff: ModelConfig | null): readonly ConfigDifference[] {
  if (raw === null || diff === null) {
    return [];
  }
  return KEYS.flatMap(({ key, value, allowed }) => {
    const ours = value(raw);
    const theirs = value(diff);
    if (ours === null || theirs === null || same(ours, theirs)) {
      return [];
    }
    const kept = typeof ours === "number" && typeof theirs === "number" && allowed?.(ours, theirs) === true;
    return kept ? [] : [{ key, raw: ours, diff: theirs }];
  });
}

/**
 * "Llama 2" and "LLaMA-1" if the configs tell the two apart. Both have the same names and, up to 13B, the same shapes, and a diff for one
 * gives noise on the other. Two values that no fine-tune changes together must agree, so the answer is certain.
 */
export function mixedUpLlamas(
  raw: ModelConfig | null,
  diff: ModelConfig | null,
): { readonly raw: string; readonly diff: string } | null {
  const base = generation(raw);
  const wanted = generation(diff);
  return base === null || wanted === null || base === wanted ? null : { raw: base, diff: wanted };
}

/** For sizes up to 13B. LLaMA-1 65B also has an epsilon of 1e-5, but no Llama 2 has its shape. */
function generation(config: ModelConfig | null): "LLaMA-1" | "Llama 2" | null {
  if (config === null || config.modelType !== "llama" || config.normEps === null) {
    return null;
  }
  if (config.context === 2048 && same(config.normEps, 1e-6)) {
    return "LLaMA-1";
  }
  return config.context === 4096 && same(config.normEps, 1e-5) ? "Llama 2" : null;
}

function same(a: string | number, b: string | number): boolean {
  return typeof a === "number" && typeof b === "number"
    ? Math.abs(a - b) <= TOLERANCE * Math.max(Math.abs(a), Math.abs(b))
    : a === b;
}
