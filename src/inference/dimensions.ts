/** The numbers of a model, from config.json or the defaults of the family's config class. */
import { WeightDiffError } from "../errors.js";
import { quote } from "../formats/quote.js";
import type { ConfigReader } from "./config-reader.js";
import type { ModelFamily } from "./families.js";
import { type Rope, ropeOf } from "./rope.js";

export interface Dimensions {
  readonly layerCount: number;
  /** Elements of a token's state. */
  readonly hidden: number;
  readonly heads: number;
  /** Heads of keys and values: query head h reads head floor(h / (heads / keyHeads)). */
  readonly keyHeads: number;
  readonly headSize: number;
  /** Elements between the matrices of the MLP. */
  readonly inner: number;
  readonly eps: number;
  readonly rope: Rope;
  /** By layer: a token sees so many tokens, itself included; null sees all. */
  readonly windows: readonly (number | null)[];
  readonly parallel: boolean;
  readonly positions: number;
  /** The numbers that the config leaves out, for example "head_dim 128". */
  readonly assumed: readonly string[];
}

/** The deepest published model has 126 layers, the widest 53,248 elements. The values of a token in a pass must fit into memory. */
const MOST_LAYERS = 4096;
const MOST_WIDTH = 2 ** 20;

/** @throws {WeightDiffError} FORMAT_INVALID if the config contradicts itself; FORMAT_UNSUPPORTED for an unsupported model; LIMIT. */
export function dimensionsOf(config: ConfigReader, family: ModelFamily): Dimensions {
  const heads = config.count("num_attention_heads");
  const layerCount = config.count("num_hidden_layers");
  const hidden = config.count("hidden_size");
  const inner = config.count("intermediate_size");
  if (layerCount > MOST_LAYERS) {
    throw config.invalid(`num_hidden_layers is ${layerCount}, at most ${MOST_LAYERS} run`);
  }
  const joined = family.names.layer.attention.length === 1;
  const turned = config.orNull("head_dim", config.count) ?? hidden / heads;
  const headSize = joined ? hidden / heads : turned;
  const keyHeads = (joined ? null : config.orNull("num_key_value_heads", config.count)) ?? heads;
  const assumed = config.taken();
  if (!Number.isInteger(headSize)) {
    throw config.invalid(`hidden_size ${hidden} is not a multiple of num_attention_heads ${heads}`);
  }
  if (turned > headSize) {
    throw config.invalid(`head_dim is ${turned}, but hidden_size / num_attention_heads is ${headSize}`);
  }
  if (heads % keyHeads !== 0) {
    throw config.invalid(
      `num_attention_heads ${heads} is not a multiple of num_key_value_heads ${keyHeads}${assumedText(assumed)}`,
    );
  }
  const width = Math.max(hidden, heads * headSize, inner);
  if (width > MOST_WIDTH) {
    throw new WeightDiffError(
      "LIMIT",
      `its states have ${width} elements, at most ${MOST_WIDTH} run`,
      "is this the config of a language model?",
      { at: { file: config.path } },
    );
  }
  const activation = config.text("hidden_act");
  if (activation !== family.activation) {
    throw config.unsupported(`its activation is ${quote(activation)}`, `${family.activation} runs for this family`);
  }
  const eps = config.number(family.eps);
  if (eps < 0) {
    throw config.invalid(`${family.eps} is ${eps}`);
  }
  return {
    ...{ layerCount, hidden, heads, keyHeads, headSize, inner, eps, assumed },
    rope: ropeOf(config, turned, family.rope),
    windows: windowsOf(config, family, layerCount),
    parallel: family.parallel && config.flag("use_parallel_residual"),
    positions: config.count("max_position_embeddings"),
  };
}

/** The addition to a message about numbers that no file gives. */
export function assumedText(assumed: readonly string[]): string {
  return assumed.length === 0 ? "" : ` (not in config.json, so transformers' defaults: ${assumed.join(", ")})`;
}

function windowsOf(config: ConfigReader, { window }: ModelFamily, layerCount: number): readonly (number | null)[] {
  const slides = window === "always" || (window === "asked" && config.flag("use_sliding_window"));
  const size = slides ? config.orNull("sliding_window", config.count) : null;
  const kinds = window === "none" ? null : config.orNull("layer_types", config.texts);
  if (kinds === null) {
    const first = window === "asked" && size !== null ? config.number("max_window_layers") : 0;
    return Array.from({ length: layerCount }, (_, layer) => (layer < first ? null : size));
  }
  if (kinds.length !== layerCount) {
    throw config.invalid(`layer_types names ${kinds.length} layers, num_hidden_layers is ${layerCount}`);
  }
  return kinds.map((kind) => {
    if (kind === "full_attention") {
      return null;
    }
    if (kind !== "sliding_attention") {
      throw config.unsupported(
        `layer_types has ${quote(kind)}`,
        "full_attention and sliding_attention run for this family",
      );
    }
    if (size === null) {
      throw config.invalid("layer_types has sliding_attention, but no sliding_window is in use");
    }
    return size;
  });
}
