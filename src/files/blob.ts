/** Files that are named by the digest of their bytes, as git, git-lfs and the Hub do. */
import { createHash } from "node:crypto";
import { WeightDiffError } from "../errors.js";
import { openFileSource } from "./file-source.js";

/** Bytes to digest at once. */
const PIECE = 1 << 20;

/** Does the Hub name the file by the sha256 of its bytes (a large one) or by git's sha1 of the blob (a small one)? */
export function blobDigest(etag: string, size: number): { readonly hash: ReturnType<typeof createHash> } | null {
  if (/^[0-9a-f]{64}$/.test(etag)) {
    return { hash: createHash("sha256") };
  }
  return /^[0-9a-f]{40}$/.test(etag) ? { hash: createHash("sha1").update(`blob ${size}\0`) } : null;
}

/** Do the file's bytes match `etag`? False if there is no file. @throws {WeightDiffError} IO, INPUT_CHANGED; the signal's reason. */
export async function isTrueBlob(
  path: string,
  etag: string,
  signal?: AbortSignal,
  onBytes: (count: number) => void = () => {},
): Promise<boolean> {
  const source = await openFileSource(path).catch((error: unknown) => {
    if (error instanceof WeightDiffError && error.code === "NOT_FOUND") {
      return null;
    }
    throw error;
  });
  if (source === null) {
    return false;
  }
  try {
    const digest = blobDigest(etag, source.size);
    if (digest === null) {
      return true;
    }
    for (let at = 0; at < source.size; at += PIECE) {
      signal?.throwIfAborted();
      const piece = await source.readAt(at, Math.min(PIECE, source.size - at));
      digest.hash.update(piece);
      onBytes(piece.length);
    }
    return digest.hash.digest("hex") === etag;
  } finally {
    await source.close();
  }
}
