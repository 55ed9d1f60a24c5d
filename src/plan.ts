/**
 * Two checkpoints, a scheme and options -> everything that will be read, computed and written. Pure: no bytes, no clock, no
 * disk. Every mismatch is listed at once, before anything is written (DESIGN 3.3, 4).
 */
import type { Checkpoint, StoredTensor } from "./checkpoint/checkpoint.js";
import type { Job, Operand, Rule, StoredOperand, TensorJob } from "./engine/job.js";
import { WeightDiffError } from "./errors.js";
import { type Dtype, elementCount, isFloatDtype, tensorBytes } from "./formats/dtype.js";
import { quote } from "./formats/quote.js";
import { layoutShard } from "./formats/safetensors.js";
import type { ByteRange, Shape } from "./formats/tensor-info.js";
import { explainMismatch } from "./mismatch.js";
import type { NewRows, Scheme } from "./scheme.js";

export interface PlanOptions {
  readonly scheme: Scheme;
  /** Of the float tensors written. */
  readonly dtype: "F32" | "F16" | "BF16";
  /** Bytes of tensor data in one output file. */
  readonly maxShardSize: number;
  /** What to do with `rotary_emb.inv_freq` buffers. */
  readonly invFreq: "drop" | "keep";
  /** Said by the user: overrides the scheme's rule, and lifts the limit on how many rows may be new. */
  readonly rows: NewRows | null;
  /** rope_theta of the base, for buffers that its files lack. */
  readonly ropeTheta: number;
  /** tie_word_embeddings of each side's config: null where it does not say. */
  readonly rawTied: boolean | null;
  readonly diffTied: boolean | null;
}

/** An input file of the run. */
export interface PlanInput {
  readonly role: "raw" | "diff";
  /** Bare name. */
  readonly file: string;
  readonly path: string;
  readonly size: number;
  readonly modified: string;
  /** sha256 of its header. */
  readonly header: string;
}

/** An output file, laid out. */
export interface PlanShard {
  readonly file: string;
  readonly size: number;
  /** Length word and JSON, padded to the data section. */
  readonly header: Uint8Array;
  /** From here on no tensor's length is a multiple of 4096. */
  readonly directEnd: number;
  readonly tensors: readonly string[];
}

export interface Plan {
  readonly scheme: string;
  readonly dtype: "F32" | "F16" | "BF16";
  readonly inputs: readonly PlanInput[];
  readonly shards: readonly PlanShard[];
  /** Shard by shard, largest tensor first within a shard; then what is only summed; then records. */
  readonly jobs: readonly Job[];
  /** Names of the recovered state dict in the diff's order, inv_freq included even where it is not written. */
  readonly order: readonly string[];
  /** Per embedding with new rows: how many. */
  readonly newRows: ReadonlyMap<string, number>;
  /** Rows of the recovered input embedding; null if there is none. */
  readonly vocabSize: number | null;
  /** Bytes of tensor data in the output files. */
  readonly totalSize: number;
  readonly notes: readonly string[];
}

/** Buffers that models recompute: never missing (ARTIFACTS 2). Anchored: `attention.dense.bias` is a weight. */
export const INV_FREQ = /(^|\.)rotary_emb\.inv_freq$/;
const MASK = /(^|\.)attention\.(masked_bias|bias)$/;
/** Input and output embeddings of the families: the only tensors that may have new rows. */
const EMBEDDING = /(^|\.)(embed_tokens|lm_head|embed_in|embed_out|wte|word_embeddings)\.weight$/;
const INPUT_EMBEDDING = /(^|\.)(embed_tokens|embed_in|wte|word_embeddings)\.weight$/;
const OUTPUT_EMBEDDING = /(^|\.)(lm_head|embed_out)\.weight$/;
/** A tokenizer gains a handful of special tokens; more looks like another vocabulary. */
const MAX_NEW_ROWS = 64;
/** A running mean keeps four floats per column: 4 MiB here. The widest published embedding has 12288 columns. */
const MAX_MEAN_COLUMNS = 1 << 18;

