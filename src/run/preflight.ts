/** Refuses before a byte is written: quantised inputs, an output folder that overlaps an input, a full disk. */
import { readlink, realpath, stat, statfs } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import type { Checkpoint, StoredTensor } from "../checkpoint/checkpoint.js";
import type { ModelConfig } from "../checkpoint/config.js";
import { WeightDiffError } from "../errors.js";
import { fileError, isMissing } from "../files/errno.js";
import { absolutePath, contains } from "../files/paths.js";
import { dtypeBits } from "../formats/dtype.js";
import { quote } from "../formats/quote.js";
import { isRemote } from "../hub/name.js";

/** Names of tensors that quantisers write: GPTQ, AWQ, bitsandbytes, compressed-tensors, MXFP4. */
const QUANTISED =
  /\.(qweight|qzeros|SCB|weight_format|absmax|quant_map|quant_state\..*|weight_packed)$|(gate_up|down)_proj_(blocks|scales)$/;
/**
 * Scales beside a quantised matrix: fine-grained FP8 (DeepSeek), compressed-tensors, FBGEMM. Other tensors may have such names; the matrix
 * tells them apart.
 */
const SCALE = /\.weight_scale(_inv)?$/;

/** A tensor that only quantised weights have. */
export function quantisedTensor({ stateDict }: Pick<Checkpoint, "stateDict">): StoredTensor | undefined {
  return [...stateDict.values()].find(({ name }) => {
    const scaled = SCALE.test(name) ? stateDict.get(name.replace(SCALE, ".weight")) : undefined;
    return QUANTISED.test(name) || (scaled !== undefined && dtypeBits(scaled.dtype) <= 8);
  });
}

