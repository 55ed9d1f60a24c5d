/**
 * Meta's original layout of LLaMA, read as the state dict of transformers (convert_llama_weights_to_hf.py; docs/formats.md 2.6). It has
 * other names, matrices cut into one part for each processor, and the rows of q and k in another order within each head. This file handles
 * only names, shapes and places, and reads no bytes.
 */
import { WeightDiffError } from "../../../errors.js";
import type { Piece } from "../../../formats/pieces.js";
import { quote } from "../../../formats/quote.js";
import type { Shape, StoredRecord, TensorInfo } from "../../../formats/tensor-info.js";
import { FETCH_PARAMS, type MetaParams } from "./params.js";
import { type MetaPart, refuseGaps, refuseOtherCount } from "./parts.js";

/** A tensor of transformers' state dict, and the part that holds it or its first piece. */
export interface MetaTensor extends TensorInfo {
  readonly part: number;
  readonly pieces?: readonly MetaPiece[];
}

interface MetaPiece extends Piece {
  readonly part: number;
  readonly name: string;
  readonly record?: StoredRecord;
}

/** The model that shapes and params.json describe. */
export interface MetaModel {
  readonly hiddenSize: number;
  readonly layers: number;
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly intermediateSize: number;
  readonly vocabulary: number;
  /** In the order of a state dict of early 2023. */
  readonly tensors: readonly MetaTensor[];
}

/** The dimension along which parts are joined; null for a tensor that every part holds. */
type Axis = 0 | 1 | null;
type Row = readonly [ours: string, metas: string, axis: Axis, heads?: "rotary"];

const OUTER = {
  first: [["model.embed_tokens.weight", "tok_embeddings.weight", 1]],
  last: [
    ["model.norm.weight", "norm.weight", null],
    ["lm_head.weight", "output.weight", 0],
  ],
} as const satisfies Record<string, readonly Row[]>;

const LAYER: readonly Row[] = [
  ["self_attn.q_proj.weight", "attention.wq.weight", 0, "rotary"],
  ["self_attn.k_proj.weight", "attention.wk.weight", 0, "rotary"],
  ["self_attn.v_proj.weight", "attention.wv.weight", 0],
  ["self_attn.o_proj.weight", "attention.wo.weight", 1],
  ["mlp.gate_proj.weight", "feed_forward.w1.weight", 0],
  ["mlp.down_proj.weight", "feed_forward.w2.weight", 1],
  ["mlp.up_proj.weight", "feed_forward.w3.weight", 0],
  ["input_layernorm.weight", "attention_norm.weight", null],
  ["post_attention_layernorm.weight", "ffn_norm.weight", null],
];

/** Rotary frequencies, which models recompute. */
const IGNORED = /(^|\.)rope\.freqs$/;
const LAYER_NAME = /^layers\.(0|[1-9]\d{0,5})\./;
/** Heads have this size in every model that Meta released in this layout without a params.json that tells. */
const HEAD_SIZE = 128;
const RELEASED_DIMS: ReadonlySet<number> = new Set([4096, 5120, 6656, 8192]);
const PROBLEMS_SHOWN = 20;

/**
 * The state dict that the parts form together.
 * @param parts all consolidated.*.pth, by name.
 * @param directory for messages.
 * @throws {WeightDiffError} NOT_FOUND if a part, or a params.json that is needed, is missing; MISMATCH, listing disagreements between
 * parts, names, shapes and params.json.
 */