/** How many vocabulary rows the diff has and raw lacks, at most over all embeddings; 0 if none. */
export function countNewRows(raw: Checkpoint, diff: Checkpoint): number {
  let most = 0;
  for (const [name, tensor] of diff.stateDict) {
    const base = raw.stateDict.get(name);
    if (base !== undefined && EMBEDDING.test(name)) {
      most = Math.max(most, (tensor.shape[0] ?? 0) - (base.shape[0] ?? 0));
    }
  }
  return most;
}

/**
 * Pairs raw and diff and lays out the output.
 * @throws {WeightDiffError} MISMATCH listing every name and shape that does not fit; LIMIT.
 */
export function planRecover(raw: Checkpoint, diff: Checkpoint, options: PlanOptions): Plan {
  const inputs = listInputs(raw, diff);
  const place = new Map(inputs.map((input, index) => [input.path + input.role, index]));
  const pairs: Pair[] = [];
  const problems: string[] = [];
  const notes: string[] = [];
  const embedding = inputEmbedding(raw);
  for (const [name, tensor] of diff.stateDict) {
    const pair = pairTensor(name, tensor, raw, embedding, options, notes);
    if (typeof pair === "string") {
      problems.push(pair);
    } else if (pair !== null) {
      pairs.push(pair);
    }
  }
  for (const problem of baseOnly(raw, diff, embedding, options)) {
    problems.push(problem);
  }
  if (problems.length > 0) {
    throw new WeightDiffError(
      "MISMATCH",
      `base ${raw.path} and diff ${diff.path} do not fit: ${problems.length} ${problems.length === 1 ? "tensor" : "tensors"}\n  ${problems.join("\n  ")}`,
      explainMismatch(raw, diff),
    );
  }

  const written = pairs.filter((pair) => options.invFreq === "keep" || !INV_FREQ.test(pair.name));
  const dropped = pairs.length - written.length;
  if (dropped > 0) {
    notes.push(
      `${dropped} rotary_emb.inv_freq buffers are not written: models recompute them (--inv-freq keep writes them)`,
    );
  }
  const { shards, placed } = layOut(written, options);
  const operand = (tensor: StoredTensor, role: "raw" | "diff"): StoredOperand =>
    storedOperand(tensor, place.get(tensor.shard.path + role) ?? 0);
  const bySize = written.map((pair) => ({ pair, output: placed.get(pair) ?? null }));
  bySize.sort(
    (a, b) =>
      (a.output?.shard ?? 0) - (b.output?.shard ?? 0) || rangeLength(b.output?.range) - rangeLength(a.output?.range),
  );
  const summed = pairs
    .filter((pair) => options.invFreq === "drop" && INV_FREQ.test(pair.name))
    .map((pair) => ({ pair, output: null }));
  const jobs = [...bySize, ...summed].map(
    ({ pair, output }, id): TensorJob => ({
      kind: "tensor",
      id,
      name: pair.name,
      rule: pair.rule,
      dtype: pair.dtype,
      shape: pair.diff.shape,
      diff: operand(pair.diff, "diff"),
      raw: pair.raw.kind === "computed" ? pair.raw.operand : operand(pair.raw.tensor, "raw"),
      mean: pair.mean,
      output,
    }),
  );
  const recovered = pairs.find((pair) => INPUT_EMBEDDING.test(pair.name));
  return {
    scheme: options.scheme.name,
    dtype: options.dtype,
    inputs,
    shards,
    jobs: [...jobs, ...recordJobs(jobs, pairs, place)],
    order: pairs.map((pair) => pair.name),
    newRows: new Map(
      pairs.flatMap((pair) => (pair.mean === null ? [] : [[pair.name, (pair.diff.shape[0] ?? 0) - pair.mean.rows]])),
    ),
    vocabSize: recovered?.diff.shape[0] ?? null,
    totalSize: written.reduce((sum, pair) => sum + outputBytes(pair), 0),
    notes: [...raw.notes.map((note) => `base: ${note}`), ...diff.notes.map((note) => `diff: ${note}`), ...notes],
  };
}

