/**
 * Moves the files from the staging folder into the output directory under their final names, the manifest last. The journal records
 * beforehand that this begins. So after a crash, the names can be taken back and given again.
 */
import type { Stats } from "node:fs";
import { lstat, readdir, unlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { WeightDiffError } from "../errors.js";
import { isMissing } from "../files/errno.js";
import { hasOwnFolder, ownFolder } from "../files/own.js";
import { renameOver } from "../files/rename.js";
import { type StagedShard, syncDirectory } from "./staging.js";
import { isWeightFile, MANIFEST, SIGNATURE } from "./state.js";

/**
 * Refuses names that cannot be given.
 * @param replace may old files be replaced? If not, the directory was empty when the run began.
 * @throws {WeightDiffError} OUTPUT_REFUSED.
 */
export async function refuseTaken(path: string, names: readonly string[], replace: boolean): Promise<void> {
  for (const name of names) {
    await folderOf(path, name, hasOwnFolder);
    const info = await look(join(path, name));
    if (info?.isDirectory() === true) {
      throw inTheWay(join(path, name), "is a directory, and a file of the output has this name");
    }
    if (info !== null && !replace) {
      throw inTheWay(join(path, name), "was put here since the run began, and a file of the output has this name");
    }
  }
}

function inTheWay(file: string, fact: string): WeightDiffError {
  return new WeightDiffError("OUTPUT_REFUSED", fact, "move it away", {
    at: { file },
    advice: [{ to: "continue", option: "mode", value: "resume", afterwards: true }],
  });
}

/** The path of a file until it gets its final name. */
type StagedAt = (name: string) => string;

/** Gives all names, that of the manifest last: its presence means that the run finished. */
export async function giveNames(path: string, staged: StagedAt, names: readonly string[]): Promise<void> {
  const folders = new Set<string>([path]);
  for (const name of names) {
    folders.add(await folderOf(path, name, ownFolder));
    await renameOver(staged(name), join(path, name));
  }
  for (const folder of folders) {
    await syncDirectory(folder);
  }
  await renameOver(staged(MANIFEST), join(path, MANIFEST));
  await syncDirectory(path);
}

/** The folder of an output file. @param look checks it and the folders above it, so that none of them is a link. */
async function folderOf(path: string, name: string, look: (folder: string) => Promise<unknown>): Promise<string> {
  let folder = path;
  for (const part of name.split("/").slice(0, -1)) {
    folder = join(folder, part);
    await look(folder);
  }
  return folder;
}

/**
 * Takes back the names that an earlier run gave before it ended, so that everything is verified like all other files. A file that is still
 * in the staging folder never got its name: a file of that name in the output belongs to an old model.
 */
export async function takeBack(
  path: string,
  staged: StagedAt,
  listed: ReadonlySet<string>,
  shards: readonly StagedShard[],
): Promise<void> {
  const sizes = new Map(shards.map(({ file, size }) => [file, size]));
  const others = [...listed].filter((name) => name !== MANIFEST);
  for (const name of listed.has(MANIFEST) ? [MANIFEST, ...others] : others) {
    const from = join(path, name);
    const to = staged(name);
    const folder = await folderOf(path, name, hasOwnFolder);
    const [final, waiting] = [await look(from), await look(to)];
    const size = sizes.get(name) ?? null;
    if (waiting === null && final?.isFile() === true && (size === null || final.size === size)) {
      await renameOver(from, to);
      await syncDirectory(dirname(to));
      await syncDirectory(folder);
    }
  }
}

/**
 * Removes the old manifest first, so the directory no longer claims to be a finished run. Removes only weights, indexes and their
 * signature.
 */
export async function removeOld(path: string): Promise<void> {
  await unlink(join(path, MANIFEST)).catch((error: unknown) => {
    if (!isMissing(error)) {
      throw error;
    }
  });
  await syncDirectory(path);
  for (const name of await readdir(path)) {
    if ((isWeightFile(name) || name === SIGNATURE) && (await look(join(path, name)))?.isDirectory() === false) {
      await unlink(join(path, name));
    }
  }
}

async function look(path: string): Promise<Stats | null> {
  return lstat(path).catch((error: unknown) => {
    if (isMissing(error)) {
      return null;
    }
    throw error;
  });
}
