/** The forward pass (docs/try.md): the engine multiplies the matrices, and this file computes everything between them. */
import type { Checkpoint } from "../checkpoint/checkpoint.js";
import { WeightDiffError } from "../errors.js";
import type { RunOptions } from "../run/run-plan.js";
import { type Architecture, architectureOf } from "./architecture.js";
import { allFinite, gelu, silu } from "./arithmetic.js";
import { type Attention, openAttention } from "./attention.js";
import { HEAD_ROWS, mostTokens, productsOf, stepsOf } from "./matrices.js";
import { BrokenModel, type LanguageModel, type Text } from "./model.js";
import type { Module } from "./modules.js";
import { openProducts, type Products, stepBytes } from "./products.js";
import { ownKey, type Round, roundsOf, tokensOf } from "./rounds.js";
import { gather, type LogitGathering } from "./said.js";
import { readFloats } from "./values.js";
import { readVectors, type Vectors } from "./vectors.js";

export type OpenModelOptions = Pick<RunOptions, "threads" | "windowBytes" | "disk" | "signal" | "hub" | "onProgress">;

/** The most tokens of a text, whatever the config says. */
const MOST_POSITIONS = 2 ** 17;

/**
 * Opens the model of a checkpoint. Reads its small tensors, but not its matrices.
 * @throws {WeightDiffError} as architectureOf; IO, NETWORK, DISK_FULL; LIMIT.
 * @throws {BrokenModel} if a norm or bias is not finite.
 */
export async function openLanguageModel(checkpoint: Checkpoint, options: OpenModelOptions): Promise<LanguageModel> {
  const architecture = await architectureOf(checkpoint);
  const vectors = await readVectors(architecture);
  const steps = stepsOf(architecture);
  const most = mostTokens(steps, architecture);
  let onRead: (bytes: number) => void = () => {};
  const products = await openProducts(steps, { ...options, tokens: most, onRead: (bytes) => onRead(bytes) });
  const positions = Math.min(architecture.positions, MOST_POSITIONS);
  const attention = openAttention(architecture, vectors, positions);
  const vocabulary = architecture.embedding.shape[0] ?? 0;
  const run: Run = { architecture, vectors, products, attention };
  return {
    family: architecture.name,
    vocabulary,
    positions: architecture.positions,
    layers: architecture.layers.length,
    passBytes: steps.reduce((sum, step) => sum + stepBytes(step), 0),
    notes: architecture.notes,
    async pass(texts, onProgress) {
      refuseTexts(texts, attention, { vocabulary, positions });
      let read = 0;
      onRead = (bytes) => {
        read += bytes;
        onProgress?.(read);
      };
      const gathered = texts.map((text) => gather(text, vocabulary));
      for (const round of roundsOf(texts, most)) {
        const states = await passLayers(run, round);
        await passHead(run, round, states, gathered);
      }
      texts.forEach((_, text) => {
        attention.forget(ownKey(text));
      });
      return gathered.map((each) => each.finish());
    },
    async close() {
      await products.close();
      await attention.close();
    },
  };
}

interface Run {
  readonly architecture: Architecture;
  readonly vectors: Vectors;
  readonly products: Products;
  readonly attention: Attention;
}

function refuseTexts(
  texts: readonly Text[],
  attention: Attention,
  { vocabulary, positions }: Pick<LanguageModel, "vocabulary" | "positions">,
): void {
  const keys = texts.flatMap(({ key }) => key ?? []);
  if (new Set(keys).size < keys.length) {
    throw new TypeError("two texts with one key in a pass: the second cannot follow the first there");
  }
  for (const { key, ids } of texts) {
    const id = ids.find((each) => !(Number.isInteger(each) && each >= 0 && each < vocabulary));
    if (id !== undefined) {
      throw new WeightDiffError(
        "USAGE",
        `the embedding has ${vocabulary} rows: there is no id ${id}`,
        "use the model's own tokenizer",
      );
    }
    const length = attention.length(key) + ids.length;
    if (ids.length === 0 || length > positions) {
      throw new WeightDiffError("USAGE", `a text of ${length} ids, the model takes 1 to ${positions}`, "shorten it");
    }
  }
}