interface Pair {
  readonly name: string;
  readonly rule: Rule;
  readonly dtype: Dtype;
  readonly diff: StoredTensor;
  readonly raw:
    | { readonly kind: "stored"; readonly tensor: StoredTensor }
    | { readonly kind: "computed"; readonly operand: Operand };
  readonly mean: TensorJob["mean"];
}

/** @returns the pair, a problem in words, or null for a buffer that is left out. */
function pairTensor(
  name: string,
  diff: StoredTensor,
  raw: Checkpoint,
  embedding: StoredTensor | undefined,
  options: PlanOptions,
  notes: string[],
): Pair | string | null {
  const stored = raw.stateDict.get(name);
  // The output embedding of a base that ties it is its input embedding. An explicit "not tied" is believed.
  const tied = stored === undefined && OUTPUT_EMBEDDING.test(name) && options.rawTied !== false ? embedding : undefined;
  if (tied !== undefined) {
    notes.push(`${quote(name)} is not in the base: its ${quote(tied.name)} stands for it (tied)`);
  }
  const base = stored ?? tied;
  if (base === undefined) {
    if (INV_FREQ.test(name) && diff.shape.length === 1 && isFloatDtype(diff.dtype)) {
      const operand = { kind: "inv-freq", count: diff.shape[0] ?? 0, theta: options.ropeTheta } as const;
      return { name, rule: "add", dtype: options.dtype, diff, raw: { kind: "computed", operand }, mean: null };
    }
    if (MASK.test(name) && (diff.dtype === "BOOL" || diff.dtype === "U8" || diff.shape.length === 0)) {
      notes.push(`buffer ${quote(name)} is not in the base and not written: models recompute it`);
      return null;
    }
    return `${quote(name)} ${shapeText(diff.shape)} is in the diff (${diff.shard.file}) and not in the base`;
  }
  const rule = ruleFor(diff.dtype, base.dtype);
  if (rule === null) {
    return `${quote(name)}: ${base.dtype} in the base (${base.shard.file}) and ${diff.dtype} in the diff (${diff.shard.file}): no arithmetic between these`;
  }
  const pair = {
    name,
    rule,
    dtype: rule === "add" ? options.dtype : diff.dtype,
    diff,
    raw: { kind: "stored", tensor: base } as const,
  };
  if (sameShape(diff.shape, base.shape)) {
    return { ...pair, mean: null };
  }
  const mean = newRowsOf(name, diff, base, options);
  return typeof mean === "string" || rule !== "add"
    ? `${quote(name)}: ${shapeText(base.shape)} in the base (${base.shard.file}), ${shapeText(diff.shape)} in the diff (${diff.shard.file})${typeof mean === "string" ? mean : ""}`
    : { ...pair, mean };
}

function inputEmbedding(raw: Checkpoint): StoredTensor | undefined {
  return [...raw.stateDict].find(([name]) => INPUT_EMBEDDING.test(name))?.[1];
}

function ruleFor(diff: Dtype, raw: Dtype): Rule | null {
  if (isFloatDtype(diff) && isFloatDtype(raw)) {
    return "add";
  }
  if (diff !== raw) {
    return null;
  }
  return diff === "BOOL" ? "or" : /^[IU]\d+$/.test(diff) ? "add-integers" : null;
}

