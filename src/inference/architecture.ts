/** What a checkpoint is to a forward pass: numbers from config.json, tensors by what they do, all shapes held against each other. */
import type { Checkpoint, StoredTensor } from "../checkpoint/checkpoint.js";
import { configOf, type ModelConfig } from "../checkpoint/config.js";
import { WeightDiffError } from "../errors.js";
import { quote } from "../formats/quote.js";
import { type ConfigReader, configReader } from "./config-reader.js";
import { FAMILIES, type Family, familyOf } from "./families.js";
import { type Rope, ropeOf } from "./rope.js";
import { isRunDtype } from "./values.js";

/** A matrix [outputs, inputs] and its bias [outputs]. */
export interface Linear {
  readonly weight: StoredTensor;
  readonly bias: StoredTensor | null;
}

export interface Norm {
  readonly weight: StoredTensor;
  readonly bias: StoredTensor | null;
}

export interface Layer {
  readonly before: Norm;
  readonly attention: readonly Linear[];
  readonly output: Linear;
  readonly between: Norm;
  readonly inner: readonly Linear[];
  readonly down: Linear;
  /** Of queries and keys; empty. */
  readonly heads: readonly Norm[];
}

export interface Architecture {
  readonly name: string;
  readonly family: Family;
  /** Elements of a token's state. */
  readonly hidden: number;
  readonly heads: number;
  /** Heads of keys and values: query head h reads that of floor(h / (heads / keyHeads)). */
  readonly keyHeads: number;
  readonly headSize: number;
  /** Elements between the matrices of the MLP. */
  readonly inner: number;
  readonly eps: number;
  readonly rope: Rope;
  /** A token sees this many up to itself; null sees all. */
  readonly window: number | null;
  readonly parallel: boolean;
  readonly positions: number | null;
  /** [vocabulary, hidden]. */
  readonly embedding: StoredTensor;
  readonly layers: readonly Layer[];
  readonly last: Norm;
  /** The embedding where they are one. */
  readonly head: Linear;
  readonly notes: readonly string[];
}

/** What the tensors of all layers together may be called in a message. */
const NAMED = 8;

/**
 * Reads config.json and finds every tensor that takes part. No weight is read.
 * @throws {WeightDiffError} NOT_FOUND without a config.json; FORMAT_UNSUPPORTED for what does not run; FORMAT_INVALID where the config
 * contradicts itself; MISMATCH where tensors are missing or have other shapes than it says; LIMIT.
 */
export async function architectureOf(checkpoint: Checkpoint): Promise<Architecture> {
  const model = await configOf(checkpoint);
  if (model === null) {
    throw new WeightDiffError(
      "NOT_FOUND",
      "no config.json beside the weights: how many heads a model has is in no shape",
      "give the folder that has it, or put the base's config.json beside the weights",
      { at: { file: checkpoint.path } },
    );
  }
  const found = familyOf(model.modelType, model.architecture);
  if (found === null) {
    const what = model.modelType ?? model.architecture;
    throw unsupported(
      model,
      what === null ? "it names no model_type" : `a model of type ${quote(what)} does not run here`,
      `these run: ${[...FAMILIES.keys()].join(", ")}`,
    );
  }
  if (model.quantised) {
    throw unsupported(model, "the model is quantised", RUNS);
  }
  const config = configReader(model.path, model.values);
  return assemble(checkpoint, model, config, found);
}

const RUNS = "F32, F16 and BF16 run: get the model as it was before it was quantised";

function unsupported({ path }: Pick<ModelConfig, "path">, fact: string, hint: string): WeightDiffError {
  return new WeightDiffError("FORMAT_UNSUPPORTED", fact, hint, { at: { file: path } });
}

