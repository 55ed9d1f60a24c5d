/** Where the tokenizer of a model in Meta's layout is: one for all sizes, beside their folders; many people copied it into each. */
import { dirname, join } from "node:path";
import { sizeOf } from "../files/small-files.js";
import type { Hub } from "../hub/place.js";
import type { Checkpoint } from "./checkpoint.js";
import { refusePlaceholder } from "./side-files.js";

export const TOKENIZER = "tokenizer.model";

/**
 * Path of tokenizer.model in the model's folder, or above it; null if it is in neither, or the model is a lone file.
 * @throws {WeightDiffError} NOT_WEIGHTS, IO; HUB_…, NETWORK.
 */
export async function findMetaTokenizer(model: Checkpoint, hub: Hub): Promise<string | null> {
  const places = model.directory === null ? [] : [model.directory, await folderAbove(model.path, model.directory, hub)];
  for (const place of places) {
    const path = place === null ? null : join(place, TOKENIZER);
    if (path !== null && (await sizeOf(path)) !== null) {
      await refusePlaceholder(path, TOKENIZER);
      return path;
    }
  }
  return null;
}

/** Of a repository's root there is none: what lies above it on this disk is not the repository's. */
async function folderAbove(path: string, directory: string, hub: Hub): Promise<string | null> {
  const place = await hub.find(path);
  if (place === null) {
    return dirname(directory);
  }
  const { id, commit, folder } = place;
  const above = dirname(folder);
  const name = `hf://${id}@${commit}${above === "." ? "" : `/${above}`}`;
  return folder === "" ? null : ((await hub.find(name))?.directory ?? null);
}