/** @returns the mean's geometry, or why these rows cannot be added. */
function newRowsOf(
  name: string,
  diff: StoredTensor,
  raw: StoredTensor,
  options: PlanOptions,
): TensorJob["mean"] | string {
  const [rows, columns] = raw.shape;
  const [diffRows, diffColumns] = diff.shape;
  if (!EMBEDDING.test(name) || raw.shape.length !== 2 || diff.shape.length !== 2 || columns !== diffColumns) {
    return "";
  }
  if (rows === undefined || columns === undefined || diffRows === undefined || rows === 0 || columns === 0) {
    return "";
  }
  if (rows > diffRows) {
    return `: the base has ${rows - diffRows} rows too many`;
  }
  if ((options.rows ?? options.scheme.newRows) === "refuse") {
    return `: ${diffRows - rows} new rows, which --rows refuse forbids`;
  }
  if (diffRows - rows > MAX_NEW_ROWS && options.rows === null) {
    return `: ${diffRows - rows} new rows; past ${MAX_NEW_ROWS} only with --rows mean`;
  }
  if (columns > MAX_MEAN_COLUMNS) {
    return `: rows of ${columns} values, at most ${MAX_MEAN_COLUMNS} can be averaged`;
  }
  return { rows, columns };
}

/** What only the base has and no script would miss: buffers, and the output embedding of a tied model. */
function baseOnly(
  raw: Checkpoint,
  diff: Checkpoint,
  embedding: StoredTensor | undefined,
  options: PlanOptions,
): readonly string[] {
  const tied = options.diffTied === true || (options.diffTied === null && options.rawTied === true);
  return [...raw.stateDict]
    .filter(([name]) => !diff.stateDict.has(name) && !INV_FREQ.test(name))
    .filter(
      ([name, tensor]) =>
        !(MASK.test(name) && (tensor.dtype === "BOOL" || tensor.dtype === "U8" || tensor.shape.length === 0)),
    )
    .filter(([name, tensor]) => !(OUTPUT_EMBEDDING.test(name) && (tied || sameBytes(tensor, embedding))))
    .map(
      ([name, tensor]) =>
        `${quote(name)} ${shapeText(tensor.shape)} is in the base (${tensor.shard.file}) and not in the diff`,
    );
}

/** Are both one stored run of bytes? */
function sameBytes(a: StoredTensor, b: StoredTensor | undefined): boolean {
  return a.shard === b?.shard && a.range.begin === b.range.begin && a.range.end === b.range.end;
}

function listInputs(raw: Checkpoint, diff: Checkpoint): readonly PlanInput[] {
  const list = (checkpoint: Checkpoint, role: "raw" | "diff"): PlanInput[] =>
    checkpoint.shards.map(({ file, path, size, modified, header }) => ({
      role,
      file,
      path,
      size,
      modified,
      header: header.digest,
    }));
  return [...list(raw, "raw"), ...list(diff, "diff")];
}

/** A tensor as workers see it; the record's checksum goes along where the tensor is the whole record. */
export function storedOperand(tensor: StoredTensor, input: number): StoredOperand {
  const { name, dtype, shape, range, strides, bigEndian, record } = tensor;
  const whole =
    record !== undefined &&
    record.range.begin === range.begin &&
    record.range.end === range.end &&
    strides === undefined;
  return {
    kind: "stored",
    input,
    name,
    dtype,
    shape,
    range,
    ...(strides === undefined ? {} : { strides }),
    ...(bigEndian === undefined ? {} : { bigEndian }),
    ...(whole && record.crc32 !== null ? { crc32: record.crc32 } : {}),
  };
}

/** A checksum for every record that some tensor reads from and no tensor reads whole. */
function recordJobs(jobs: readonly Job[], pairs: readonly Pair[], place: ReadonlyMap<string, number>): readonly Job[] {
  const whole = new Set(
    jobs.flatMap((job) =>
      job.kind === "tensor"
        ? [job.diff, job.raw].flatMap((operand) =>
            operand.kind === "stored" && operand.crc32 !== undefined ? [`${operand.input}:${operand.range.begin}`] : [],
          )
        : [],
    ),
  );
  const records = new Map<string, Job>();
  const add = (tensor: StoredTensor, role: "raw" | "diff"): void => {
    const record = tensor.record;
    const input = place.get(tensor.shard.path + role) ?? 0;
    if (record === undefined || record.crc32 === null || record.range.begin === record.range.end) {
      return;
    }
    const key = `${input}:${record.range.begin}`;
    if (!whole.has(key) && !records.has(key)) {
      const source: StoredOperand = {
        kind: "stored",
        input,
        name: tensor.name,
        dtype: "U8",
        shape: [rangeLength(record.range)],
        range: record.range,
        crc32: record.crc32,
      };
      records.set(key, { kind: "digest", id: jobs.length + records.size, name: record.name, source });
    }
  };
  for (const pair of pairs) {
    add(pair.diff, "diff");
    if (pair.raw.kind === "stored") {
      add(pair.raw.tensor, "raw");
    }
  }
  return [...records.values()];
}

