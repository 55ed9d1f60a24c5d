/** The files of a directory as they are now: what a run that reads whole files is planned for. */
import { readdir, stat } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { WeightDiffError } from "../errors.js";
import { printable } from "../formats/quote.js";
import { fileError } from "./file-source.js";
import { expandHome, hubSnapshot } from "./locate.js";

/** A regular file; symlinks are followed, since a Hub cache consists of them. */
export interface ListedFile {
  /** Bare name. */
  readonly file: string;
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  /** Nanoseconds since 1970, as text. */
  readonly modified: string;
}

export interface Folder {
  /** As the user wrote it. */
  readonly path: string;
  readonly directory: string;
  readonly repo: string | null;
  readonly commit: string | null;
  /** Sorted by name. */
  readonly files: readonly ListedFile[];
  /** Bare names of directories, sorted. */
  readonly folders: readonly string[];
}

/** Is there a directory at `path`? */
export async function isFolder(path: string): Promise<boolean> {
  return (await stat(expandHome(path)).catch(() => null))?.isDirectory() === true;
}

/** Lists a directory or a Hub cache folder. @throws {WeightDiffError} NOT_FOUND, also for a link that leads nowhere; IO. */
export async function listFolder(path: string): Promise<Folder> {
  const place = await hubSnapshot(resolve(expandHome(path)), path);
  const { directory } = place;
  const names = await readdir(directory).catch((error: unknown) => {
    throw fileError(path, "list", error);
  });
  const files: ListedFile[] = [];
  const folders: string[] = [];
  for (const file of names.sort()) {
    const info = await stat(join(directory, file), { bigint: true }).catch(() => null);
    if (info === null) {
      throw new WeightDiffError(
        "NOT_FOUND",
        `${join(path, printable(file))}: a link that leads nowhere, or a file that cannot be read`,
        "fetch the file again, or remove the link",
      );
    }
    if (info.isFile()) {
      files.push({ file, path: join(directory, file), size: Number(info.size), modified: String(info.mtimeNs) });
    } else if (info.isDirectory()) {
      folders.push(file);
    }
  }
  return { path, ...place, files, folders };
}

/** A single file. @throws {WeightDiffError} NOT_FOUND, IO. */
export async function listFile(path: string): Promise<ListedFile> {
  const absolute = resolve(expandHome(path));
  const info = await stat(absolute, { bigint: true }).catch((error: unknown) => {
    throw fileError(path, "open", error);
  });
  if (!info.isFile()) {
    throw new WeightDiffError("NOT_FOUND", `${path}: not a regular file`, "give a file, or its directory");
  }
  return { file: basename(absolute), path: absolute, size: Number(info.size), modified: String(info.mtimeNs) };
}
