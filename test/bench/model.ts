/**
 * Models to measure with: LLaMA's tensors and shapes, an F16 base and an F32 diff with one row more, in torch files.
 * Values look like weights and are the same every time; the replicas of large models are holes. Models stay in the bench's
 * folder and are used again.
 */
import { mkdir, open, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { layoutShard } from "../../src/formats/safetensors-layout.js";
import { type BinTensor, binBytes, type Fill, writeTorchBin } from "./torch-bin.js";

export interface Layout {
  readonly layers: number;
  readonly hidden: number;
  readonly intermediate: number;
  /** Rows of the base's embeddings; the diff has one more, unless told otherwise. */
  readonly vocab: number;
  readonly equalVocab?: true;
  /** Files of each side, about; by default one. */
  readonly shards?: number;
  /** Holes instead of values, shards and rotary buffers as in the real files. */
  readonly replica?: true;
}

/** Halving layers and vocabulary halves the bytes. */
export const LAYOUTS = {
  tiny: { layers: 2, hidden: 128, intermediate: 344, vocab: 500 },
  "0.12G": { layers: 1, hidden: 2048, intermediate: 5504, vocab: 16000 },
  "0.27G": { layers: 1, hidden: 4096, intermediate: 11008, vocab: 8000 },
  "0.27G-shards": { layers: 1, hidden: 4096, intermediate: 11008, vocab: 8000, shards: 4 },
  "0.53G": { layers: 2, hidden: 4096, intermediate: 11008, vocab: 16000 },
  "1.07G": { layers: 4, hidden: 4096, intermediate: 11008, vocab: 32000 },
  "1.07G-equal-vocab": { layers: 4, hidden: 4096, intermediate: 11008, vocab: 32000, equalVocab: true },
  "7B": { layers: 32, hidden: 4096, intermediate: 11008, vocab: 32000, replica: true },
  "65B-layer": { layers: 1, hidden: 8192, intermediate: 22016, vocab: 32000, replica: true },
  "65B": { layers: 80, hidden: 8192, intermediate: 22016, vocab: 32000, replica: true },
} as const satisfies Record<string, Layout>;

export type ModelName = keyof typeof LAYOUTS;

export interface Model {
  readonly name: ModelName;
  /** Directories. */
  readonly base: string;
  readonly diff: string;
  /** The weight files of both, base first. */
  readonly inputs: readonly string[];
  readonly diffFiles: readonly string[];
  readonly parameters: number;
  /** Bytes of base and diff. */
  readonly bytes: number;
}

const TORCH_NAME = { F16: "float16", BF16: "bfloat16", F32: "float32" } as const;
const HEAD_SIZE = 128;
/** transformers' limit in 2023. */
const SHARD_BYTES = 10_000_000_000;
const BLOCK_VALUES = 1 << 22;

/** The model under `dir`, written if it is not there yet. */
export async function prepareModel(dir: string, name: ModelName): Promise<Model> {
  const place = join(dir, name);
  const layout: Layout = LAYOUTS[name];
  const base = tensorsOf(layout, layout.vocab, "F16");
  const diffVocab = layout.vocab + (layout.equalVocab ? 0 : 1);
  const diff = tensorsOf(layout, diffVocab, "F32");
  const shardsOf = (tensors: readonly BinTensor[]): readonly (readonly BinTensor[])[] => {
    const bytes = tensors.reduce((sum, tensor) => sum + binBytes(tensor), 0);
    return split(tensors, layout.replica ? SHARD_BYTES : bytes / (layout.shards ?? 1));
  };
  const baseShards = shardsOf(base);
  const diffShards = shardsOf(diff);
  if ((await stat(place).catch(() => null)) === null) {
    const partial = `${place}.partial`;
    await rm(partial, { recursive: true, force: true });
    const fills = layout.replica ? [null, null] : [fillWith(0.02, 1), fillWith(0.0005, 2)];
    await writeModel(join(partial, "base"), layout, layout.vocab, "float16", baseShards, fills[0] ?? null);
    await writeModel(join(partial, "diff"), layout, diffVocab, "float32", diffShards, fills[1] ?? null);
    await rename(partial, place);
  }
  const files = (side: string, count: number): string[] =>
    Array.from({ length: count }, (_, index) => join(place, side, shardName(index, count)));
  const diffFiles = files("diff", diffShards.length);
  return {
    name,
    base: join(place, "base"),
    diff: join(place, "diff"),
    inputs: [...files("base", baseShards.length), ...diffFiles],
    diffFiles,
    parameters: diff.reduce((sum, tensor) => sum + binBytes(tensor) / 4, 0),
    bytes: [...base, ...diff].reduce((sum, tensor) => sum + binBytes(tensor), 0),
  };
}

export interface Side {
  /** Directory. */
  readonly path: string;
  readonly files: readonly string[];
}

interface SideOptions {
  /** Rows of its embeddings beyond the layout's. */
  readonly moreRows?: number;
  readonly format?: WeightFormat;
  readonly fill: Fill;
}

/** One side alone, in one file: a model of this layout. Written if it is not there yet. */
export async function prepareSide(
  place: string,
  name: ModelName,
  dtype: BinTensor["dtype"],
  { moreRows = 0, format = BIN, fill }: SideOptions,
): Promise<Side> {
  const layout: Layout = LAYOUTS[name];
  const vocab = layout.vocab + moreRows;
  if ((await stat(place).catch(() => null)) === null) {
    const partial = `${place}.partial`;
    await rm(partial, { recursive: true, force: true });
    const shards = [tensorsOf(layout, vocab, dtype)];
    await writeModel(partial, layout, vocab, TORCH_NAME[dtype], shards, fill, format);
    await rename(partial, place);
  }
  return { path: place, files: [join(place, shardName(0, 1, format))] };
}

interface WeightFormat {
  readonly stem: string;
  readonly ending: string;
  write(path: string, tensors: readonly BinTensor[], fill: Fill | null): Promise<void>;
}

const BIN: WeightFormat = { stem: "pytorch_model", ending: "bin", write: writeTorchBin };
export const SAFETENSORS: WeightFormat = { stem: "model", ending: "safetensors", write: writeSafetensors };

async function writeSafetensors(path: string, tensors: readonly BinTensor[], fill: Fill | null): Promise<void> {
  const { header, size } = layoutShard(tensors, { name: path });
  const file = await open(path, "w");
  try {
    await file.writeFile(header);
    for (const tensor of tensors) {
      for (const piece of fill?.(tensor) ?? []) {
        await file.writeFile(piece);
      }
    }
    await file.truncate(size);
  } finally {
    await file.close();
  }
}

/** In the order of the state dicts of 2023. */
function tensorsOf(layout: Layout, vocab: number, dtype: BinTensor["dtype"]): readonly BinTensor[] {
  const { hidden, intermediate } = layout;
  const layer = (index: number): BinTensor[] => {
    const tensor = (name: string, ...shape: number[]): BinTensor => ({
      name: `model.layers.${index}.${name}`,
      dtype,
      shape,
    });
    return [
      ...["q", "k", "v", "o"].map((part) => tensor(`self_attn.${part}_proj.weight`, hidden, hidden)),
      ...(layout.replica ? [{ ...tensor("self_attn.rotary_emb.inv_freq", HEAD_SIZE / 2), dtype: "F32" as const }] : []),
      tensor("mlp.gate_proj.weight", intermediate, hidden),
      tensor("mlp.down_proj.weight", hidden, intermediate),
      tensor("mlp.up_proj.weight", intermediate, hidden),
      tensor("input_layernorm.weight", hidden),
      tensor("post_attention_layernorm.weight", hidden),
    ];
  };
  return [
    { name: "model.embed_tokens.weight", dtype, shape: [vocab, hidden] },
    ...Array.from({ length: layout.layers }, (_, index) => layer(index)).flat(),
    { name: "model.norm.weight", dtype, shape: [hidden] },
    { name: "lm_head.weight", dtype, shape: [vocab, hidden] },
  ];
}

/** As save_pretrained: a new shard where the limit would be passed. */
function split(tensors: readonly BinTensor[], most: number): readonly (readonly BinTensor[])[] {
  const shards: BinTensor[][] = [[]];
  let filled = 0;
  for (const tensor of tensors) {
    if (filled + binBytes(tensor) > most) {
      shards.push([]);
      filled = 0;
    }
    shards.at(-1)?.push(tensor);
    filled += binBytes(tensor);
  }
  return shards;
}

function shardName(index: number, count: number, { stem, ending } = BIN): string {
  const number = (n: number): string => String(n).padStart(5, "0");
  return count === 1 ? `${stem}.${ending}` : `${stem}-${number(index + 1)}-of-${number(count)}.${ending}`;
}

async function writeModel(
  directory: string,
  layout: Layout,
  vocab: number,
  dtype: string,
  shards: readonly (readonly BinTensor[])[],
  fill: Fill | null,
  format = BIN,
): Promise<void> {
  await mkdir(directory, { recursive: true });
  const weightMap: Record<string, string> = {};
  let totalSize = 0;
  for (const [index, tensors] of shards.entries()) {
    const file = shardName(index, shards.length, format);
    await format.write(join(directory, file), tensors, fill);
    for (const tensor of tensors) {
      weightMap[tensor.name] = file;
      totalSize += binBytes(tensor);
    }
  }
  const save = (file: string, value: unknown): Promise<void> =>
    writeFile(join(directory, file), `${JSON.stringify(value, null, 2)}\n`);
  if (shards.length > 1) {
    await save("pytorch_model.bin.index.json", { metadata: { total_size: totalSize }, weight_map: weightMap });
  }
  await save("config.json", {
    architectures: ["LlamaForCausalLM"],
    bos_token_id: 1,
    eos_token_id: 2,
    hidden_act: "silu",
    hidden_size: layout.hidden,
    intermediate_size: layout.intermediate,
    max_position_embeddings: 2048,
    model_type: "llama",
    num_attention_heads: layout.hidden / HEAD_SIZE,
    num_hidden_layers: layout.layers,
    pad_token_id: 0,
    rms_norm_eps: 1e-6,
    tie_word_embeddings: false,
    torch_dtype: dtype,
    vocab_size: vocab,
  });
}

/** Pieces of one block of bell-shaped values, from another place in it for every tensor. */
export function fillWith(deviation: number, seed: number): Fill {
  return fillWithSum({ deviation, seed });
}

interface Draw {
  readonly deviation: number;
  readonly seed: number;
  /** Of the values, how many are not zero; left out: all. */
  readonly share?: number;
}

/** Sums of several such values, rounded once: a base, and how far a fine-tune took it. */
export function fillWithSum(...draws: readonly Draw[]): Fill {
  const blocks = new Map<BinTensor["dtype"], Uint8Array>();
  return function* (tensor) {
    const block = blocks.get(tensor.dtype) ?? valueBlock(draws, tensor.dtype);
    blocks.set(tensor.dtype, block);
    const start = ([...tensor.name].reduce((sum, letter) => sum + letter.charCodeAt(0), 0) * 4096) % block.length;
    for (let left = binBytes(tensor), at = start; left > 0; at = 0) {
      const piece = block.subarray(at, Math.min(block.length, at + left));
      left -= piece.length;
      yield piece;
    }
  };
}

function valueBlock(draws: readonly Draw[], dtype: BinTensor["dtype"]): Uint8Array {
  const sources = draws.map(normal);
  const values = Float32Array.from({ length: BLOCK_VALUES }, () => sources.reduce((sum, next) => sum + next(), 0));
  return new Uint8Array(
    dtype === "F32" ? values.buffer : (dtype === "F16" ? halves(values) : upperHalves(values)).buffer,
  );
}

/** Sums of four uniform numbers: close to N(0, deviation), from a generator that needs no library. */
function normal({ deviation, seed, share = 1 }: Draw): () => number {
  let state = seed;
  const uniform = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32 - 0.5;
  };
  return () => {
    const value = (uniform() + uniform() + uniform() + uniform()) * Math.sqrt(3) * deviation;
    return share < 1 && uniform() + 0.5 >= share ? 0 : value;
  };
}

/** BF16 bits, rounded towards zero. */
function upperHalves(values: Float32Array): Uint16Array {
  return Uint16Array.from(new Uint32Array(values.buffer), (word) => word >>> 16);
}

/** F16 bits, rounded towards zero; exactness does not matter here, subnormals become zero. */
function halves(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer);
  return Uint16Array.from(bits, (word) => {
    const exponent = ((word >>> 23) & 0xff) - 112;
    return ((word >>> 16) & 0x8000) | (exponent <= 0 ? 0 : (exponent << 10) | ((word >>> 13) & 0x3ff));
  });
}
