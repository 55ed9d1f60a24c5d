/**
 * The tokenizer of a model in Meta's layout: one file for all sizes, beside their folders; many people copied it into each. Alone it
 * does not tell transformers how it is used: 5.23 then leaves out the token that begins every text, and merges otherwise
 * (test/conformance/meta-tokenizer.test.ts). So it goes with the two files that the converter of 2023 wrote beside it.
 */
import { dirname, join } from "node:path";
import { openFileSource, type PlacedFile } from "../files/file-source.js";
import { sizeOf } from "../files/small-files.js";
import { FILE_HEAD, promiseOf } from "../formats/file-start.js";
import type { Hub } from "../hub/place.js";
import type { Checkpoint } from "./checkpoint.js";
import { refuseStandIn, type SideFile } from "./side-files.js";

export const TOKENIZER = "tokenizer.model";

export interface MetaTokenizer {
  /** tokenizer.model, and what goes with it. */
  readonly files: readonly SideFile[];
  /** Is it sentencepiece's, as that of LLaMA and Llama 2? Others are copied without a word on how they are used. */
  readonly sentencepiece: boolean;
}

/** One piece of special_tokens_map.json; in tokenizer_config.json it has a type. */
const token = (content: string, type: string, indent: string): string =>
  `{\n${type}${indent}  "content": "${content}",\n${indent}  "lstrip": false,\n${indent}  "normalized": true,\n${indent}  "rstrip": false,\n${indent}  "single_word": false\n${indent}}`;
const mapped = (content: string): string => token(content, "", "  ");
const typed = (content: string): string => token(content, '    "__type": "AddedToken",\n', "  ");

/** LlamaTokenizer("tokenizer.model").save_pretrained() of transformers 4.28.1, to the byte. */
const WRITTEN_BESIDE: readonly SideFile[] = [
  {
    file: "tokenizer_config.json",
    text: `{\n  "add_bos_token": true,\n  "add_eos_token": false,\n  "bos_token": ${typed("<s>")},\n  "clean_up_tokenization_spaces": false,\n  "eos_token": ${typed("</s>")},\n  "model_max_length": 1000000000000000019884624838656,\n  "pad_token": null,\n  "sp_model_kwargs": {},\n  "tokenizer_class": "LlamaTokenizer",\n  "unk_token": ${typed("<unk>")}\n}\n`,
  },
  {
    file: "special_tokens_map.json",
    text: `{\n  "bos_token": ${mapped("<s>")},\n  "eos_token": ${mapped("</s>")},\n  "unk_token": ${mapped("<unk>")}\n}\n`,
  },
];

/** What makes a tokenizer of it; null if there is none. @throws {WeightDiffError} as findMetaTokenizer. */
export async function metaTokenizer(model: Checkpoint, hub: Hub): Promise<MetaTokenizer | null> {
  const place = await findMetaTokenizer(model, hub);
  if (place === null) {
    return null;
  }
  const source = await openFileSource(place.path, place.within);
  try {
    const head = await source.readAt(0, Math.min(source.size, FILE_HEAD));
    const sentencepiece = promiseOf(TOKENIZER)?.holds(head) === true;
    return { files: [{ file: TOKENIZER, ...place }, ...(sentencepiece ? WRITTEN_BESIDE : [])], sentencepiece };
  } finally {
    await source.close();
  }
}

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
