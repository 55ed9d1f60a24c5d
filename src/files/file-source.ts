/** A local file as formats/ sees it: its path, its size, and exact reads. Opened read-only, never kept open between reads of different shards. */
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { WeightDiffError } from "../errors.js";
import type { ByteSource } from "../formats/tensor-info.js";

export interface FileSource extends ByteSource {
  readonly path: string;
  /** Last modification, in nanoseconds since 1970, as text: it does not fit a double. */
  readonly modified: string;
  close(): Promise<void>;
}

/** Opens `path` for reading. @throws {WeightDiffError} NOT_FOUND, IO. */
export async function openFileSource(path: string): Promise<FileSource> {
  let handle: FileHandle;
  try {
    // Without O_NONBLOCK, opening a named pipe waits for a writer for ever.
    handle = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  } catch (error) {
    throw fileError(path, "open", error);
  }
  try {
    const stat = await handle.stat({ bigint: true });
    if (!stat.isFile()) {
      throw new WeightDiffError("NOT_FOUND", "not a regular file", "give a checkpoint directory or one weight file", {
        at: { file: path },
      });
    }
    const size = Number(stat.size);
    return {
      path,
      // Base and diff often have files of the same name: messages say which.
      name: path,
      size,
      modified: String(stat.mtimeNs),
      readAt: (offset, length) => readExactly(handle, path, size, offset, length),
      close: () => handle.close(),
    };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

async function readExactly(
  handle: FileHandle,
  path: string,
  size: number,
  offset: number,
  length: number,
): Promise<Uint8Array> {
  if (
    !Number.isSafeInteger(offset) ||
    !Number.isSafeInteger(length) ||
    offset < 0 ||
    length < 0 ||
    offset + length > size
  ) {
    throw new WeightDiffError(
      "TRUNCATED",
      `bytes ${offset} to ${offset + length} are wanted, the file has ${size}`,
      "the download is incomplete: fetch the file again",
      { at: { file: path } },
    );
  }
  const buffer = new Uint8Array(length);
  let filled = 0;
  while (filled < length) {
    let bytesRead: number;
    try {
      ({ bytesRead } = await handle.read(buffer, filled, length - filled, offset + filled));
    } catch (error) {
      throw fileError(path, `read at byte ${offset + filled}`, error);
    }
    if (bytesRead === 0) {
      throw new WeightDiffError(
        "INPUT_CHANGED",
        `ends at byte ${offset + filled}, had ${size} bytes when it was opened`,
        "another program is changing the file: wait for it, then run again",
        { at: { file: path } },
      );
    }
    filled += bytesRead;
  }
  return buffer;
}

/** @throws {WeightDiffError} FORMAT_INVALID if the bytes are not UTF-8. */
export function decodeText(bytes: Uint8Array, path: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new WeightDiffError("FORMAT_INVALID", "not UTF-8 text", "fetch it again", { at: { file: path } });
  }
}

/** Turns what the operating system said into an error that names the file. */
export function fileError(path: string, action: string, error: unknown): WeightDiffError {
  if (error instanceof WeightDiffError) {
    return error;
  }
  const reason = error instanceof Error ? error.message : String(error);
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code === "ENOENT" || code === "ENOTDIR" || code === "ELOOP") {
    return new WeightDiffError("NOT_FOUND", `${path}: no such file`, "check the path", { cause: error });
  }
  if (code === "EACCES" || code === "EPERM") {
    return new WeightDiffError("IO", `${path}: cannot ${action}: permission denied`, "check the file's permissions", {
      cause: error,
    });
  }
  if (code === "ENOSPC" || code === "EDQUOT") {
    return new WeightDiffError("DISK_FULL", `${path}: no room left on the disk`, "free some space, then run again", {
      cause: error,
    });
  }
  return new WeightDiffError("IO", `${path}: cannot ${action}: ${reason}`, "check the disk, then run again", {
    cause: error,
  });
}