/** The states of a round's tokens after the last layer: tokens x hidden. */
async function passLayers(run: Run, round: Round): Promise<Float32Array> {
  const { architecture, vectors, products, attention } = run;
  const { hidden, layers, inner, family } = architecture;
  const { inputs, outputs } = products;
  const tokens = tokensOf(round);
  const states = await embed(architecture, round);
  /** Writes the norm of every state into the inputs. */
  const bring = (norm: Module): void => {
    for (let token = 0; token < tokens; token++) {
      vectors.norm(norm, states, token * hidden, inputs, token * hidden);
    }
  };
  /** The products of the matrices, plus their biases. */
  const multiply = async (modules: readonly Module[]): Promise<void> => {
    await products.next(tokens);
    const stride = productsOf(modules);
    for (let token = 0; token < tokens; token++) {
      let at = token * stride;
      for (const module of modules) {
        const rows = module.weight.shape[0] ?? 0;
        vectors.addBias(module, outputs, at, 0, rows);
        at += rows;
      }
    }
  };
  const addOutputs = (): void => {
    for (let i = 0; i < tokens * hidden; i++) {
      states[i] = (states[i] ?? 0) + (outputs[i] ?? 0);
    }
  };
  const activation = family.activation === "silu" ? silu : gelu;
  const activate = (): void => {
    const stride = family.names.layer.inner.length * inner;
    for (let token = 0; token < tokens; token++) {
      for (let i = 0; i < inner; i++) {
        const gate = Math.fround(activation(outputs[token * stride + i] ?? 0));
        inputs[token * inner + i] = stride === inner ? gate : gate * (outputs[token * stride + inner + i] ?? 0);
      }
    }
  };
  for (const [index, layer] of layers.entries()) {
    bring(layer.before);
    await multiply(layer.attention);
    await attention.run(index, round, outputs, inputs);
    await multiply([layer.output]);
    if (architecture.parallel) {
      // Both read the state before the layer. The output of attention is added only after the MLP has its input.
      bring(layer.between);
      addOutputs();
    } else {
      addOutputs();
      bring(layer.between);
    }
    await multiply(layer.inner);
    activate();
    await multiply([layer.down]);
    addOutputs();
  }
  attention.grow(round);
  return states;
}

/** Rows of the embedding, one after the other. @throws {BrokenModel} */
async function embed({ embedding, hidden }: Architecture, round: Round): Promise<Float32Array> {
  const ids = round.flatMap((stretch) => stretch.ids);
  const distinct = [...new Set(ids)];
  const rows = await readFloats(distinct.map((id) => ({ tensor: embedding, first: id * hidden, count: hidden })));
  const byId = new Map(distinct.map((id, index) => [id, rows[index] as Float32Array]));
  const states = new Float32Array(ids.length * hidden);
  ids.forEach((id, token) => {
    states.set(byId.get(id) as Float32Array, token * hidden);
  });
  if (!allFinite(states)) {
    throw new BrokenModel(embedding.name, true);
  }
  return states;
}

/** The head, some rows at a time, for the tokens whose logits are wanted. */
async function passHead(
  { architecture: { hidden, head, last, embedding }, products, vectors }: Run,
  round: Round,
  states: Float32Array,
  gathered: readonly LogitGathering[],
): Promise<void> {
  const wanted: { readonly text: number; readonly place: number }[] = [];
  let token = 0;
  for (const { text, ids, done } of round) {
    for (let i = 0; i < ids.length; i++, token++) {
      if (gathered[text]?.wants(done + i) === true) {
        vectors.norm(last, states, token * hidden, products.inputs, wanted.length * hidden);
        wanted.push({ text, place: done + i });
      }
    }
  }
  const vocabulary = embedding.shape[0] ?? 0;
  for (let first = 0; first < vocabulary; first += HEAD_ROWS) {
    await products.next(wanted.length);
    const rows = Math.min(HEAD_ROWS, vocabulary - first);
    wanted.forEach(({ text, place }, index) => {
      const logits = products.outputs.subarray(index * rows, (index + 1) * rows);
      vectors.addBias(head, logits, 0, first, rows);
      gathered[text]?.take(place, first, logits);
    });
  }
}
