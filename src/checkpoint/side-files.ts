/** The small files beside the weights: which ones belong to a recovered model, and whether they are what they seem (DESIGN 4). */
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { WeightDiffError } from "../errors.js";
import { fileError } from "../files/file-source.js";
import { isSideFile } from "../files/side-names.js";
import type { HubFile } from "../hub/place.js";
import { openShardSource } from "../hub/source.js";

export interface SideFiles {
  /** Bare names to copy, sorted. */
  readonly copied: readonly string[];
  /** Bare names of what else is there and stays behind. */
  readonly left: readonly string[];
}

/**
 * Sorts the files of `directory` into those that go with the model and those that do not; config.json and
 * what `isWeights` says are neither. @throws {WeightDiffError} NOT_WEIGHTS if a file to copy is a git-lfs pointer or an HTML page; IO.
 */
export async function sideFiles(directory: string, isWeights: (name: string) => boolean): Promise<SideFiles> {
  const copied: string[] = [];
  const left: string[] = [];
  const names = await fileNames(directory);
  for (const name of [...names].sort()) {
    // Symlinks are followed: a Hub cache consists of them.
    const info = await stat(join(directory, name)).catch(() => null);
    if (info === null || !info.isFile() || isWeights(name) || name === "config.json" || name === "weight-diff.json") {
      continue;
    }
    if (isSideFile(name)) {
      await refusePlaceholder(join(directory, name), name);
      copied.push(name);
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
  { path, name, hub }: { readonly path: string; readonly name: string; readonly hub?: HubFile },
  file: string,
): Promise<void> {
  const source = await openShardSource({ path, ...(hub === undefined ? {} : { hub }) });
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
