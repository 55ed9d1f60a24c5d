/** The shards of one version: safetensors files with one payload for each tensor. This file has the rules for their headers. */
import { brokenLink, type Folder } from "../checkpoint/file-list.js";
import type { ShardFile } from "../checkpoint/shard.js";
import { WeightDiffError } from "../errors.js";
import { CHECKSUM_DIGITS, type ChecksumName } from "../formats/checksum.js";
import type { HeaderBudget } from "../formats/header-budget.js";
import type { Lend } from "../formats/lent-memory.js";
import type { Names } from "../formats/names.js";
import { quote } from "../formats/quote.js";
import { type HeaderTable, readHeaderTable } from "../formats/safetensors.js";
import { type ShardHeader, shapeText, type TensorInfo } from "../formats/tensor-info.js";
import type { StatedChecksum } from "../formats/update.js";
import { openShardSource } from "../hub/source.js";
import { chainError } from "./chain.js";
import { fileNamed, strayLink } from "./small-file.js";

/** A shard of a version with its header in columns. */
export interface UpdateShard extends ShardFile {
  readonly header: HeaderTable;
}

/**
 * Opens one shard and reads its header. A link must not lead out of the version's folder.
 * @param lend as readHeaderTable's. @throws {WeightDiffError} with `why` "index-missing-shard", "index-path" or "incomplete".
 */
export async function openShardIn(
  folder: Folder,
  name: string,
  version: string,
  { budget, names, lend }: { readonly budget?: HeaderBudget; readonly names?: Names; readonly lend?: Lend } = {},
): Promise<UpdateShard> {
  if (folder.broken.includes(name)) {
    const { code, fact, hint, at } = brokenLink(folder, name);
    throw new WeightDiffError(code, fact, hint, { at: { ...at, version }, why: "incomplete" });
  }
  const file = fileNamed(folder, name);
  if (file === undefined) {
    throw chainError(
      "index-missing-shard",
      `${quote(name)} is listed as a part of this version, and is not there`,
      AGAIN,
      {
        file: name,
        version,
      },
    );
  }
  try {
    const source = await openShardSource({ ...file, within: folder.directory });
    try {
      const header = await readHeaderTable(source, budget, names, lend);
      const { size, modified } = source;
      const { path, hub } = file;
      return { file: name, path, size, modified, header, ...(hub === undefined ? {} : { hub }) };
    } finally {
      await source.close();
    }
  } catch (error) {
    if (error instanceof WeightDiffError && error.code === "LINK_OUTSIDE") {
      throw strayLink(error, version);
    }
    if (error instanceof WeightDiffError && ["input", "limit"].includes(error.kind) && error.why === null) {
      const { code, fact, at } = error;
      throw new WeightDiffError(code, fact, AGAIN, { at: { ...at, version }, why: "incomplete", cause: error });
    }
    throw error;
  }
}

const AGAIN = "it was cut short, damaged, or mixed with another run's: fetch this version again, or stop before it";

/**
 * Does the shard hold payloads, and not weights? A shard of updates has only flat U8 tensors, and its metadata names each of them. So neither an
 * unfinished version nor a folder of payloads with an ordinary index is ever taken for a model.
 */
export function holdsPayloads({ tensors, metadata }: Pick<ShardHeader, "tensors" | "metadata"> | HeaderTable): boolean {
  for (const { name, dtype, shape } of tensors) {
    if (dtype !== "U8" || shape.length !== 1 || !metadata.has(name)) {
      return false;
    }
  }
  return tensors.length > 0;
}

/** The error for a tensor that cannot be a payload; null if it can. */
export function wrongPayload(
  { name, dtype, shape }: Pick<TensorInfo, "name" | "dtype" | "shape">,
  file: string,
  version: string,
): WeightDiffError | null {
  return dtype === "U8" && shape.length === 1
    ? null
    : chainError(
        "dtype",
        `tensor ${quote(name)} is ${dtype} ${shapeText(shape)}, and payloads are flat U8`,
        "this is not a shard of an update: fetch this version again",
        { file, tensor: name, version },
      );
}

/** Reads a checksum as publishers write it; null if it is not one. */
export function checksumOf(algorithm: ChecksumName, hex: unknown): StatedChecksum | null {
  return typeof hex === "string" && hex.length === CHECKSUM_DIGITS[algorithm] && /^[0-9a-f]*$/.test(hex)
    ? { algorithm, hex }
    : null;
}

export function isChecksumName(name: unknown): name is ChecksumName {
  return typeof name === "string" && Object.hasOwn(CHECKSUM_DIGITS, name);
}

/** The error for a payload without a checksum. @param stated what stands in the checksum's place. */
export function noChecksum(
  name: string,
  stated: string | undefined,
  algorithm: ChecksumName,
  at: { readonly file: string; readonly tensor: string; readonly version: string },
): WeightDiffError {
  return chainError(
    "no-checksum",
    stated === undefined
      ? `tensor ${quote(name)} has no checksum`
      : `tensor ${quote(name)}: ${quote(stated)} is no ${algorithm} checksum`,
    "a payload without a checksum is not applied: fetch this version again, or stop before it",
    at,
  );
}