function assemble(
  checkpoint: Checkpoint,
  model: ModelConfig,
  config: ConfigReader,
  { name, family, note }: NonNullable<ReturnType<typeof familyOf>>,
): Architecture {
  const { stateDict } = checkpoint;
  const numbers = numbersOf(config, family, stateDict.get(`${family.embedding}.weight`));
  const { hidden, heads, keyHeads, headSize, layerCount, turning } = numbers;
  const activation = config.text("hidden_act") ?? family.activation;
  if (activation !== family.activation) {
    throw unsupported(model, `its activation is ${quote(activation)}`, `${family.activation} runs for ${name}`);
  }
  const used = new Set<string>();
  const missing: string[] = [];
  const wrong: string[] = [];
  const take = (stem: string, part: "weight" | "bias", shape: readonly (number | null)[]): StoredTensor | null => {
    const full = `${stem}.${part}`;
    const tensor = stateDict.get(full);
    if (tensor === undefined) {
      return null;
    }
    used.add(full);
    if (!isRunDtype(tensor.dtype)) {
      throw new WeightDiffError("FORMAT_UNSUPPORTED", `tensor ${quote(full)} is ${tensor.dtype}`, RUNS, {
        at: { file: tensor.shard.path, tensor: full },
      });
    }
    if (tensor.shape.length !== shape.length || shape.some((size, i) => size !== null && size !== tensor.shape[i])) {
      wrong.push(`${full} is ${shapeText(tensor.shape)}, expected ${shapeText(shape)}`);
    }
    return tensor;
  };
  const must = (stem: string, part: "weight" | "bias", shape: readonly (number | null)[]): StoredTensor => {
    const tensor = take(stem, part, shape);
    if (tensor === null) {
      missing.push(`${stem}.${part}`);
    }
    return tensor as StoredTensor; // missing ones are refused below
  };
  const linear = (stem: string, outputs: number | null, inputs: number): Linear => ({
    weight: must(stem, "weight", [outputs, inputs]),
    bias: take(stem, "bias", [outputs]),
  });
  const norm = (stem: string, size: number): Norm => ({
    weight: must(stem, "weight", [size]),
    bias: family.norm === "layer" ? must(stem, "bias", [size]) : null,
  });

  const embedding = must(family.embedding, "weight", [null, hidden]);
  const names = family.layer;
  const inner =
    config.count("intermediate_size") ?? stateDict.get(`${family.layers}0.${names.inner[0]}.weight`)?.shape[0] ?? null;
  const rows = { query: heads * headSize, key: keyHeads * headSize };
  const attention = names.attention.length === 1 ? [3 * rows.query] : [rows.query, rows.key, rows.key];
  const layers = Array.from({ length: layerCount }, (_, index): Layer => {
    const prefix = `${family.layers}${index}.`;
    return {
      before: norm(prefix + names.before, hidden),
      attention: names.attention.map((stem, i) => linear(prefix + stem, attention[i] ?? 0, hidden)),
      output: linear(prefix + names.output, hidden, rows.query),
      between: norm(prefix + names.between, hidden),
      inner: names.inner.map((stem) => linear(prefix + stem, inner, hidden)),
      down: linear(prefix + names.down, hidden, inner ?? 0),
      heads: names.heads.map((stem) => norm(prefix + stem, headSize)),
    };
  });
  const last = norm(family.last, hidden);
  const vocabulary = (embedding as StoredTensor | undefined)?.shape[0] ?? null;
  const stored = take(family.head, "weight", [vocabulary, hidden]);
  if (stored === null && model.tied !== true && missing.length > 0) {
    missing.push(`${family.head}.weight`);
  } else if (stored === null && model.tied !== true) {
    throw new WeightDiffError(
      "MISMATCH",
      `the model has no output head: there is no ${family.head}.weight, and the config does not say that the embedding serves`,
      "a reward or base model does not write text: give the language model",
      { at: { file: model.path } },
    );
  }
  refuse(checkpoint, missing, "tensors are missing");
  refuse(checkpoint, wrong, `tensors have other shapes than ${model.path} says`);
  refuseVast(model, { width: Math.max(hidden, heads * headSize, inner ?? 0), vocabulary: vocabulary ?? 0 });
  return {
    ...{ name, family, hidden, heads, keyHeads, headSize, embedding, layers, last },
    inner: inner ?? 0,
    eps: epsOf(config, family),
    rope: ropeOf(config, turning),
    window: windowOf(config, family, model),
    parallel: family.parallel && (config.flag("use_parallel_residual") ?? true),
    positions: config.count("max_position_embeddings") ?? null,
    head: { weight: stored ?? embedding, bias: take(family.head, "bias", [vocabulary]) },
    notes: [...(note === null ? [] : [note]), ...idle(stateDict.keys(), used, model.tied === true && stored !== null)],
  };
}

