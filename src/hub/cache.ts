/**
 * The Hub's cache on this disk, laid out as huggingface_hub does (its file_download.py; docs/hub.md), so that either finds what
 * the other fetched: models--org--name/ with blobs/<etag>, refs/<revision> and snapshots/<commit>/<path>, a relative symlink to
 * the blob or, where there are none, the file itself. A blob may be a link into a store that all repositories share.
 * A blob's name is the digest of its bytes. .verified/ lists the blobs whose bytes were found to have it.
 */
import { randomBytes } from "node:crypto";
import { copyFile, link, lstat, readdir, rm, stat, symlink, writeFile } from "node:fs/promises";
import { basename, dirname, join, relative } from "node:path";
import { WeightDiffError } from "../errors.js";
import { isTrueBlob } from "../files/blob.js";
import { errnoOf, fileError } from "../files/errno.js";
import { makeFolders } from "../files/folders.js";
import { renameOver } from "../files/rename.js";
import { readText, sizeOf } from "../files/small-files.js";
import { isCommit } from "./name.js";

/** A repository's folder in the cache, and one commit of it. */
export interface HubSnapshot {
  /** …/models--org--name. */
  readonly folder: string;
  readonly commit: string;
  /** …/snapshots/<commit>. */
  readonly directory: string;
}

/** The most bytes of such a small file: it holds a commit, or a size and a time. */
const MAX_NOTE_BYTES = 1000;

const TAG =
  "Signature: 8a477f597d28d172789f06886806bc55\n# This file is a cache directory tag created by huggingface_hub.\n" +
  "# For information about cache directory tags, see:\n#\thttps://bford.info/cachedir/\n";

/** The folder of a repository. */
export function repoFolder(cache: string, id: string): string {
  return join(cache, `models--${id.replaceAll("/", "--")}`);
}

export function snapshotOf(folder: string, commit: string): HubSnapshot {
  return { folder, commit, directory: join(folder, "snapshots", commit) };
}

export function blobPath(folder: string, etag: string): string {
  return join(folder, "blobs", etag);
}

/** The commit that a revision stood for at the last request to the Hub; null if there was none. A commit stands for itself. */
export async function cachedCommit(folder: string, revision: string): Promise<string | null> {
  if (isCommit(revision)) {
    return revision;
  }
  const text = (await readText(join(folder, "refs", ...revision.split("/")), MAX_NOTE_BYTES).catch(() => "")).trim();
  return isCommit(text) ? text : null;
}

/** Notes what a revision stands for. @throws {WeightDiffError} IO, DISK_FULL. */
export async function writeRef(folder: string, revision: string, commit: string): Promise<void> {
  if (revision === commit || (await cachedCommit(folder, revision)) === commit) {
    return;
  }
  await replaceFile(join(folder, "refs", ...revision.split("/")), commit);
}

/** Marks the cache so that backups leave it out. @throws {WeightDiffError} IO. */
export async function prepareCache(cache: string): Promise<void> {
  await makeFolder(cache);
  await writeFile(join(cache, "CACHEDIR.TAG"), TAG, { flag: "wx" }).catch(() => {}); // there already, or not ours to write
}

/**
 * A file of the snapshot, by its blob or its own name there; null if it is not cached or has another size than `size`.
 * A blob without a snapshot is given one.
 */
export async function cachedFile(
  snapshot: HubSnapshot,
  path: string,
  blob: { readonly etag: string; readonly size: number },
  symlinks: boolean,
): Promise<string | null> {
  const pointer = join(snapshot.directory, path);
  if ((await sizeOf(pointer)) === blob.size) {
    return pointer;
  }
  const stored = blobPath(snapshot.folder, blob.etag);
  if ((await sizeOf(stored)) !== blob.size) {
    return null;
  }
  await pointTo(stored, pointer, { symlinks, fresh: null });
  // Without links, another process may have moved the blob away in the meantime.
  return (await sizeOf(pointer)) === blob.size ? pointer : null;
}

/** The file that holds the bytes: the blob that the pointer leads to, or the pointer itself if there are no links. */
export async function blobOf(
  snapshot: HubSnapshot,
  pointer: string,
  { etag, size }: { readonly etag: string; readonly size: number },
): Promise<string> {
  const blob = blobPath(snapshot.folder, etag);
  return etag !== "" && (await sizeOf(blob)) === size ? blob : pointer;
}

/**
 * Makes `pointer` stand for the blob. Where links cannot be made, a fresh blob is moved there and an old one copied.
 * @param fresh the digest of a blob that has just been checked; null for an old one. @throws {WeightDiffError} IO, DISK_FULL.
 */
