/** The forward pass (docs/try.md): matrices by the engine, everything between them here. */
import type { Checkpoint } from "../checkpoint/checkpoint.js";
import { WeightDiffError } from "../errors.js";
import type { RunOptions } from "../run/run-plan.js";
import { type Architecture, architectureOf } from "./architecture.js";
import { allFinite, attend, gelu, layerNorm, rmsNorm, silu } from "./arithmetic.js";
import { type KeyValueCache, openCache } from "./cache.js";
import { startLosses } from "./losses.js";
import { BrokenModel, type LanguageModel, type Said, type Text } from "./model.js";
import type { Module } from "./modules.js";
import { type Part, type Products, type Step, startProducts, stepBytes } from "./products.js";
import { rotate, type Turn, turnAt } from "./rope.js";
import { readFloats } from "./values.js";

export type OpenModelOptions = Pick<RunOptions, "threads" | "windowBytes" | "disk" | "signal" | "hub" | "onProgress">;

/** Rows of the head that are multiplied in one step: the products of all tokens with all rows would not fit. */
const HEAD_ROWS = 8192;
/** What the tokens of a pass may take: their inputs, here and in each thread, and their products. */
const TOKEN_BYTES = 96 * 2 ** 20;
const LEAST_TOKENS = 16;
const MOST_TOKENS = 512;
/** Tokens of a text where the config names no end. */
const MOST_POSITIONS = 2 ** 17;

/**
 * Opens the model of a checkpoint. Its small tensors are read, its matrices are not.
 * @throws {WeightDiffError} as architectureOf; IO, NETWORK, DISK_FULL; LIMIT. @throws {BrokenModel} where a norm or bias is not finite.
 */
export async function openLanguageModel(checkpoint: Checkpoint, options: OpenModelOptions): Promise<LanguageModel> {
  const architecture = await architectureOf(checkpoint);
  const small = await readSmall(architecture);
  const steps = stepsOf(architecture);
  const most = mostTokens(steps, architecture);
  let onRead: (bytes: number) => void = () => {};
  const products = await startProducts(steps, { ...options, tokens: most, onRead: (bytes) => onRead(bytes) });
  const { keyHeads, headSize, layers } = architecture;
  const positions = architecture.positions;
  const cache = openCache(layers.length, 2 * keyHeads * headSize, Math.min(positions, MOST_POSITIONS));
  const vocabulary = architecture.embedding.shape[0] ?? 0;
  const run: Run = { architecture, small, products, cache, vocabulary, turns: new Map() };
  return {
    family: architecture.name,
    vocabulary,
    positions: architecture.positions,
    layers: layers.length,
    passBytes: steps.reduce((sum, step) => sum + stepBytes(step), 0),
    notes: architecture.notes,
    async pass(texts, onProgress) {
      refuseTexts(texts, run, Math.min(positions, MOST_POSITIONS));
      let read = 0;
      onRead = (bytes) => {
        read += bytes;
        onProgress?.(read);
      };
      const said = texts.map((text) => startSaid(text, vocabulary));
      for (const round of roundsOf(texts, most)) {
        await passRound(run, round, said);
      }
      texts.forEach((_, text) => {
        cache.forget(ownKey(text));
      });
      return said.map((each) => each.finish());
    },
    async close() {
      await products.close();
      await cache.close();
    },
  };
}

interface Run {
  readonly architecture: Architecture;
  /** Norms and biases, by what they are part of. */
  readonly small: ReadonlyMap<Module, SmallValues>;
  readonly products: Products;
  readonly cache: KeyValueCache;
  readonly vocabulary: number;
  /** By position. */
  readonly turns: Map<number, Turn>;
}

interface SmallValues {
  readonly weight: Float32Array;
  readonly bias: Float32Array | null;
}

const NONE = new Float32Array(0);