export function readMetaLayout(parts: readonly MetaPart[], params: MetaParams | null, directory: string): MetaModel {
  refuseGaps(parts, directory);
  const byName = parts.map(({ tensors }) => new Map(tensors.map((tensor) => [tensor.name, tensor])));
  const shapeOf = (name: string): Shape => {
    const shape = byName[0]?.get(name)?.shape;
    if (shape === undefined) {
      throw new WeightDiffError(
        "MISMATCH",
        `${parts[0]?.file ?? ""}: has no tensor ${quote(name)}: not a LLaMA as Meta released it`,
        "fetch the weights again, or give the model in Hugging Face's format",
        { at: { file: directory } },
      );
    }
    return shape;
  };
  const hiddenSize = shapeOf("norm.weight")[0] ?? 0;
  const [queryRows = 0] = shapeOf("layers.0.attention.wq.weight");
  refuseOtherCount(parts, hiddenSize, queryRows, directory);
  const count = parts.length;
  const heads = headsOf(params, hiddenSize, directory);
  const headSize = hiddenSize / heads;
  const sizes = {
    hiddenSize,
    layers: layersOf(parts, directory),
    heads,
    keyValueHeads: ((shapeOf("layers.0.attention.wk.weight")[0] ?? 0) * count) / headSize,
    intermediateSize: (shapeOf("layers.0.feed_forward.w1.weight")[0] ?? 0) * count,
    vocabulary: shapeOf("tok_embeddings.weight")[0] ?? 0,
  };
  const tensors: MetaTensor[] = [];
  // A hostile file may cause thousands of problems, so only those that are shown are kept.
  const shown: string[] = [];
  let problems = 0;
  const tell = (problem: string): void => {
    problems++;
    if (problems <= PROBLEMS_SHOWN) {
      shown.push(problem);
    }
  };
  compareParams(sizes, params, count, tell);
  tellOtherTensors(parts, tell);
  const expected = shapesOf(sizes, count);
  for (const [ours, metas, axis, rotary] of rowsOf(sizes.layers)) {
    const views = byName.map((part) => part.get(metas));
    const problem = checkViews(metas, views, parts, expected(metas));
    if (problem !== null) {
      tell(problem);
    } else if (problems === 0) {
      const all = views.flatMap((view) => view ?? []);
      const tensor = joined(ours, all, axis, rotary === undefined ? null : headSize);
      if (tensor !== null) {
        tensors.push(tensor);
      }
    }
  }
  if (problems > 0) {
    const rest = problems > PROBLEMS_SHOWN ? `\n  and ${problems - PROBLEMS_SHOWN} more` : "";
    throw new WeightDiffError(
      "MISMATCH",
      `the parts do not make one LLaMA: ${problems} ${problems === 1 ? "thing does" : "things do"} not fit\n  ${shown.join("\n  ")}${rest}`,
      "parts or params.json are of different models, or damaged: fetch them again from one place",
      { at: { file: directory } },
    );
  }
  return { ...sizes, tensors };
}

function headsOf(params: MetaParams | null, hiddenSize: number, directory: string): number {
  if (params === null && !RELEASED_DIMS.has(hiddenSize)) {
    throw new WeightDiffError(
      "NOT_FOUND",
      `has no params.json, and a hidden size of ${hiddenSize} does not tell how many heads there are`,
      FETCH_PARAMS,
      { at: { file: directory } },
    );
  }
  const heads = params?.heads ?? hiddenSize / HEAD_SIZE;
  if (!Number.isInteger(hiddenSize / heads / 2)) {
    throw new WeightDiffError(
      "MISMATCH",
      `n_heads is ${heads}, which does not divide the ${hiddenSize} rows of "layers.0.attention.wq.weight" into heads of an even size`,
      "params.json and weights are of different models: fetch both from one place",
      { at: { file: params?.path ?? directory } },
    );
  }
  return heads;
}

function layersOf(parts: readonly MetaPart[], directory: string): number {
  const layers = new Set<number>();
  let highest = 0;
  for (const { name } of parts[0]?.tensors ?? []) {
    const layer = LAYER_NAME.exec(name)?.[1];
    if (layer !== undefined) {
      layers.add(Number(layer));
      highest = Math.max(highest, Number(layer));
    }
  }
  if (highest + 1 !== layers.size) {
    const missing = Array.from({ length: layers.size }, (_, layer) => layer).find((layer) => !layers.has(layer));
    throw new WeightDiffError(
      "MISMATCH",
      `${parts[0]?.file ?? ""}: layer ${missing ?? 0} is missing, the highest is ${highest}`,
      "fetch the weights again",
      { at: { file: directory } },
    );
  }
  return layers.size;
}

type Sizes = Omit<MetaModel, "tensors">;

function compareParams(sizes: Sizes, params: MetaParams | null, parts: number, tell: (problem: string) => void): void {
  const { heads, keyValueHeads } = sizes;
  for (const number of [heads, keyValueHeads]) {
    if (!Number.isInteger(number / parts) || number === 0) {
      tell(`${number} heads cannot be cut into ${parts} parts`);
    }
  }
  if (params === null) {
    return;
  }
  const compare = (key: string, stated: number | null, found: number, what: string): void => {
    if (stated !== null && stated !== found) {
      tell(`params.json: ${key} is ${stated}, ${what} ${found}`);
    }
  };
  compare("dim", params.dim, sizes.hiddenSize, "the length of the norm weights is");
  compare("n_layers", params.layers, sizes.layers, "the number of layers among the tensors is");
  compare("n_kv_heads", params.keyValueHeads ?? heads, keyValueHeads, "the heads among the rows of wk are");
  compare("vocab_size", params.vocabulary, sizes.vocabulary, "the rows of tok_embeddings are");
}

