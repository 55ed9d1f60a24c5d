/** The files in OUT/.weight-diff, where everything grows. Opens and removes only what a journal lists there, and follows no link. */
import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, open, readdir, rmdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { SideFile } from "../checkpoint/side-files.js";
import { traceAside } from "../engine/io/trace.js";
import { WeightDiffError } from "../errors.js";
import { beginError, errnoOf, runError } from "../files/errno.js";
import { openFileSource, type PlacedFile } from "../files/file-source.js";
import { makeFolders } from "../files/folders.js";
import { hasOwnFolder, openOwn, refused, removeOwn } from "../files/own.js";
import { isJournalName, type Journal } from "./journal.js";
import { isLockName } from "./lock.js";
import { refuseName, stagedName } from "./names.js";
import { isClutter } from "./state.js";

/** A shard to be written: its header, and the length of the whole file. */
export interface StagedShard {
  readonly file: string;
  /** Null if only the run tells: the file grows. */
  readonly size: number | null;
  /** Upper bound of the size. The file has this length until the run tells the final one. */
  readonly most?: number;
  readonly header: Uint8Array;
}

/** The place where the output files grow. */
export interface Staging {
  /** The output directory. */
  readonly path: string;
  readonly journal: Journal;
  /** The path of shard `file` in the staging folder. */
  staged(file: string): string;
  /** Waits until a shard's bytes have reached the disk. */
  seal(file: string): Promise<void>;
}

/** A small file of the output. `of` makes its text from the small files written before it. */
export type ExtraFile = SideFile | { readonly file: string; readonly of: (written: readonly WrittenFile[]) => string };

/** A small file that was written. */
export interface WrittenFile {
  readonly file: string;
  readonly size: number;
  readonly sha256: string;
}

/** Bytes of a small file to copy at once. */
const PIECE = 1 << 20;

/** The path of an output file in the staging folder. @throws {WeightDiffError} OUTPUT_REFUSED for a name that is not allowed. */
export function stagedPath(staging: string, name: string): string {
  refuseName(name);
  return join(staging, stagedName(name));
}

/**
 * @throws {WeightDiffError} OUTPUT_REFUSED if the folder is not this tool's, or holds a file that is neither in `listed` nor left by a run.
 */
export async function refuseStrangers(staging: string, listed: ReadonlySet<string>): Promise<void> {
  await hasOwnFolder(staging);
  const known = new Set([...listed].map(stagedName));
  for (const name of await readdir(staging)) {
    if (!known.has(name) && !isLockName(name) && !isJournalName(name) && !isClutter(name)) {
      throw refused(join(staging, name), "is in this tool's folder, and was not put there by it");
    }
  }
}

/** Removes files of earlier runs. */
export async function removeStaged(staging: string, listed: ReadonlySet<string>): Promise<void> {
  for (const name of listed) {
    await removeOwn(stagedPath(staging, name));
  }
}

/** Sets the file to its final length and writes its header. The length reserves no space: the disk may still fill up. */
export async function layOutShard(staging: string, shard: StagedShard): Promise<void> {
  const path = stagedPath(staging, shard.file);
  const handle = await openOwn(path, constants.O_RDWR | constants.O_CREAT);
  try {
    const length = shard.size ?? shard.most;
    if (length !== undefined) {
      await handle.truncate(length);
    }
    let written = 0;
    while (written < shard.header.length) {
      const { bytesWritten } = await handle.write(shard.header, written, shard.header.length - written, written);
      written += bytesWritten;
    }
  } catch (error) {
    throw runError(path, "write", error);
  } finally {
    await handle.close();
  }
}

/** Does the file already have its final length and its header? */
export async function isLaidOut(staging: string, { file, size, header }: StagedShard): Promise<boolean> {
  const handle = await openOwn(stagedPath(staging, file), constants.O_RDONLY).catch(() => null);
  if (handle === null) {
    return false;
  }
  try {
    const found = Buffer.alloc(header.length);
    const { bytesRead } = await handle.read(found, 0, header.length, 0);
    return (await handle.stat()).size === size && bytesRead === header.length && found.equals(header);
  } finally {
    await handle.close();
  }
}

