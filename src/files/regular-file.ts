/**
 * Opens a path that may be anything. A regular file may become a named pipe a moment later, and opening that would wait for a writer for
 * ever. The path may also lead elsewhere by then. So the opened file itself is checked, not its path.
 */
import { type BigIntStats, constants } from "node:fs";
import { type FileHandle, open, readlink, realpath, stat } from "node:fs/promises";
import { contains } from "./paths.js";

/** Do not wait for the other end of a pipe. The flag has no effect on regular files. */
export const NO_WAITING = constants.O_NONBLOCK ?? 0;

export interface OpenedFile {
  readonly handle: FileHandle;
  readonly info: BigIntStats;
}

/** Opens a regular file; null if `path` is anything else. @throws what the operating system says. */
export async function openRegular(path: string, flags: number = constants.O_RDONLY): Promise<OpenedFile | null> {
  const handle = await open(path, flags | NO_WAITING);
  try {
    const info = await handle.stat({ bigint: true });
    if (info.isFile()) {
      return { handle, info };
    }
  } catch (error) {
    await handle.close();
    throw error;
  }
  await handle.close();
  return null;
}

/**
 * The path of an opened file with all links resolved; null if another file has taken its place since. Linux tells it for the opened file
 * itself (proc(5), /proc/pid/fd). Elsewhere, the path is resolved and must still lead to the same file.
 */
export async function placeOf({ handle, info }: OpenedFile, path: string): Promise<string | null> {
  const own = await readlink(`/proc/self/fd/${handle.fd}`).catch(() => null);
  if (own?.startsWith("/") === true) {
    return own;
  }
  const place = await realpath(path).catch(() => null);
  const there = place === null ? null : await stat(place, { bigint: true }).catch(() => null);
  return there?.dev === info.dev && there.ino === info.ino ? place : null;
}

/**
 * A file of the Hub's cache: blobs/<etag> of a repository, or of the store that repositories share (huggingface_hub 2.4, file_download.py
 * and utils/_shared_blobs.py). Its name is a digest of its bytes, so only somebody who has the bytes can name it.
 */
const BLOB =
  /[\\/](?:(?:models|datasets|spaces)--[^\\/]+[\\/]blobs[\\/][0-9a-f]{32,64}(?:-\d+)?|blobs[\\/][0-9a-f]{2}[\\/][0-9a-f]{64})$/;

/**
 * Is the file in `folder`, or among the blobs of the Hub cache, after following links?
 * @param place the path of an opened file.
 * @throws what the operating system says about the folder.
 */
export async function isWithin(place: string, folder: string): Promise<boolean> {
  return BLOB.test(place) || contains(await realpath(folder), place);
}
