/** What an output directory holds, told by names alone: our staging folder and manifest, weights of any format, something else. */
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { WeightDiffError } from "../errors.js";
import { errnoOf, runError } from "../files/errno.js";
import { JOURNAL } from "./journal.js";

export const STAGING = ".weight-diff";
export const MANIFEST = "weight-diff.json";

/** Weight files and indexes of every format: what --force replaces. */
const OLD_WEIGHTS =
  /^((pytorch_model|model|tf_model|flax_model|consolidated)[-._\w]*\.(bin|safetensors|pth|pt|h5|msgpack)|(pytorch_model|model|tf_model|flax_model)[-._\w]*\.index\.json|.+\.(safetensors|gguf)|.+\.safetensors\.index\.json)$/;

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
  if (names.includes(STAGING) && (await exists(join(path, STAGING, JOURNAL)))) {
    return "partial";
  }
  return names.includes(MANIFEST) ? "finished" : names.every((name) => name === STAGING) ? "empty" : "other";
}

/** Is there anything of this name? */
export async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => null)) !== null;
}