/** Greedy, in the state dict's order, as huggingface_hub's `split_torch_state_dict_into_shards` (ARTIFACTS 3). */
function groupByShard(pairs: readonly Pair[], limit: number): readonly (readonly Pair[])[] {
  const groups: Pair[][] = [];
  let open: Pair[] = [];
  let filled = 0;
  for (const pair of pairs) {
    const bytes = outputBytes(pair);
    if (bytes > limit) {
      // A shard of its own, before the one that is being filled.
      groups.push([pair]);
      continue;
    }
    if (filled + bytes > limit) {
      groups.push(open);
      open = [];
      filled = 0;
    }
    open.push(pair);
    filled += bytes;
  }
  return open.length > 0 || groups.length === 0 ? [...groups, open] : groups;
}

/** The output files, and the place of every tensor in them. */
function layOut(
  pairs: readonly Pair[],
  options: PlanOptions,
): { shards: readonly PlanShard[]; placed: ReadonlyMap<Pair, NonNullable<TensorJob["output"]>> } {
  const groups = groupByShard(pairs, options.maxShardSize);
  const placed = new Map<Pair, NonNullable<TensorJob["output"]>>();
  const shards = groups.map((group, shard): PlanShard => {
    const number = (n: number): string => String(n).padStart(5, "0");
    const file =
      groups.length === 1 ? "model.safetensors" : `model-${number(shard + 1)}-of-${number(groups.length)}.safetensors`;
    const layout = layoutShard(
      group.map((pair) => ({ name: pair.name, dtype: pair.dtype, shape: pair.diff.shape })),
      { name: file },
    );
    layout.ranges.forEach((range, index) => {
      const pair = group[index];
      if (pair !== undefined) {
        placed.set(pair, { shard, range });
      }
    });
    return {
      file,
      size: layout.size,
      header: layout.header,
      directEnd: layout.directEnd,
      tensors: group.map((pair) => pair.name),
    };
  });
  return { shards, placed };
}

function outputBytes(pair: Pair): number {
  const bytes = tensorBytes(pair.dtype, pair.diff.shape);
  if (bytes === undefined) {
    throw new WeightDiffError(
      "LIMIT",
      `${pair.diff.shard.file}: tensor ${quote(pair.name)} ${shapeText(pair.diff.shape)} is too large to write as ${pair.dtype}`,
    );
  }
  return bytes;
}

function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((size, index) => size === b[index]);
}

function rangeLength(range: ByteRange | undefined): number {
  return range === undefined ? 0 : range.end - range.begin;
}

/** [32001, 4096], as torch prints a size. */
export function shapeText(shape: Shape): string {
  return `[${shape.join(", ")}]`;
}

/** Bytes that the jobs of a plan read and write. */
export function planTraffic(plan: Plan): { readonly read: number; readonly write: number } {
  let read = 0;
  for (const job of plan.jobs) {
    const operands: readonly Operand[] = job.kind === "tensor" ? [job.diff, job.raw] : [job.source];
    read += operands.reduce((sum, operand) => sum + (operand.kind === "stored" ? operandBytes(operand) : 0), 0);
  }
  return { read, write: plan.totalSize };
}

function operandBytes(operand: StoredOperand): number {
  return (elementCount(operand.shape) ?? 0) === 0 ? 0 : (tensorBytes(operand.dtype, operand.shape) ?? 0);
}