/** The counts that shapes follow from. */
function numbersOf(config: ConfigReader, family: Family, embedding: StoredTensor | undefined) {
  const heads = config.count("num_attention_heads");
  const layerCount = config.count("num_hidden_layers");
  const hidden = config.count("hidden_size") ?? embedding?.shape[1];
  if (heads === undefined || layerCount === undefined || hidden === undefined) {
    const key =
      heads === undefined ? "num_attention_heads" : layerCount === undefined ? "num_hidden_layers" : "hidden_size";
    throw config.invalid(`it has no ${key}`);
  }
  if (layerCount > MOST_LAYERS) {
    throw config.invalid(`num_hidden_layers is ${layerCount}, at most ${MOST_LAYERS} run`);
  }
  const headSize = config.count("head_dim") ?? hidden / heads;
  const keyHeads = family.layer.attention.length === 1 ? heads : (config.count("num_key_value_heads") ?? heads);
  if (!Number.isInteger(headSize)) {
    throw config.invalid(`hidden_size ${hidden} is no multiple of num_attention_heads ${heads}`);
  }
  if (heads % keyHeads !== 0) {
    throw config.invalid(`num_attention_heads ${heads} is no multiple of num_key_value_heads ${keyHeads}`);
  }
  const turning = turningOf(config, family, headSize);
  if (turning % 2 !== 0 || turning < 2) {
    throw config.invalid(`${turning} elements of a head turn, expected an even number`);
  }
  return { hidden, heads, keyHeads, headSize, layerCount, turning };
}

/** The widest published model has 53,248 and the largest vocabulary 262,144: what a pass holds of a token must fit into memory. */
const MOST_WIDTH = 2 ** 20;
const MOST_VOCABULARY = 2 ** 24;

/** @throws {WeightDiffError} LIMIT. */
function refuseVast(
  { path }: Pick<ModelConfig, "path">,
  sizes: { readonly width: number; readonly vocabulary: number },
): void {
  const { width, vocabulary } = sizes;
  const fact =
    width > MOST_WIDTH
      ? `its states have ${width} elements, at most ${MOST_WIDTH} run`
      : vocabulary > MOST_VOCABULARY
        ? `its vocabulary has ${vocabulary} rows, at most ${MOST_VOCABULARY} run`
        : null;
  if (fact !== null) {
    throw new WeightDiffError("LIMIT", fact, "is this the config of a language model?", { at: { file: path } });
  }
}

/** The deepest published model has 126. */
const MOST_LAYERS = 4096;

function turningOf(config: ConfigReader, { turns }: Family, headSize: number): number {
  const parameters = config.part("rope_parameters");
  const share =
    parameters?.number("partial_rotary_factor") ??
    (turns?.keys ?? ["partial_rotary_factor"]).map(config.number).find((value) => value !== undefined);
  if (turns === null) {
    if (share !== undefined && share !== 1) {
      throw new WeightDiffError("FORMAT_UNSUPPORTED", `partial_rotary_factor is ${share}`, "1 runs for this family", {
        at: { file: config.path },
      });
    }
    return headSize;
  }
  return Math.floor(headSize * (share ?? turns.value));
}

function epsOf(config: ConfigReader, { eps }: Family): number {
  const value = config.number(eps.key) ?? eps.value;
  if (value < 0) {
    throw config.invalid(`${eps.key} is ${value}`);
  }
  return value;
}

function windowOf(config: ConfigReader, { window }: Family, model: ModelConfig): number | null {
  if (window === "none") {
    return null;
  }
  if (window === "always") {
    return config.has("sliding_window") || "sliding_window" in model.values
      ? (config.count("sliding_window") ?? null)
      : 4096;
  }
  if (config.flag("use_sliding_window") === true) {
    throw unsupported(model, "use_sliding_window is true", "models of this family run without it");
  }
  return null;
}

function refuse(checkpoint: Checkpoint, found: readonly string[], what: string): void {
  if (found.length > 0) {
    const more = found.length > NAMED ? ` and ${found.length - NAMED} more` : "";
    throw new WeightDiffError(
      "MISMATCH",
      `${found.length} ${what}: ${found.slice(0, NAMED).map(quote).join(", ")}${more}`,
      "get the checkpoint again, or its config.json",
      { at: { file: checkpoint.path } },
    );
  }
}

/** Buffers that transformers computes, and masks, take no part anywhere. */
const BUFFERS = /\.(rotary_emb\.inv_freq|attention\.(bias|masked_bias))$/;

function idle(names: Iterable<string>, used: ReadonlySet<string>, both: boolean): readonly string[] {
  const rest = [...names].filter((name) => !used.has(name) && !BUFFERS.test(name));
  const more = rest.length > 3 ? ` and ${rest.length - 3} more` : "";
  return [
    ...(rest.length === 0 ? [] : [`tensors that take no part: ${rest.slice(0, 3).map(quote).join(", ")}${more}`]),
    ...(both
      ? ["the config says that embedding and head are one, but a head is stored: it is used, as transformers 5 does"]
      : []),
  ];
}

function shapeText(shape: readonly (number | null)[]): string {
  return `[${shape.map((size) => size ?? "any").join(", ")}]`;
}
