/**
 * What an output directory holds, told by names alone: this tool's staging folder and manifest, weights of any format, or something else.
 */
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { WeightDiffError } from "../errors.js";
import { errnoOf, runError } from "../files/errno.js";
import { missingPath } from "../files/missing-path.js";
import { hasOwnFile, hasOwnFolder } from "../files/own.js";
import { absolutePath } from "../files/paths.js";
import { JOURNAL, STAGING } from "./journal.js";
import { isBegun, partsIn } from "./part-names.js";

export { STAGING } from "./journal.js";
export const MANIFEST = "weight-diff.json";
/** model-signing uses the same name. It signs all files of a folder, so it belongs to this model and no other. */
export const SIGNATURE = "model.sig";

/** Weight files and indexes of every format: the mode "force" replaces them. */
const OLD_WEIGHTS =
  /^((pytorch_model|model|tf_model|flax_model|consolidated)[-._\w]*\.(bin|safetensors|pth|pt|h5|msgpack)|(pytorch_model|model|tf_model|flax_model)[-._\w]*\.index\.json|.+\.(safetensors|gguf)|.+\.safetensors\.index\.json)$/;

/**
 * Files that a fresh clone, a desktop or a volume puts into a folder, and the names that NFS and FUSE give to removed files that are still
 * open. None of them belongs to a model.
 */
const NO_MODEL =
  /^(\.git|\.gitattributes|\.gitignore|README\.md|\.cache|\.DS_Store|\._.*|Thumbs\.db|desktop\.ini|\.directory|lost\+found|System Volume Information|\$RECYCLE\.BIN|\.Trash.*|\.Spotlight-V100|\.fseventsd|\.(nfs|fuse_hidden)[0-9a-f]+)$/;

/** Is this, by its name, something that other programs leave in a folder? */
export function isClutter(name: string): boolean {
  return NO_MODEL.test(name);
}

/** Is this, by its name, a weight file or an index of any format? */
export function isWeightFile(name: string): boolean {
  return OLD_WEIGHTS.test(name);
}

/** Is there a file of this name in the directory? */
export async function hasFile(path: string, name: string): Promise<boolean> {
  return (await stat(join(path, name)).catch(() => null))?.isFile() === true;
}

/**
 * Does the directory hold a finished run, an unfinished one, something else, or nothing? A staging folder without a journal counts as
 * nothing: a run ended in it before it had begun, or after everything was done.
 * @throws {WeightDiffError} OUTPUT_REFUSED if the path is a file, or if something else stands where this tool's files should be; IO.
 */
export async function outputState(path: string): Promise<"absent" | "empty" | "partial" | "finished" | "other"> {
  const names = await readdir(path).catch((error: unknown) => {
    if (errnoOf(error) === "ENOENT") {
      return null;
    }
    if (errnoOf(error) === "ENOTDIR") {
      throw new WeightDiffError(
        "OUTPUT_REFUSED",
        "is a file, not a directory",
        "give the output a directory of its own",
        {
          at: { file: path },
        },
      );
    }
    throw runError(path, "list", error);
  });
  if (names === null) {
    return "absent";
  }
  if ((await isPartial(join(path, STAGING))) || (await hasParts(path))) {
    return "partial";
  }
  if (names.includes(MANIFEST)) {
    return "finished";
  }
  return names.every((name) => name === STAGING || isClutter(name)) ? "empty" : "other";
}

/**
 * The absolute path of the directory that was given to all parts.
 * @param path as the user wrote it.
 * @throws {WeightDiffError} NOT_FOUND if nothing is there; OUTPUT_REFUSED if it is a file.
 */
export async function directoryOfParts(path: string): Promise<string> {
  const missing = await missingPath(path);
  if (missing !== null) {
    throw missing;
  }
  const absolute = absolutePath(path);
  const info = await stat(absolute).catch((error: unknown) => {
    throw runError(absolute, "look at", error);
  });
  if (!info.isDirectory()) {
    throw new WeightDiffError(
      "OUTPUT_REFUSED",
      "is a file, not a directory",
      "give the output directory that was given to all parts",
      { at: { file: path } },
    );
  }
  return absolute;
}

async function isPartial(staging: string): Promise<boolean> {
  try {
    return (await hasOwnFolder(staging)) && (await hasOwnFile(join(staging, JOURNAL)));
  } catch (error) {
    throw runError(staging, "look at", error);
  }
}

/** Was a part of a run on several machines begun here? */
export async function hasParts(path: string): Promise<boolean> {
  for (const part of await partsIn(path)) {
    if (await isBegun(path, part)) {
      return true;
    }
  }
  return false;
}