async function readSmall({ layers, last, head }: Architecture): Promise<ReadonlyMap<Module, SmallValues>> {
  const norms = [...layers.flatMap(({ before, between, heads }) => [before, between, ...heads]), last];
  const linears = [
    ...layers.flatMap(({ attention, output, inner, down }) => [...attention, output, ...inner, down]),
    head,
  ];
  const wanted = [
    ...norms.flatMap((norm) => [
      { owner: norm, bias: false, tensor: norm.weight },
      ...(norm.bias === null ? [] : [{ owner: norm, bias: true, tensor: norm.bias }]),
    ]),
    ...linears.flatMap((linear) => (linear.bias === null ? [] : [{ owner: linear, bias: true, tensor: linear.bias }])),
  ];
  const values = await readFloats(wanted.map(({ tensor }) => ({ tensor, first: 0, count: tensor.shape[0] ?? 0 })));
  const found = new Map<Module, SmallValues>();
  wanted.forEach(({ owner, bias, tensor }, index) => {
    const read = values[index] ?? NONE;
    if (!allFinite(read)) {
      throw new BrokenModel(tensor.name, true);
    }
    const known = found.get(owner) ?? { weight: NONE, bias: null };
    found.set(owner, bias ? { ...known, bias: read } : { ...known, weight: read });
  });
  return found;
}

/** Every matrix of a pass, in its order. */
function stepsOf({ layers, head, hidden, heads, headSize, inner }: Architecture): readonly Step[] {
  const step = (columns: number, linears: readonly Module[]): Step => {
    let products = 0;
    const parts = linears.map(({ weight }): Part => {
      const first = products;
      const rows = weight.shape[0] ?? 0;
      products += rows;
      return { name: weight.name, tensor: weight, rows: { begin: 0, end: rows }, first };
    });
    return { columns, products, parts };
  };
  const rows = head.weight.shape[0] ?? 0;
  const chunks = Array.from({ length: Math.ceil(rows / HEAD_ROWS) }, (_, index): Step => {
    const begin = index * HEAD_ROWS;
    const end = Math.min(rows, begin + HEAD_ROWS);
    const part = { name: head.weight.name, tensor: head.weight, rows: { begin, end }, first: 0 };
    return { columns: hidden, products: end - begin, parts: [part] };
  });
  return [
    ...layers.flatMap((layer) => [
      step(hidden, layer.attention),
      step(heads * headSize, [layer.output]),
      step(hidden, layer.inner),
      step(inner, [layer.down]),
    ]),
    ...chunks,
  ];
}

/** As many as fit their room: the states and inputs here and in each of two threads, the products, and the states between. */
function mostTokens(steps: readonly Step[], { hidden }: Architecture): number {
  const columns = Math.max(...steps.map((step) => step.columns));
  const products = Math.max(...steps.map((step) => step.products));
  const bytes = 4 * (3 * columns + products + 2 * hidden);
  return Math.min(MOST_TOKENS, Math.max(LEAST_TOKENS, Math.floor(TOKEN_BYTES / bytes)));
}

function refuseTexts(texts: readonly Text[], { cache, vocabulary }: Run, positions: number): void {
  const keys = texts.flatMap(({ key }) => key ?? []);
  if (new Set(keys).size < keys.length) {
    throw new TypeError("two texts of one key in a pass: the second has nothing of the first to follow");
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
    const length = cache.length(key) + ids.length;
    if (ids.length === 0 || length > positions) {
      throw new WeightDiffError("USAGE", `a text of ${length} ids, the model takes 1 to ${positions}`, "shorten it");
    }
  }
}

/** Ids of one text that go through the weights together. */
interface Stretch {
  /** Place of the text. */
  readonly text: number;
  readonly key: string | null;
  readonly ids: readonly number[];
  /** Of the text, how many ids came before these in earlier rounds of this call. */
  readonly done: number;
}

/** Of a text that has no key of its own. */
function ownKey(text: number): string {
  return `\0${text}`;
}