/** Tensors that no LLaMA has. */
function tellOtherTensors(parts: readonly MetaPart[], tell: (problem: string) => void): void {
  const known = new Set(LAYER.map(([, metas]) => metas));
  const outer = new Set<string>([...OUTER.first, ...OUTER.last].map(([, metas]) => metas));
  for (const { file, tensors } of parts) {
    for (const { name } of tensors) {
      if (!outer.has(name) && !known.has(name.replace(LAYER_NAME, "")) && !IGNORED.test(name)) {
        tell(`${file}: tensor ${quote(name)} belongs to no LLaMA`);
      }
    }
  }
}

function* rowsOf(layers: number): Generator<Row> {
  yield* OUTER.first;
  for (let layer = 0; layer < layers; layer++) {
    for (const [ours, metas, ...how] of LAYER) {
      yield [`model.layers.${layer}.${ours}`, `layers.${layer}.${metas}`, ...how];
    }
  }
  yield* OUTER.last;
}

/** The shape of a tensor in each part, by Meta's name. */
function shapesOf(sizes: Sizes, parts: number): (name: string) => Shape {
  const { hiddenSize: dim, vocabulary, intermediateSize, heads, keyValueHeads } = sizes;
  const keys = (keyValueHeads * dim) / heads / parts;
  const shapes = new Map<string, Shape>([
    ["tok_embeddings.weight", [vocabulary, dim / parts]],
    ["norm.weight", [dim]],
    ["output.weight", [vocabulary / parts, dim]],
    ["attention.wq.weight", [dim / parts, dim]],
    ["attention.wk.weight", [keys, dim]],
    ["attention.wv.weight", [keys, dim]],
    ["attention.wo.weight", [dim, dim / parts]],
    ["feed_forward.w1.weight", [intermediateSize / parts, dim]],
    ["feed_forward.w2.weight", [dim, intermediateSize / parts]],
    ["feed_forward.w3.weight", [intermediateSize / parts, dim]],
    ["attention_norm.weight", [dim]],
    ["ffn_norm.weight", [dim]],
  ]);
  return (name) => shapes.get(name.replace(LAYER_NAME, "")) ?? [];
}

/** @returns what is wrong with a tensor in the parts, in words; null if nothing is. */
function checkViews(
  name: string,
  views: readonly (TensorInfo | undefined)[],
  parts: readonly MetaPart[],
  expected: Shape,
): string | null {
  const [first] = views;
  for (const [part, view] of views.entries()) {
    const where = `${parts[part]?.file ?? ""}: tensor ${quote(name)}`;
    if (view === undefined || first === undefined) {
      return `${where} is missing`;
    }
    if (view.shape.join() !== expected.join()) {
      return `${where} has shape [${view.shape.join(", ")}], expected [${expected.join(", ")}]`;
    }
    if (view.dtype !== first.dtype || view.bigEndian !== first.bigEndian) {
      return `${where} is ${view.dtype}, in ${parts[0]?.file ?? ""} ${first.dtype}`;
    }
  }
  return null;
}

/** One tensor from all its views. Every part holds the norms; the first one's is taken, as the converter does. */
function joined(name: string, views: readonly TensorInfo[], axis: Axis, headSize: number | null): MetaTensor | null {
  const [first] = views;
  if (first === undefined) {
    return null;
  }
  if (headSize === null && (axis === null || views.length === 1)) {
    return { ...first, name, path: [name], part: 0 };
  }
  const { strides: _, record: __, ...info } = first;
  const [rows = 0, columns = 0] = first.shape;
  const shape = axis === 1 ? [rows, columns * views.length] : [rows * views.length, columns];
  const width = shape[1] ?? 0;
  const pieces = views.map((view, part): MetaPiece => {
    const [down = columns, across = 1] = view.strides ?? [];
    const where = {
      part,
      name: view.name,
      range: view.range,
      ...(view.record === undefined ? {} : { record: view.record }),
    };
    const at = axis === 1 ? part * columns : part * rows * width;
    if (headSize === null) {
      return { ...where, shape: view.shape, strides: [down, across], steps: [width, 1], first: at };
    }
    // Row h * size + j * (size / 2) + i here is row h * size + 2 * i + j in Meta's file.
    const half = headSize / 2;
    return {
      ...where,
      shape: [rows / headSize, 2, half, columns],
      strides: [headSize * down, down, 2 * down, across],
      steps: [headSize * width, half * width, width, 1],
      first: at,
    };
  });
  return { ...info, name, path: [name], shape, part: 0, pieces };
}
