/** What an output directory holds, told by names alone: our staging folder and manifest, weights of any format, something else. */
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { WeightDiffError } from "../errors.js";
import { errnoOf, runError } from "../files/errno.js";
import { hasOwnFile, hasOwnFolder } from "../files/own.js";
import { JOURNAL, STAGING } from "./journal.js";
import { isBegun, partsIn } from "./part-names.js";

export { STAGING } from "./journal.js";
export const MANIFEST = "weight-diff.json";
/** What model-signing calls it, too: it signs all files of a folder, and no other model. */
export const SIGNATURE = "model.sig";

/** Weight files and indexes of every format: what the mode "force" replaces. */
const OLD_WEIGHTS =
  /^((pytorch_model|model|tf_model|flax_model|consolidated)[-._\w]*\.(bin|safetensors|pth|pt|h5|msgpack)|(pytorch_model|model|tf_model|flax_model)[-._\w]*\.index\.json|.+\.(safetensors|gguf)|.+\.safetensors\.index\.json)$/;

/**
 * What a fresh clone, a desktop or a volume puts into a folder, and what NFS and FUSE call a removed file that somebody has open:
 * none of it is a model.
 */
const NO_MODEL =
  /^(\.git|\.gitattributes|\.gitignore|README\.md|\.cache|\.DS_Store|\._.*|Thumbs\.db|desktop\.ini|\.directory|lost\+found|System Volume Information|\$RECYCLE\.BIN|\.Trash.*|\.Spotlight-V100|\.fseventsd|\.(nfs|fuse_hidden)[0-9a-f]+)$/;

/** Is this something that other programs leave in a folder, by its name? */
export function isClutter(name: string): boolean {
  return NO_MODEL.test(name);
}

/** Is this a weight file or an index of any format, by its name? */
export function isWeightFile(name: string): boolean {
  return OLD_WEIGHTS.test(name);
}

/** Is there a file of this name in the directory? */
export async function hasFile(path: string, name: string): Promise<boolean> {
  return (await stat(join(path, name)).catch(() => null))?.isFile() === true;
}

/**
 * Does the directory hold a finished run, a partial one, something else, or nothing? A staging folder without a journal counts
 * as nothing: a run ended in it before it had begun, or after all was done.
 * @throws {WeightDiffError} OUTPUT_REFUSED if it is a file, or what should be ours is something else; IO.
 */
export async function outputState(path: string): Promise<"absent" | "empty" | "partial" | "finished" | "other"> {
  const names = await readdir(path).catch((error: unknown) => {
    if (errnoOf(error) === "ENOENT") {
      return null;
    }
    if (errnoOf(error) === "ENOTDIR") {
      throw new WeightDiffError("OUTPUT_REFUSED", "is a file, not a directory", "give a directory of its own", {
        at: { file: path },
      });
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

async function isPartial(staging: string): Promise<boolean> {
  try {
    return (await hasOwnFolder(staging)) && (await hasOwnFile(join(staging, JOURNAL)));
  } catch (error) {
    throw runError(staging, "look at", error);
  }
}

/** Has a part of a run on several machines been begun here? */
export async function hasParts(path: string): Promise<boolean> {
  for (const part of await partsIn(path)) {
    if (await isBegun(path, part)) {
      return true;
    }
  }
  return false;
}
