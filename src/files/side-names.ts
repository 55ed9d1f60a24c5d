/**
 * Names of the small files that belong to a model: what its loaders open under these names, and the terms it may be used under. One
 * table for what is copied, pushed, and fetched from the Hub before anything else. A name is relative to the model's folder, a file
 * of a folder in it has a "/".
 * Sources: transformers 5.23 - `vocab_files_names` of every tokenizer class, utils/__init__.py and utils/hub.py (processors, chat
 * templates), processing_utils.py, save_pretrained (further tokenizers have folders of their own), generation/utils.py
 * (custom_generate); sentence-transformers 5.1, SentenceTransformer.py (modules.json and a folder for each module).
 */

/** What a side file is for. */
type SideKind = "tokenizer" | "processor" | "generation" | "modules" | "terms";

const TOKENIZER_FOLDER = /^[a-z][a-z_]*_tokenizer$/;
const MODULE_FOLDER = /^\d+_[A-Za-z]\w*$/;

const SIDE_FILES: readonly (readonly [name: RegExp, kind: SideKind])[] = [
  // Names such as tokenizer.json, tokenizer.model and its versions (tokenizer.model.v3), tokenizer_config.json.
  [/^tokenizer[^/]*$/, "tokenizer"],
  [/^(special_tokens_map|added_tokens|tekken)\.json$/, "tokenizer"],
  [/^vocab[-.][^/]*$|^merges[^/]*$/, "tokenizer"],
  // Vocabularies under many names: spiece.model, sentencepiece.bpe.model, ice_text.model, qwen.tiktoken, source.spm, bpe.codes.
  [/^[^/]+\.(model|tiktoken|spm|codes|bpe|tokenizer)$/, "tokenizer"],
  [
    /^(byte_maps|emoji|entity_vocab|normalizer|target_vocab|word_pronunciation|word_shape)\.json$|^dict\.txt$/,
    "tokenizer",
  ],
  [/^chat_template[^/]*$|^additional_chat_templates\/[^/]+\.jinja$/, "tokenizer"],
  [/^((pre|video_pre)?processor|audio_tokenizer)_config\.json$/, "processor"],
  [/^generation_config\.json$|^custom_generate\/[^/]+\.(py|txt)$/, "generation"],
  [/^modules\.json$|^(config_sentence_transformers|sentence_[a-z]+_config)\.json$/, "modules"],
  [/^LICENSE[^/]*$/i, "terms"],
  [/^[^/]*licen[cs]e[^/]*\.(txt|md|pdf|rst|html)$|^[^/.]*licen[cs]e$/i, "terms"],
  [/^(NOTICE|COPYING)(\.(txt|md))?$|^USE_POLICY[^/]*$/i, "terms"],
];

/** What a file of this name is for; null if it does not belong to the model. */
export function sideKind(name: string): SideKind | null {
  const [folder = "", inner] = name.split("/");
  if (inner !== undefined && TOKENIZER_FOLDER.test(folder)) {
    return sideKind(inner) === "tokenizer" ? "tokenizer" : null;
  }
  if (inner !== undefined && MODULE_FOLDER.test(folder)) {
    return /^(config\.json|model\.safetensors|pytorch_model\.bin)$/.test(inner) ? "modules" : null;
  }
  return SIDE_FILES.find(([pattern]) => pattern.test(name))?.[1] ?? null;
}

/** Does a file of this name belong to the model? */
export function isSideFile(name: string): boolean {
  return sideKind(name) !== null;
}

/** May a folder of this name hold such files? */
export function isSideFolder(name: string): boolean {
  return (
    TOKENIZER_FOLDER.test(name) ||
    MODULE_FOLDER.test(name) ||
    /^(additional_chat_templates|custom_generate)$/.test(name)
  );
}

/** Does it hold a tokenizer's vocabulary? A folder without such a file has no tokenizer, except those that count bytes. */
export function isVocabulary(name: string): boolean {
  return /^(tokenizer\.json|tokenizer\.model[^/]*|tekken\.json|byte_maps\.json|dict\.txt|vocab[-.][^/]*|[^/]+\.(model|tiktoken|spm|codes|bpe|tokenizer))$/.test(
    name,
  );
}
