/** The files of a directory, or of a repository's folder, as they are now. Runs that read whole files are planned from this list. */
import { readdir, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { WeightDiffError } from "../errors.js";
import { fileError } from "../files/errno.js";
import { missingPath } from "../files/missing-path.js";
import { absolutePath, expandHome } from "../files/paths.js";
import { printable } from "../formats/quote.js";
import { atCommit } from "../hub/name.js";
import type { Hub, HubFile, HubPlace } from "../hub/place.js";
import { hubSnapshot } from "./locate.js";

/** A regular file. Symlinks are followed, since a Hub cache consists of them. */
export interface ListedFile {
  /** Bare name. */
  readonly file: string;
  readonly path: string;
  /** For messages: the path, or the names of repository and file. */
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /** Nanoseconds since 1970, as text; the etag for a file on the Hub. */
  readonly modified: string;
  /** For a file that may be only on the Hub. */
  readonly hub?: HubFile;
}

export interface Folder {
  /** As the user wrote it. */
  readonly path: string;
  readonly directory: string;
  /** The folder of a repository; null for a folder on this disk. */
  readonly place: HubPlace | null;
  readonly repo: string | null;
  readonly commit: string | null;
  /** Sorted by name. */
  readonly files: readonly ListedFile[];
  /** Bare names of directories, sorted. */
  readonly folders: readonly string[];
  /** Bare names of links that lead nowhere, and of files that cannot be read, sorted. */
  readonly broken: readonly string[];
}

/**
 * The directory, Hub cache folder or repository that `path` names; null if it names a file or nothing.
 * @throws {WeightDiffError} NOT_FOUND for a link that leads nowhere; IO, HUB_…, NETWORK.
 */
export async function findFolder(path: string, hub: Hub | null): Promise<Folder | null> {
  const found = await findAnyFolder(path, hub);
  refuseBroken(found);
  return found;
}

/** As findFolder, but links that lead nowhere are listed: for whoever may do without them. */
export async function findAnyFolder(path: string, hub: Hub | null): Promise<Folder | null> {
  const place = (await hub?.find(path)) ?? null;
  if (place !== null) {
    return place.single === null ? listPlace(path, place) : null;
  }
  const isFolder = (await stat(expandHome(path)).catch(() => null))?.isDirectory() === true;
  return isFolder ? listFolder(path) : null;
}

/** The error if `findFolder` found none. @param fact what is wrong if something other than a folder is there. */
export async function noFolder(path: string, hub: Hub | null, fact: string, hint: string): Promise<WeightDiffError> {
  const isRepository = hub !== null && (await hub.find(path)) !== null;
  return (
    (isRepository ? null : await missingPath(path)) ??
    new WeightDiffError("NOT_FOUND", fact, hint, { at: { file: path } })
  );
}

/** One of the folders inside; null if there is none of that name. @throws {WeightDiffError} as findFolder. */
export async function enterFolder(folder: Folder, name: string, hub: Hub | null): Promise<Folder | null> {
  const found = await enterAnyFolder(folder, name, hub);
  refuseBroken(found);
  return found;
}

/** As enterFolder, but links that lead nowhere are listed. */
export async function enterAnyFolder(folder: Folder, name: string, hub: Hub | null): Promise<Folder | null> {
  if (!folder.folders.includes(name)) {
    return null;
  }
  const { place, repo, commit } = folder;
  if (place !== null) {
    return findAnyFolder(
      `hf://${place.id}@${commit}/${[place.folder, name].filter((part) => part !== "").join("/")}`,
      hub,
    );
  }
  const found = await listFolder(join(folder.directory, name));
  return { ...found, path: join(folder.path, name), repo, commit };
}

function refuseBroken(folder: Folder | null): void {
  const [first] = folder?.broken ?? [];
  if (folder !== null && first !== undefined) {
    throw brokenLink(folder, first);
  }
}

/** @param name one of the folder's `broken`. */
export function brokenLink({ path }: Pick<Folder, "path">, name: string): WeightDiffError {
  return new WeightDiffError(
    "NOT_FOUND",
    "a link that leads nowhere, or a file that cannot be read",
    "fetch the file again, or remove the link",
    { at: { file: join(path, printable(name)) } },
  );
}

/** Lists the files of a repository, on this disk or not. */
async function listPlace(path: string, place: HubPlace): Promise<Folder> {
  const { directory, id, commit } = place;
  const here = await statFiles(
    directory,
    place.names.filter((name) => !place.files.has(name)),
  );
  const there = [...place.files].map(([file, hub]): ListedFile => {
    return { file, path: join(directory, file), name: hub.name, size: hub.size, modified: hub.etag, hub };
  });
  const named = here.files.map((file) => {
    const path = [place.folder, file.file].filter((part) => part !== "").join("/");
    return { ...file, name: atCommit(id, commit, path) };
  });
  const files = [...named, ...there].sort((a, b) => (a.file < b.file ? -1 : 1));
  return { path, directory, place, repo: id, commit, files, folders: place.folders, broken: here.broken };
}

async function listFolder(path: string): Promise<Folder> {
  const place = await hubSnapshot(absolutePath(path), path);
  const { directory } = place;
  const names = await readdir(directory).catch((error: unknown) => {
    throw fileError(path, "list", error);
  });
  return { path, ...place, place: null, ...(await statFiles(directory, names)) };
}

async function statFiles(
  directory: string,
  names: readonly string[],
): Promise<Pick<Folder, "files" | "folders" | "broken">> {
  const files: ListedFile[] = [];
  const folders: string[] = [];
  const broken: string[] = [];
  for (const file of [...names].sort()) {
    const own = join(directory, file);
    const info = await stat(own, { bigint: true }).catch(() => null);
    if (info === null) {
      broken.push(file);
    } else if (info.isFile()) {
      files.push({ file, path: own, name: own, size: Number(info.size), modified: String(info.mtimeNs) });
    } else if (info.isDirectory()) {
      folders.push(file);
    }
  }
  return { files, folders, broken };
}

/** A single file, on this disk or in a repository. @throws {WeightDiffError} NOT_FOUND, IO, HUB_…, NETWORK. */
export async function findFile(path: string, hub: Hub | null): Promise<ListedFile> {
  const place = (await hub?.find(path)) ?? null;
  const remote = place?.single == null ? undefined : place.files.get(place.single);
  if (place !== null && place.single !== null && remote !== undefined) {
    const { name, size, etag } = remote;
    return { file: place.single, path: join(place.directory, place.single), name, size, modified: etag, hub: remote };
  }
  return listFile(path);
}

/** A single file. @throws {WeightDiffError} NOT_FOUND, IO. */
export async function listFile(path: string): Promise<ListedFile> {
  const absolute = absolutePath(path);
  const info = await stat(absolute, { bigint: true }).catch((error: unknown) => {
    throw fileError(path, "open", error);
  });
  if (!info.isFile()) {
    throw new WeightDiffError("NOT_FOUND", "not a regular file", "give a file, or its directory", {
      at: { file: path },
    });
  }
  return {
    file: basename(absolute),
    path: absolute,
    name: path,
    size: Number(info.size),
    modified: String(info.mtimeNs),
  };
}
