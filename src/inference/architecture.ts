/**
 * A checkpoint as the forward pass sees it: numbers from config.json, and tensors by their role, with all shapes checked against each
 * other.
 */
import type { Checkpoint, StateDict, StoredTensor } from "../checkpoint/checkpoint.js";
import { configOf } from "../checkpoint/config.js";
import { WeightDiffError } from "../errors.js";
import { quote } from "../formats/quote.js";
import { type ConfigReader, configReader } from "./config-reader.js";
import { assumedText, type Dimensions, dimensionsOf } from "./dimensions.js";
import { familyOf, type HasBias, type Layer, MODEL_FAMILIES, type ModelFamily } from "./families.js";
import { findModules, type Module, RUNS } from "./modules.js";

export interface Architecture extends Dimensions {
  readonly name: string;
  readonly family: ModelFamily;
  /** [vocabulary, hidden]. */
  readonly embedding: StoredTensor;
  readonly layers: readonly Layer<Module>[];
  readonly last: Module;
  /** Its weight is the embedding if the two are tied. */
  readonly head: Module;
  readonly notes: readonly string[];
}

/**
 * Reads config.json, and finds every tensor that is used. Reads no weights.
 * @throws {WeightDiffError} NOT_FOUND without a config.json; FORMAT_UNSUPPORTED for an unsupported model; FORMAT_INVALID if the config
 * contradicts itself; MISMATCH if tensors are missing or have other shapes than it states; LIMIT.
 */
export async function architectureOf(checkpoint: Checkpoint): Promise<Architecture> {
  const model = await configOf(checkpoint);
  if (model === null) {
    throw new WeightDiffError(
      "NOT_FOUND",
      "no config.json beside the weights: shapes do not tell how many heads a model has",
      "give the folder that has it, or put the base's config.json beside the weights",
      { at: { file: checkpoint.path } },
    );
  }
  const at = { file: model.path };
  const found = familyOf(model.modelType, model.architecture);
  if (found === null) {
    const what = model.modelType ?? model.architecture;
    throw new WeightDiffError(
      "FORMAT_UNSUPPORTED",
      what === null ? "it names no model_type" : `models of type ${quote(what)} are not supported`,
      `these run: ${[...MODEL_FAMILIES.keys()].join(", ")}`,
      { at },
    );
  }
  if (model.quantised) {
    throw new WeightDiffError("FORMAT_UNSUPPORTED", "the model is quantised", RUNS, { at });
  }
  const { name, family, note } = found;
  const config = configReader(model.path, model.values, family.defaults);
  const dimensions = dimensionsOf(config, family);
  const tensors = tensorsOf(checkpoint, config, { family, dimensions, tied: model.tied === true });
  return { ...dimensions, ...tensors, name, family, notes: [...(note === null ? [] : [note]), ...tensors.notes] };
}

interface Wanted {
  readonly family: ModelFamily;
  readonly dimensions: Dimensions;
  /** Is the head the embedding if no head is stored? */
  readonly tied: boolean;
}

function tensorsOf(checkpoint: Checkpoint, config: ConfigReader, { family, dimensions, tied }: Wanted) {
  const { names, biases } = family;
  const { hidden, heads, keyHeads, headSize, inner, layerCount, assumed } = dimensions;
  const modules = findModules(bodied(checkpoint.stateDict, names));
  const has = (bias: HasBias): "may" | "none" =>
    (typeof bias === "string" ? config.flag(bias) : bias) ? "may" : "none";
  const norm = (name: string, size: number): Module =>
    modules.must(name, [size], family.norm === "layer" ? "must" : "none");
  const embedding = modules.must(names.embedding, [null, hidden], "none").weight;
  const rows = { query: heads * headSize, key: keyHeads * headSize };
  const attention = names.layer.attention.length === 1 ? [3 * rows.query] : [rows.query, rows.key, rows.key];
  const [ofAttention, ofOutput, ofMlp] = [has(biases.attention), has(biases.output), has(biases.mlp)];
  const layers = Array.from({ length: layerCount }, (_, index): Layer<Module> => {
    const prefix = `${names.layers}${index}.`;
    const { before, output, between, down, ...more } = names.layer;
    return {
      before: norm(prefix + before, hidden),
      attention: more.attention.map((name, i) => modules.must(prefix + name, [attention[i] ?? 0, hidden], ofAttention)),
      output: modules.must(prefix + output, [hidden, rows.query], ofOutput),
      between: norm(prefix + between, hidden),
      inner: more.inner.map((name) => modules.must(prefix + name, [inner, hidden], ofMlp)),
      down: modules.must(prefix + down, [hidden, inner], ofMlp),
      heads: more.heads.map((name) => norm(prefix + name, headSize)),
    };
  });
  const last = norm(names.last, hidden);
  const stored = modules.may(names.head, [embedding?.shape[0] ?? null, hidden]);
  if (stored === null && !tied) {
    modules.refuseHeadless(names.head, config.path);
  }
  modules.refuse(checkpoint.path, config.path, assumedText(assumed));
  refuseVast(embedding, config);
  return {
    ...{ embedding, layers, last },
    head: stored ?? { weight: embedding, bias: null },
    notes: [
      ...modules.notes(),
      ...(tied && stored !== null
        ? ["the config says that embedding and head are one, but a head is stored: it is used, as transformers 5 does"]
        : []),
    ],
  };
}

/** A model that was saved without its head has names without the body's prefix. transformers adds it on loading. */
function bodied(stateDict: StateDict, { body, embedding, head }: ModelFamily["names"]): StateDict {
  const bare = !stateDict.has(`${embedding}.weight`) && stateDict.has(`${embedding.slice(body.length)}.weight`);
  const full = (name: string): string => (name === `${head}.weight` ? name : body + name);
  return bare ? new Map([...stateDict].map(([name, tensor]) => [full(name), tensor])) : stateDict;
}

/** The logits of a token must fit into memory. The largest published vocabulary has 262,144 rows. */
const MOST_VOCABULARY = 2 ** 24;

/** @throws {WeightDiffError} LIMIT. */
function refuseVast({ shape: [rows = 0] }: StoredTensor, { path }: ConfigReader): void {
  if (rows > MOST_VOCABULARY) {
    throw new WeightDiffError(
      "LIMIT",
      `its vocabulary has ${rows} rows, at most ${MOST_VOCABULARY} run`,
      "is this the config of a language model?",
      { at: { file: path } },
    );
  }
}
