/**
 * The tokenizer of a model in Meta's layout: one file for all sizes, in the folder above theirs. Many people copied it into each folder.
 * The file alone does not tell transformers how to use it: 5.23 then leaves out the token that begins every text, and merges in another way
 * (test/conformance/meta-tokenizer.test.ts). So two files are written with it, as the converter of 2023 did.
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
  /** tokenizer.model, and the files that are written with it. */
  readonly files: readonly SideFile[];
  /** Is it sentencepiece's, as for LLaMA and Llama 2? Others are copied without such files. */
  readonly sentencepiece: boolean;
}

/** One entry of special_tokens_map.json. In tokenizer_config.json it also has a type. */
const token = (content: string, type: string, indent: string): string =>
  `{\n${type}${indent}  "content": "${content}",\n${indent}  "lstrip": false,\n${indent}  "normalized": true,\n${indent}  "rstrip": false,\n${indent}  "single_word": false\n${indent}}`;
const mapped = (content: string): string => token(content, "", "  ");
const typed = (content: string): string => token(content, '    "__type": "AddedToken",\n', "  ");

/** The output of LlamaTokenizer("tokenizer.model").save_pretrained() in transformers 4.28.1, byte for byte. */
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

/** The files that make a tokenizer; null if there is none. @throws {WeightDiffError} as findMetaTokenizer. */
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
 * tokenizer.model in the model's folder or above it, where a link in the model's folder may lead. Null if it is in neither, or if the model
 * is a single file.
 * @throws {WeightDiffError} NOT_WEIGHTS, LINK_OUTSIDE, IO; HUB_…, NETWORK.
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

/** The root of a repository has no folder above: what lies above it on this disk does not belong to the repository. */
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
