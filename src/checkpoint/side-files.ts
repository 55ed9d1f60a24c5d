/** The small files beside the weights: which ones belong to a recovered model, and whether they are what they seem (DESIGN 4). */
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { WeightDiffError } from "../errors.js";
import { fileError } from "../files/errno.js";
import type { PlacedFile } from "../files/file-source.js";
import { isSideFile } from "../files/side-names.js";
import { openShardSource, type ShardPlace } from "../hub/source.js";

/** A small file that goes along. */
export interface SideFile extends PlacedFile {
  /** Bare name. */
  readonly file: string;
}

export interface SideFiles {
  /** To copy, sorted by name. */
  readonly copied: readonly SideFile[];
  /** Bare names of what else is there and stays behind. */
  readonly left: readonly string[];
}

/**
 * Sorts the files of `directory` into those that go with the model and those that do not; config.json, which is edited, and what
 * `isOther` says are neither.
 * @throws {WeightDiffError} NOT_WEIGHTS if a file to copy is a git-lfs pointer or an HTML page; LINK_OUTSIDE if it is a link out of
 * the directory; IO.
 */
export async function sideFiles(directory: string, isOther: (name: string) => boolean): Promise<SideFiles> {
  const copied: SideFile[] = [];
  const left: string[] = [];
  const names = await fileNames(directory);
  for (const name of [...names].sort()) {
    // Symlinks are followed: a Hub cache consists of them. Where to, is looked at when the file is opened.
    const info = await stat(join(directory, name)).catch(() => null);
    if (info === null || !info.isFile() || isOther(name) || name === "weight-diff.json") {
      continue;
    }
    const place = { path: join(directory, name), within: directory };
    if (name === "config.json") {
      await refuseStandIn({ ...place, name: place.path }, name);
    } else if (isSideFile(name)) {
      await refuseStandIn({ ...place, name: place.path }, name);
      copied.push({ file: name, ...place });
    } else {
      left.push(name);
    }
  }
  return { copied, left };
}

/** Bare names of everything in the directory; none where there is none. @throws {WeightDiffError} IO. */
export async function fileNames(directory: string | null): Promise<readonly string[]> {
  return directory === null
    ? []
    : readdir(directory).catch((error: unknown) => {
        throw fileError(directory, "list", error);
      });
}

/** @throws {WeightDiffError} NOT_WEIGHTS for a git-lfs pointer, or an error page saved under the file's name. */
export async function refusePlaceholder(path: string, name: string): Promise<void> {
  return refuseStandIn({ path, name: path }, name);
}

/** Likewise, of a file that may be at the Hub. @param file bare name. */
export async function refuseStandIn(
  { name, ...place }: ShardPlace & { readonly name: string },
  file: string,
): Promise<void> {
  const source = await openShardSource(place);
  try {
    const head = new TextDecoder("latin1").decode(await source.readAt(0, Math.min(source.size, 64)));
    if (head.startsWith("version https://git-lfs")) {
      throw new WeightDiffError(
        "NOT_WEIGHTS",
        "a git-lfs pointer, not the file itself",
        "run git lfs pull in the clone, or download the file",
        { at: { file: name } },
      );
    }
    if (!/\.html?$/i.test(file) && /^\s*<(!doctype html|html)/i.test(head)) {
      throw new WeightDiffError(
        "NOT_WEIGHTS",
        "an HTML page, not the file itself",
        "download the file again; a gated repository wants a login",
        { at: { file: name } },
      );
    }
  } finally {
    await source.close();
  }
}
