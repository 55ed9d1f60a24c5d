/** Everything that can be refused before a byte is written: what the inputs are, where the output goes, whether it fits. */
import { readlink, realpath, statfs } from "node:fs/promises";
import { basename, dirname, join, relative, resolve, sep } from "node:path";
import type { Checkpoint, StoredTensor } from "./checkpoint/checkpoint.js";
import type { ModelConfig } from "./checkpoint/config.js";
import { fileError, openFileSource } from "./checkpoint/file-source.js";
import { expandHome } from "./checkpoint/locate.js";
import { WeightDiffError } from "./errors.js";
import { elementCount, type FloatDtype, isFloatDtype } from "./formats/dtype.js";
import { quote } from "./formats/quote.js";
import { createScalarKernel } from "./kernel/scalar.js";

/** A guard that the user may switch off by name. */
export const GUARDS = ["not-a-diff", "wrong-base"] as const;
export type Guard = (typeof GUARDS)[number];

/** Tensor names that quantisers leave behind: GPTQ, AWQ, bitsandbytes. */
const QUANTISED = /\.(qweight|SCB|weight_format|absmax|quant_map|quant_state\..*)$/;

/** @throws {WeightDiffError} FORMAT_UNSUPPORTED if the weights are quantised: a diff of float weights cannot be added to them. */
export function refuseQuantised(
  checkpoint: Checkpoint,
  role: "base" | "diff" | "tuned model",
  config: ModelConfig | null,
): void {
  const found = [...checkpoint.stateDict.values()].find((tensor) => QUANTISED.test(tensor.name));
  if (found !== undefined || config?.quantised === true) {
    const evidence =
      found === undefined
        ? "config.json has a quantization_config"
        : `${found.shard.file}: tensor ${quote(found.name)}`;
    throw new WeightDiffError(
      "FORMAT_UNSUPPORTED",
      `${role} ${checkpoint.path}: quantised weights (${evidence})`,
      "get the original float16 or float32 weights: quantised ones cannot take a diff",
    );
  }
}

/** Norm weights of the families: RMSNorm and LayerNorm scales, near 1 in a trained model and near 0 in a diff. */
const NORM = /(^|\.)(\w*layernorm|\w*layer_norm|norm|ln_\w+|final_layer_norm)\.weight$/;
/** Enough of them to judge by, and few enough to read at once. */
const MAX_NORMS = 512;
const MAX_NORM_ELEMENTS = 65_536;
/** Between the two: norms of full models average 0.1 to 1 and beyond, their diffs a thousandth of that (ARTIFACTS 1.1, FIELD 2.1). */
const NORM_THRESHOLD = 0.05;
/** A model's norm scales are nearly all positive; a diff's go either way. */
const POSITIVE_SHARE = 0.9;

export interface NormCensus {
  /** How many norm tensors were looked at. */
  readonly count: number;
  /** Median over the tensors of mean |w|. */
  readonly magnitude: number;
  /** Share of values above zero. */
  readonly positive: number;
}

/** Looks at every norm weight of the checkpoint; null if it has none to judge by. @throws {WeightDiffError} IO, INPUT_CHANGED. */
export async function censusNorms(checkpoint: Checkpoint): Promise<NormCensus | null> {
  const norms = [...checkpoint.stateDict.values()]
    .filter(
      (tensor) =>
        NORM.test(tensor.name) &&
        tensor.shape.length === 1 &&
        tensor.strides === undefined &&
        tensor.bigEndian !== true,
    )
    .filter((tensor) => isFloatDtype(tensor.dtype) && elementsOf(tensor) > 0 && elementsOf(tensor) <= MAX_NORM_ELEMENTS)
    .slice(0, MAX_NORMS);
  const magnitudes: number[] = [];
  let positive = 0;
  let total = 0;
  for (const tensor of norms) {
    const values = await readValues(tensor);
    magnitudes.push(values.reduce((sum, value) => sum + Math.abs(value), 0) / values.length);
    positive += values.filter((value) => value > 0).length;
    total += values.length;
  }
  magnitudes.sort((a, b) => a - b);
  const magnitude = magnitudes[Math.floor(magnitudes.length / 2)];
  return magnitude === undefined ? null : { count: norms.length, magnitude, positive: positive / total };
}