/** @throws {WeightDiffError} FORMAT_UNSUPPORTED if the weights are quantised: a diff of float weights cannot be added to them. */
export function refuseQuantised(
  checkpoint: Checkpoint,
  role: "base" | "diff" | "tuned model",
  config: ModelConfig | null,
): void {
  const found = quantisedTensor(checkpoint);
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

/**
 * @throws {WeightDiffError} USAGE if base and tuned model are the same files, links included. Their diff would be all zeros, but look like
 * a diff.
 */
export async function refuseSameFiles(raw: Checkpoint, tuned: Checkpoint): Promise<void> {
  const places = ({ shards }: Checkpoint): Promise<readonly string[]> =>
    Promise.all(shards.map(({ path }) => realpath(path).catch(() => path)));
  const theirs = new Set(await places(raw));
  if ((await places(tuned)).every((place) => theirs.has(place))) {
    throw new WeightDiffError(
      "USAGE",
      `base and tuned model are the same files: ${raw.path}${raw.path === tuned.path ? "" : ` and ${tuned.path}`}`,
      "give the fine-tuned model beside the base it was made from: the diff of a model with itself is all zeros",
    );
  }
}

/** Where an input lies: the part of a checkpoint that matters here. */
export type InputPlace = Pick<Checkpoint, "path" | "directory"> & {
  readonly shards: readonly (Pick<Checkpoint["shards"][number], "path"> &
    Partial<Pick<Checkpoint["shards"][number], "hub">>)[];
};

/**
 * @throws {WeightDiffError} USAGE if the output is named like a repository or a web page: otherwise it would become a folder called "hf:".
 */
export function refuseRemote(output: string): void {
  if (isRemote(output)) {
    throw new WeightDiffError(
      "USAGE",
      `${output} is not a directory on this machine, and an output needs one`,
      "write to a directory, then push that",
    );
  }
}

/**
 * The absolute path of the output directory.
 * @throws {WeightDiffError} OUTPUT_REFUSED if it is, contains or lies in an input, links included.
 */
export async function resolveOutput(path: string, inputs: readonly InputPlace[]): Promise<string> {
  refuseRemote(path);
  const output = absolutePath(path);
  const real = await realTarget(output);
  for (const input of inputs) {
    const here = input.shards.filter(({ hub }) => hub === undefined || hub.cached);
    const folders = input.directory === null ? [] : [input.directory];
    for (const place of new Set([...folders, ...here.flatMap((shard) => [dirname(shard.path), shard.path])])) {
      const realInput = await realpath(place).catch((error: unknown) => {
        throw fileError(place, "open", error);
      });
      if (contains(real, realInput) || (input.directory !== null && contains(realInput, real))) {
        throw new WeightDiffError(
          "OUTPUT_REFUSED",
          `the output ${real === realInput ? "is" : "overlaps"} the input ${input.path}`,
          "give another directory: inputs are never written to",
          { at: { file: path } },
        );
      }
    }
  }
  return output;
}

/**
 * Where `path` will really lie: its deepest existing ancestor, resolved, and the rest of the path. Follows links whose target does not
 * exist yet.
 */
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

/** Bytes in decimal units, as disk vendors and transformers count. */
export function bytesText(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let power = 0;
  let value = bytes;
  // From 999.5 on, three digits would round up to a thousand.
  while (value >= (power === 0 ? 1000 : 999.5) && power < units.length - 1) {
    value /= 1000;
    power++;
  }
  return power === 0 ? `${bytes} B` : `${value >= 999.5 ? Math.round(value) : value.toPrecision(3)} ${units[power]}`;
}

/**
 * @param needed bytes of all output files.
 * @param smaller their bytes in a 16-bit dtype, if that is fewer.
 * @throws {WeightDiffError} DISK_FULL with the needed and the free bytes.
 */
export async function refuseFullDisk(output: string, needed: number, smaller: number): Promise<void> {
  const free = await freeBytes(output);
  if (free !== null && free < needed) {
    const half = { to: `write ${bytesText(smaller)}`, option: "dtype", value: "BF16" };
    throw new WeightDiffError(
      "DISK_FULL",
      `the output needs ${bytesText(needed)}, the disk has ${bytesText(free)} free`,
      `free ${bytesText(needed - free)}, or give an output directory on another disk`,
      { at: { file: output }, advice: smaller < needed && smaller <= free ? [half] : [] },
    );
  }
}

/**
 * @param cache folder that `needed` bytes are fetched into.
 * @param output what else may be written to the same disk.
 * @throws {WeightDiffError} DISK_FULL with the needed and the free bytes.
 */
export async function refuseFullCache(
  cache: string,
  needed: number,
  output: { readonly path: string; readonly bytes: number } | null,
): Promise<void> {
  if (needed === 0) {
    return;
  }
  const free = await freeBytes(cache);
  const shared = output !== null && (await deviceOf(cache)) === (await deviceOf(output.path)) ? output.bytes : 0;
  if (free !== null && free < needed + shared) {
    throw new WeightDiffError(
      "DISK_FULL",
      `the download needs ${bytesText(needed)}${shared === 0 ? "" : `, the output ${bytesText(shared)}`}, the disk has ${bytesText(free)} free`,
      `free ${bytesText(needed + shared - free)}, or put the cache on another disk (HF_HUB_CACHE)`,
      { at: { file: cache }, advice: [{ to: "read without a copy", option: "hub.cache", value: null }] },
    );
  }
}

async function deviceOf(path: string): Promise<number | null> {
  const info = await stat(path).catch(() => null);
  return info !== null ? info.dev : dirname(path) === path ? null : deviceOf(dirname(path));
}

/** Free bytes where `path` is or will be; null if the system does not tell. */
async function freeBytes(path: string): Promise<number | null> {
  try {
    const { blocks, bavail, bsize } = await statfs(path);
    // ramfs and many file systems in user space report 0 for everything.
    return blocks === 0 ? null : bavail * bsize;
  } catch (error) {
    return isMissing(error) && dirname(path) !== path ? freeBytes(dirname(path)) : null;
  }
}