/** Texts of up to `most` tokens go together; a longer one goes in several rounds, and is kept meanwhile. */
function roundsOf(texts: readonly Text[], most: number): readonly (readonly Stretch[])[] {
  const rounds: Stretch[][] = [];
  let room = 0;
  texts.forEach(({ key, ids }, text) => {
    for (let done = 0; done < ids.length; ) {
      if (room === 0) {
        rounds.push([]);
        room = most;
      }
      const some = ids.slice(done, done + room);
      // What has no key is not kept between calls, but between rounds it must be.
      const kept = some.length < ids.length ? (key ?? ownKey(text)) : key;
      rounds.at(-1)?.push({ text, key: kept, ids: some, done });
      done += some.length;
      room -= some.length;
    }
  });
  return rounds;
}

/** What is gathered of one text. */
function startSaid({ ids, wanted }: Text, vocabulary: number) {
  const last = wanted === "losses" ? null : new Float32Array(vocabulary);
  const losses = wanted === "last" ? null : startLosses(ids);
  return {
    last,
    losses,
    /** Are the logits after the id at this place wanted? */
    wants: (place: number): boolean =>
      (last !== null && place === ids.length - 1) || (losses !== null && place < ids.length - 1),
    isLast: (place: number): boolean => place === ids.length - 1,
    finish: (): Said => ({ last, losses: losses?.finish() ?? null }),
  };
}