/** @throws {WeightDiffError} NOT_A_DIFF if the norm weights are those of a full model. */
export function refuseFullModel(census: NormCensus | null, path: string): void {
  if (census !== null && census.magnitude > NORM_THRESHOLD && census.positive > POSITIVE_SHARE) {
    throw new WeightDiffError(
      "NOT_A_DIFF",
      `${path}: not a diff but a full model: its ${census.count} norm weights have a mean size of ${census.magnitude.toPrecision(3)} (a diff's are near 0) and ${(100 * census.positive).toFixed(1)} % of them are positive (a diff's about half); adding a base would destroy it`,
      "simply use it as it is; if you are sure that it is a diff: --ignore not-a-diff",
    );
  }
}

function elementsOf(tensor: StoredTensor): number {
  return elementCount(tensor.shape) ?? Number.POSITIVE_INFINITY;
}

async function readValues(tensor: StoredTensor): Promise<Float32Array> {
  const count = elementsOf(tensor);
  const source = await openFileSource(tensor.shard.path);
  try {
    const bytes = await source.readAt(tensor.range.begin, tensor.range.end - tensor.range.begin);
    // A handful of values: compiled code would not pay.
    const kernel = createScalarKernel(bytes.length + count * 4);
    new Uint8Array(kernel.memory).set(bytes, kernel.base);
    const target = kernel.base + bytes.length;
    kernel.widen(tensor.dtype as FloatDtype, kernel.base, target, count);
    return new Float32Array(kernel.memory.slice(target, target + count * 4));
  } finally {
    await source.close();
  }
}

/**
 * The output directory, absolute. @throws {WeightDiffError} OUTPUT_REFUSED if it is, contains or lies in an input, whatever
 * links lead there.
 */
export async function resolveOutput(path: string, inputs: readonly Checkpoint[]): Promise<string> {
  const output = resolve(expandHome(path));
  const real = await realTarget(output);
  for (const input of inputs) {
    for (const place of new Set(input.shards.flatMap((shard) => [dirname(shard.path), shard.path]))) {
      const realInput = await realpath(place).catch((error: unknown) => {
        throw fileError(place, "open", error);
      });
      if (contains(real, realInput) || (input.directory !== null && contains(realInput, real))) {
        throw new WeightDiffError(
          "OUTPUT_REFUSED",
          `${path}: the output ${real === realInput ? "is" : "overlaps"} the input ${input.path}`,
          "give a directory of its own: inputs are never written to",
        );
      }
    }
  }
  return output;
}

/** Where `path` will really lie: its deepest existing ancestor, resolved, and the rest; links that lead nowhere yet are followed. */
async function realTarget(path: string, hops = 40): Promise<string> {
  const real = await realpath(path).catch(() => null);
  const parent = dirname(path);
  if (real !== null || parent === path) {
    return real ?? path;
  }
  const place = await realTarget(parent, hops);
  const link = await readlink(path).catch(() => null);
  return link === null || hops === 0 ? join(place, basename(path)) : realTarget(resolve(place, link), hops - 1);
}

function contains(outer: string, inner: string): boolean {
  const way = relative(outer, inner);
  return way === "" || !(way === ".." || way.startsWith(`..${sep}`) || resolve(way) === way);
}

/** Bytes in decimal units, as disks are sold and transformers counts. */
export function bytesText(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let power = 0;
  let value = bytes;
  // From 999.5 on, three digits would round to a thousand.
  while (value >= (power === 0 ? 1000 : 999.5) && power < units.length - 1) {
    value /= 1000;
    power++;
  }
  return power === 0 ? `${bytes} B` : `${value >= 999.5 ? Math.round(value) : value.toPrecision(3)} ${units[power]}`;
}

/**
 * @param needed bytes of all output files. @param smaller the same in a 16-bit dtype, if that would be less.
 * @throws {WeightDiffError} DISK_FULL with needed and free.
 */
export async function refuseFullDisk(output: string, needed: number, smaller: number): Promise<void> {
  const free = await freeBytes(output);
  if (free !== null && free < needed) {
    const hint =
      smaller < needed
        ? `free ${bytesText(needed - free)}, or write half of it: --dtype bfloat16 needs ${bytesText(smaller)}`
        : `free ${bytesText(needed - free)}, or give a --path_tuned on another disk`;
    throw new WeightDiffError(
      "DISK_FULL",
      `${output}: the output needs ${bytesText(needed)}, the disk has ${bytesText(free)} free`,
      hint,
    );
  }
}

async function freeBytes(path: string): Promise<number | null> {
  const info = await statfs(path).catch(() => null);
  if (info !== null) {
    return info.bavail * info.bsize;
  }
  return dirname(path) === path ? null : freeBytes(dirname(path));
}
