/** Small files, read whole: names, sizes, texts and digests of the files beside the weights. */
import { createHash, type Hash } from "node:crypto";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { WeightDiffError } from "../errors.js";
import { fileError } from "./errno.js";
import { decodeText, type FileSource, openFileSource } from "./file-source.js";

/** Bytes to digest at once. */
const PIECE = 1 << 20;

/** Bare names of the regular files in a directory, sorted. Follows symlinks. @throws {WeightDiffError} IO, NOT_FOUND. */
export async function regularFiles(directory: string): Promise<readonly string[]> {
  const names = await readdir(directory).catch((error: unknown) => {
    throw fileError(directory, "list", error);
  });
  const regular: string[] = [];
  for (const name of names.sort()) {
    const info = await stat(join(directory, name)).catch(() => null);
    if (info?.isFile() === true) {
      regular.push(name);
    }
  }
  return regular;
}

/** Bytes of a regular file; null if there is none. */
export async function sizeOf(path: string): Promise<number | null> {
  const info = await stat(path).catch(() => null);
  return info?.isFile() === true ? info.size : null;
}

/**
 * The text of a small file.
 * @param within as for openFileSource.
 * @throws {WeightDiffError} NOT_FOUND, LIMIT above `most` bytes, FORMAT_INVALID if it is not UTF-8, LINK_OUTSIDE, IO.
 */
export async function readText(path: string, most: number, within: string | null = null): Promise<string> {
  return decodeText(await readBytes(path, most, within), path);
}

/** The bytes of a small file. @throws {WeightDiffError} NOT_FOUND, LIMIT above `most` bytes, LINK_OUTSIDE, IO. */
export async function readBytes(path: string, most: number, within: string | null = null): Promise<Uint8Array> {
  const source = await openFileSource(path, within);
  try {
    if (source.size > most) {
      throw new WeightDiffError("LIMIT", `${source.size} bytes, at most ${most} are read`, undefined, {
        at: { file: path },
      });
    }
    return await source.readAt(0, source.size);
  } finally {
    await source.close();
  }
}

/** sha256 (hex) of the whole source, which is closed afterwards. @throws {WeightDiffError} as its reads. */
export function digestSource(source: FileSource): Promise<string> {
  return digestOf(source, () => createHash("sha256"));
}

/** git's name for the content of the file: sha1 of "blob", the length, and the bytes. @throws {WeightDiffError} NOT_FOUND, IO. */
export async function gitBlobOf(path: string): Promise<string> {
  return digestOf(await openFileSource(path), (size) => createHash("sha1").update(`blob ${size}\0`));
}

async function digestOf(source: FileSource, begin: (size: number) => Hash): Promise<string> {
  const hash = begin(source.size);
  try {
    for (let at = 0; at < source.size; at += PIECE) {
      hash.update(await source.readAt(at, Math.min(PIECE, source.size - at)));
    }
  } finally {
    await source.close();
  }
  return hash.digest("hex");
}