/** The content of an extra file, in pieces. @throws {WeightDiffError} while it is read: INPUT_CHANGED; as openFileSource. */
export function contentOf(extra: ExtraFile, written: readonly WrittenFile[]): Pieces {
  return "of" in extra ? [extra.of(written)] : "text" in extra ? [extra.text] : piecesOf(extra);
}

type Pieces = Iterable<string> | AsyncIterable<Uint8Array>;

/** Writes a small file. @returns its name, and the length and sha256 (hex) of the bytes that were written. */
export async function writeSmall(staging: string, file: string, content: Pieces): Promise<WrittenFile> {
  const path = stagedPath(staging, file);
  await removeOwn(path);
  const handle = await open(path, "wx");
  const hash = createHash("sha256");
  let size = 0;
  try {
    for await (const piece of content) {
      const bytes = Buffer.from(piece);
      hash.update(bytes);
      size += bytes.length;
      await handle.writeFile(bytes);
    }
  } catch (error) {
    throw runError(path, "write", error);
  } finally {
    await handle.close();
  }
  await syncFile(path);
  return { file, size, sha256: hash.digest("hex") };
}

/** @throws {WeightDiffError} INPUT_CHANGED if the file is gone; as openFileSource. */
async function* piecesOf({ path, within }: PlacedFile): AsyncGenerator<Uint8Array> {
  const source = await openFileSource(path, within).catch((error: unknown) => {
    throw error instanceof WeightDiffError && error.code === "NOT_FOUND" ? missingInput(path) : error;
  });
  try {
    for (let at = 0; at < source.size; at += PIECE) {
      yield await source.readAt(at, Math.min(PIECE, source.size - at));
    }
  } finally {
    await source.close();
  }
}

function missingInput(path: string): WeightDiffError {
  return new WeightDiffError(
    "INPUT_CHANGED",
    "the input changed during the run: it is gone",
    "put it back, then run again",
    { at: { file: path } },
  );
}

/** Makes the output directory so that its name survives a power loss. @returns the folders that were made, from the top down. */
export async function makeOutput(path: string): Promise<readonly string[]> {
  try {
    const made = await makeFolders(path);
    for (const folder of made) {
      await syncDirectory(dirname(folder));
    }
    return made;
  } catch (error) {
    throw beginError(path, "make the directory", error);
  }
}

/** Removes folders that were made for a run, unless somebody has put something there since. */
export async function removeFolders(made: readonly string[]): Promise<void> {
  for (const folder of made.toReversed()) {
    await rmdir(folder).catch(() => {});
  }
}

export async function syncFile(path: string): Promise<void> {
  try {
    await syncAndClose(await openOwn(path, constants.O_RDWR), path);
  } catch (error) {
    throw runError(path, "sync", error);
  }
}

async function syncAndClose(handle: FileHandle, path: string): Promise<void> {
  try {
    await traceAside(
      "fsync",
      () => handle.sync(),
      () => ({ path }),
    );
  } finally {
    await handle.close();
  }
}

/** File systems that cannot sync a directory say so in many ways; one that may not be listed cannot be opened for it. */
const NO_SYNC = new Set(["EINVAL", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EBADF", "EISDIR", "EACCES", "EPERM"]);

/** Makes new names survive a power loss, where the system can. Windows has no such call and needs none. */
export async function syncDirectory(path: string): Promise<void> {
  if (process.platform === "win32") {
    return;
  }
  try {
    await syncAndClose(await open(path, "r"), path);
  } catch (error) {
    if (!NO_SYNC.has(errnoOf(error) ?? "")) {
      throw runError(path, "sync", error);
    }
  }
}
