/** Where the tokenizer of a model in Meta's layout is: one for all sizes, beside their folders; many people copied it into each. */
import { dirname, join } from "node:path";
import type { PlacedFile } from "../files/file-source.js";
import { sizeOf } from "../files/small-files.js";
import type { Hub } from "../hub/place.js";
import type { Checkpoint } from "./checkpoint.js";
import { refuseStandIn } from "./side-files.js";

export const TOKENIZER = "tokenizer.model";

/**
 * tokenizer.model in the model's folder, or above it, where a link in the model's folder may lead; null if it is in neither, or the
 * model is a lone file. @throws {WeightDiffError} NOT_WEIGHTS, LINK_OUTSIDE, IO; HUB_…, NETWORK.
 */
export async function findMetaTokenizer(model: Checkpoint, hub: Hub): Promise<PlacedFile | null> {
  if (model.directory === null) {
    return null;
  }
  const above = await folderAbove(model.path, model.directory, hub);
  for (const folder of above === null ? [model.directory] : [model.directory, above]) {
    const place = { path: join(folder, TOKENIZER), within: above ?? folder };
    if ((await sizeOf(place.path)) !== null) {
      await refuseStandIn({ ...place, name: place.path }, TOKENIZER);
      return place;
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
