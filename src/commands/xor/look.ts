/** Looks at a file of an XOR codec's result before it is made: its first bytes, its text, the header of its tensors. */

import type { ListedFile } from "../../checkpoint/file-list.js";
import { WeightDiffError } from "../../errors.js";
import { FILE_HEAD, promiseOf } from "../../formats/file-start.js";
import { checkJson } from "../../formats/json.js";
import type { ShardHeader, StoredRecord } from "../../formats/tensor-info.js";
import { readWeightFile } from "../../formats/weight-file.js";
import type { KeyRule } from "../../formats/xor-key.js";
import { gzipHead, type KeyFile, openXorSource } from "./source.js";

/** One file of the output. */
export interface XorFile {
  /** Bare name. */
  readonly file: string;
  readonly payload: ListedFile;
  /** Bytes of the payload before its content. */
  readonly skip: number;
  readonly gzip: "inflate" | "deflate" | null;
  /** Null for a file that is copied. */
  readonly key: { readonly input: ListedFile; readonly rule: KeyRule } | null;
  /** Bytes of the output; null if only the run tells. */
  readonly size: number | null;
  /** The most bytes that an inflated payload may have. */
  readonly most: number;
  /** Checksums inside the result. */
  readonly records: readonly StoredRecord[];
  /** The sha256 (hex) that the payload itself states. */
  readonly expected: string | null;
}

/** No reader accepts larger JSON. */
export const MAX_JSON = 25_000_000;

/** The payload's file without XOR. */
export function asItIs(payload: ListedFile): XorFile {
  return {
    file: payload.file,
    payload,
    skip: 0,
    gzip: null,
    key: null,
    size: payload.size,
    most: payload.size,
    records: [],
    expected: null,
  };
}

/** Is the file, unchanged, what its name promises? Text counts too, if the name promises nothing. */
export async function isLegible(asIs: XorFile): Promise<boolean> {
  const promise = promiseOf(asIs.file);
  if (promise === null || !promise.holds(await beginningOf(asIs, FILE_HEAD))) {
    return false;
  }
  return promise.kind !== "json" || (await jsonError(asIs)) === null;
}

export function isTextName(file: string): boolean {
  const promise = promiseOf(file);
  return promise !== null && (promise.kind === "json" || promise.what === "text");
}

/** The first bytes of the result. */
export async function beginningOf(file: XorFile, most: number): Promise<Uint8Array> {
  const key: KeyFile | null = file.key === null ? null : { ...file.key.input, rule: file.key.rule };
  if (file.gzip === "inflate") {
    return gzipHead(file.payload, key, most);
  }
  const source = await openXorSource({ ...file.payload, skip: file.skip }, key);
  try {
    return await source.readAt(0, Math.min(most, source.size));
  } finally {
    await source.close();
  }
}

/** What is wrong with the result as JSON; null if it is valid. */
export async function jsonError(file: XorFile): Promise<string | null> {
  const bytes = await beginningOf(file, MAX_JSON + 1);
  if (bytes.length > MAX_JSON) {
    return `has more than ${MAX_JSON} bytes`;
  }
  try {
    checkJson(bytes, file.file);
    return null;
  } catch (error) {
    if (error instanceof WeightDiffError) {
      return error.fact;
    }
    throw error;
  }
}

/** The tensors of a weight file that is not compressed. @throws {WeightDiffError} as readWeightFile. */
export async function headerOf(file: XorFile): Promise<ShardHeader> {
  const key: KeyFile | null = file.key === null ? null : { ...file.key.input, rule: file.key.rule };
  const source = await openXorSource({ ...file.payload, skip: file.skip }, key);
  try {
    return await readWeightFile(source);
  } finally {
    await source.close();
  }
}