export async function pointTo(
  blob: string,
  pointer: string,
  { symlinks, fresh }: { readonly symlinks: boolean; readonly fresh: string | null },
): Promise<void> {
  await makeFolder(dirname(pointer));
  const temporary = `${pointer}.${randomBytes(4).toString("hex")}.tmp`;
  try {
    const linked =
      symlinks && (await symlink(relative(dirname(pointer), blob), temporary).then(() => true, cannotLink));
    if (!linked && fresh !== null) {
      await settle(blob, pointer, fresh);
      return;
    }
    if (!linked) {
      await copyFile(blob, temporary);
    }
    await renameOver(temporary, pointer);
  } catch (error) {
    await rm(temporary, { force: true });
    if (fresh === null && errnoOf(error) === "ENOENT") {
      return; // the blob is gone, and the caller looks at the pointer
    }
    throw fileError(pointer, "write", error);
  }
}

/**
 * Gives a file whose digest is right its final name. If another process was quicker with the same bytes, its file stays, so that its
 * readers see no change. huggingface_hub's locks are best-effort too (file_download.py, 1.33): the cache stays right because a name
 * only ever appears for a whole file, by a link or a rename.
 * @throws {WeightDiffError} IO, DISK_FULL; the signal's reason.
 */
export async function settle(from: string, to: string, etag: string, signal?: AbortSignal): Promise<void> {
  const isFile = async (): Promise<boolean> => (await lstat(to).catch(() => null))?.isFile() === true;
  try {
    await link(from, to);
  } catch (error) {
    // There already, or moved there by another process, or a file system without hard links. A pointer is no file.
    const done = (await isFile()) && (await isTrueBlob(to, etag, signal).catch(() => false));
    signal?.throwIfAborted();
    if (!done) {
      await renameOver(from, to).catch((failed: unknown) => {
        throw fileError(to, "write", errnoOf(failed) === "ENOENT" ? error : failed);
      });
      return;
    }
  }
  await rm(from, { force: true }).catch(() => {}); // it has its final name
}

/** Does the error mean that no links can be made: Windows without the right to, or a file system without links? */
function cannotLink(error: unknown): false {
  if (["EPERM", "ENOSYS", "EOPNOTSUPP", "ENOTSUP", "EACCES", "EINVAL"].includes(errnoOf(error) ?? "")) {
    return false;
  }
  throw error;
}

/** Has the file been digested as it is now, and was the digest right? */
export async function isNoted(snapshot: HubSnapshot, path: string, etag: string): Promise<boolean> {
  const note = await readText(notePath(snapshot.folder, etag), MAX_NOTE_BYTES).catch(() => null);
  return note !== null && note === (await stamp(join(snapshot.directory, path)));
}

/** Notes that it has the right digest. If the cache cannot be written to, the next run digests it again. */
export async function note(snapshot: HubSnapshot, path: string, etag: string): Promise<void> {
  const now = await stamp(join(snapshot.directory, path));
  if (now !== null) {
    await replaceFile(notePath(snapshot.folder, etag), now).catch(() => {});
  }
}

function notePath(folder: string, etag: string): string {
  return join(folder, ".verified", etag);
}

async function stamp(path: string): Promise<string | null> {
  const info = await stat(path, { bigint: true }).catch(() => null);
  return info === null ? null : `${info.size} ${info.mtimeNs}\n`;
}

/** Bare names of the folders of a snapshot folder, sorted. */
export async function snapshotFolders(directory: string): Promise<readonly string[]> {
  const entries = await readdir(directory, { withFileTypes: true }).catch(() => []);
  return entries.flatMap((entry) => (entry.isDirectory() ? [entry.name] : [])).sort();
}

/** Names of the regular files of a snapshot folder; null if there is none. */
export async function snapshotNames(directory: string): Promise<readonly string[] | null> {
  const names = await readdir(directory).catch(() => null);
  return names === null ? null : names.filter((name) => !name.endsWith(".tmp")).sort();
}

/** Writes a small file whole or not at all. @throws {WeightDiffError} IO. */
async function replaceFile(path: string, text: string): Promise<void> {
  await makeFolder(dirname(path));
  const temporary = join(dirname(path), `${basename(path)}.${randomBytes(4).toString("hex")}.tmp`);
  try {
    await writeFile(temporary, text);
    await renameOver(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw fileError(path, "write", error);
  }
}

/** @throws {WeightDiffError} IO. */
export async function makeFolder(path: string): Promise<void> {
  await makeFolders(path).catch((error: unknown) => {
    const found = fileError(path, "make the folder", error);
    throw new WeightDiffError("IO", found.fact, "give a cache that can be written to: HF_HUB_CACHE", {
      at: found.at,
      advice: [{ to: "read without a cache", option: "hub.cache", value: null }],
      cause: error,
    });
  });
}