async function passRound(
  run: Run,
  round: readonly Stretch[],
  said: readonly ReturnType<typeof startSaid>[],
): Promise<void> {
  const { architecture, small, products, cache } = run;
  const { hidden, heads, keyHeads, headSize, layers, family, eps, inner } = architecture;
  const { inputs, outputs } = products;
  const tokens = round.reduce((sum, { ids }) => sum + ids.length, 0);
  const states = await embed(run, round);
  const normalise = (norm: Module, source: Float32Array, from: number, target: Float32Array, to: number): void => {
    const { weight, bias } = small.get(norm) as SmallValues;
    if (bias === null) {
      rmsNorm(source, from, target, to, weight, eps);
    } else {
      layerNorm(source, from, target, to, weight, bias, eps);
    }
  };
  /** Norms every state into the inputs. */
  const bring = (norm: Module): void => {
    for (let token = 0; token < tokens; token++) {
      normalise(norm, states, token * hidden, inputs, token * hidden);
    }
  };
  /** The products of the matrices, with their biases. */
  const multiply = async (linears: readonly Module[]): Promise<void> => {
    await products.next(tokens);
    const stride = linears.reduce((sum, { weight }) => sum + (weight.shape[0] ?? 0), 0);
    let first = 0;
    for (const linear of linears) {
      const bias = small.get(linear)?.bias ?? null;
      if (bias !== null) {
        for (let at = first; at < tokens * stride; at += stride) {
          for (let i = 0; i < bias.length; i++) {
            outputs[at + i] = (outputs[at + i] ?? 0) + (bias[i] ?? 0);
          }
        }
      }
      first += linear.weight.shape[0] ?? 0;
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
    let token = 0;
    for (const { key, ids } of round) {
      const past = cache.length(key);
      const rows = await cache.open(key, index, ids.length);
      for (let i = 0; i < ids.length; i++) {
        const queries = splitHeads(run, token + i, rows, past + i);
        for (let head = 0; head < layer.heads.length; head++) {
          const norm = layer.heads[head] as Module;
          const [values, at, count] =
            head === 0 ? [outputs, queries, heads] : [rows, (past + i) * 2 * keyHeads * headSize, keyHeads];
          for (let k = 0; k < count; k++) {
            normalise(norm, values, at + k * headSize, values, at + k * headSize);
          }
        }
        turn(run, queries, rows, past + i);
        const target = (token + i) * heads * headSize;
        attend(
          { heads, keyHeads, size: headSize, window: architecture.window },
          outputs,
          queries,
          rows,
          past + i,
          inputs,
          target,
        );
      }
      await cache.keep(key, index, ids.length);
      token += ids.length;
    }
    await multiply([layer.output]);
    if (architecture.parallel) {
      // Both read the state before the layer: what attention gives is added only once the MLP has its input.
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
  for (const { key, ids } of round) {
    cache.grow(key, ids.length);
  }
  await say(run, round, states, said, normalise);
}

/** Rows of the embedding, one behind the other. @throws {BrokenModel} */
async function embed({ architecture: { embedding, hidden } }: Run, round: readonly Stretch[]): Promise<Float32Array> {
  const ids = round.flatMap((stretch) => stretch.ids);
  const distinct = [...new Set(ids)];
  const rows = await readFloats(distinct.map((id) => ({ tensor: embedding, first: id * hidden, count: hidden })));
  const byId = new Map(distinct.map((id, index) => [id, rows[index] ?? NONE]));
  const states = new Float32Array(ids.length * hidden);
  ids.forEach((id, token) => {
    states.set(byId.get(id) ?? NONE, token * hidden);
  });
  if (!allFinite(states)) {
    throw new BrokenModel(embedding.name, true);
  }
  return states;
}

/**
 * Puts the keys and values of a token into its row of the cache. Where one matrix gives all three, they lie head by head: its queries are
 * brought together. @returns where among the outputs the token's queries begin.
 */
function splitHeads(
  { architecture, products: { outputs } }: Run,
  token: number,
  rows: Float32Array,
  place: number,
): number {
  const { heads, keyHeads, headSize, family } = architecture;
  const queries = heads * headSize;
  const keys = keyHeads * headSize;
  const at = token * (queries + 2 * keys);
  const row = 2 * keys * place;
  if (family.names.layer.attention.length === 3) {
    rows.set(outputs.subarray(at + queries, at + queries + 2 * keys), row);
    return at;
  }
  for (let head = 0; head < heads; head++) {
    const own = at + 3 * head * headSize;
    rows.set(outputs.subarray(own + headSize, own + 2 * headSize), row + head * headSize);
    rows.set(outputs.subarray(own + 2 * headSize, own + 3 * headSize), row + keys + head * headSize);
    // A head's queries move down, over what was taken out.
    outputs.copyWithin(at + head * headSize, own, own + headSize);
  }
  return at;
}

/** Turns a token's queries and keys by its position. */
function turn(
  { architecture, products: { outputs }, turns }: Run,
  queries: number,
  rows: Float32Array,
  position: number,
): void {
  const { heads, keyHeads, headSize, rope } = architecture;
  const angle = turns.get(position) ?? turnAt(rope, position);
  turns.set(position, angle);
  for (let head = 0; head < heads; head++) {
    rotate(outputs, queries + head * headSize, angle);
  }
  for (let head = 0; head < keyHeads; head++) {
    rotate(rows, 2 * keyHeads * headSize * position + head * headSize, angle);
  }
}

/** The head, some rows at a time, for the tokens whose logits are wanted. */
async function say(
  { architecture, products, small, vocabulary }: Run,
  round: readonly Stretch[],
  states: Float32Array,
  said: readonly ReturnType<typeof startSaid>[],
  normalise: (norm: Module, source: Float32Array, from: number, target: Float32Array, to: number) => void,
): Promise<void> {
  const { hidden, head, last } = architecture;
  const wanted: { readonly text: number; readonly place: number }[] = [];
  let token = 0;
  for (const { text, ids, done } of round) {
    for (let i = 0; i < ids.length; i++, token++) {
      if (said[text]?.wants(done + i) === true) {
        normalise(last, states, token * hidden, products.inputs, wanted.length * hidden);
        wanted.push({ text, place: done + i });
      }
    }
  }
  const bias = small.get(head)?.bias ?? null;
  for (let first = 0; first < vocabulary; first += HEAD_ROWS) {
    await products.next(wanted.length);
    const rows = Math.min(HEAD_ROWS, vocabulary - first);
    wanted.forEach(({ text, place }, index) => {
      const logits = products.outputs.subarray(index * rows, (index + 1) * rows);
      if (bias !== null) {
        for (let i = 0; i < rows; i++) {
          logits[i] = (logits[i] ?? 0) + (bias[first + i] ?? 0);
        }
      }
      const own = said[text];
      own?.losses?.take(place, first, logits);
      if (own?.last != null && own.isLast(place)) {
        own.last.set(logits, first);
      }
    });
  }
}
