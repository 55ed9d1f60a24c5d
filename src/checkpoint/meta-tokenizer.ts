/** Where the tokenizer of a model in Meta's layout is: one for all sizes, beside their folders; many people copied it into each. */
import { dirname, join } from "node:path";
import { refusePlaceholder } from "./side-files.js";
import { sizeOf } from "./small-files.js";

export const TOKENIZER = "tokenizer.model";

/** Path of tokenizer.model in the model's directory, or above it; null if it is in neither. @throws {WeightDiffError} NOT_WEIGHTS, IO. */
export async function findMetaTokenizer(directory: string): Promise<string | null> {
  for (const place of [directory, dirname(directory)]) {
    const path = join(place, TOKENIZER);
    if ((await sizeOf(path)) !== null) {
      await refusePlaceholder(path, TOKENIZER);
      return path;
    }
  }
  return null;
}
