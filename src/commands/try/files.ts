/** The files beside the weights that tell how to speak to the model: family, template, end tokens, tokenizer. */
import { basename, dirname, join, resolve } from "node:path";
import { type Checkpoint, openCheckpoint } from "../../checkpoint/checkpoint.js";
import { configOf } from "../../checkpoint/config.js";
import { readSettings } from "../../checkpoint/tokenizer.js";
import { refuseStep } from "../../evidence/identify.js";
import { sizeOf } from "../../files/small-files.js";
import type { Hub } from "../../hub/place.js";
import type { PromptEvidence } from "../../inference/prompts.js";
import { openTokenizer, type TextTokenizer } from "../../inference/tokenizer.js";
import { readManifest } from "../../manifest/read.js";
import { MANIFEST } from "../../output/state.js";

/** As openCheckpoint and refuseStep, except that config and tokenizer of a single file are those beside it. */
export async function openModelAt(path: string, hub: Hub): Promise<Checkpoint> {
  const checkpoint = await openCheckpoint(path, hub);
  refuseStep(checkpoint);
  const [file] = checkpoint.shards;
  return checkpoint.directory !== null || file === undefined
    ? checkpoint
    : { ...checkpoint, directory: dirname(resolve(file.path)) };
}

/** @param scheme the scheme if the caller knows it; null asks the manifest. */
export async function promptEvidence(
  { directory, repo, path }: Checkpoint,
  scheme: string | null,
): Promise<PromptEvidence> {
  const settings = directory === null ? {} : await readSettings(directory, "tokenizer_config.json");
  const file = directory === null ? null : await sizeOf(join(directory, "chat_template.jinja"));
  return {
    name: repo ?? basename(resolve(directory ?? path)),
    scheme: scheme ?? (await schemeOf(directory)),
    template: settings.chat_template !== undefined || file !== null,
  };
}

/** A manifest that cannot be read tells nothing. */
async function schemeOf(directory: string | null): Promise<string | null> {
  if (directory === null) {
    return null;
  }
  const manifest = await readManifest(join(directory, MANIFEST)).catch(() => null);
  return manifest !== null && manifest.operation === "recover" ? manifest.scheme : null;
}

export interface Generation {
  /** Ids that end a text. */
  readonly ends: readonly number[];
  /** Settings that would give other tokens than the likeliest each time, by their keys. */
  readonly others: readonly string[];
}

/** As transformers does: generation_config.json if there is one, even for keys that it leaves out; otherwise config.json. */
export async function generationOf(checkpoint: Checkpoint): Promise<Generation> {
  const { directory } = checkpoint;
  const own = directory === null ? {} : await readSettings(directory, "generation_config.json");
  const settings = Object.keys(own).length > 0 ? own : ((await configOf(checkpoint))?.values ?? {});
  const ends = settings.eos_token_id;
  return {
    ends: (Array.isArray(ends) ? ends : [ends]).filter((id): id is number => Number.isSafeInteger(id)),
    others: Object.entries(PLAIN).flatMap(([key, isPlain]) => (isPlain(settings[key]) ? [] : [key])),
  };
}

const none = (value: unknown): boolean => value === undefined || value === null;
const atMost =
  (most: number) =>
  (value: unknown): boolean =>
    none(value) || (typeof value === "number" && value <= most);
const empty = (value: unknown): boolean => none(value) || (Array.isArray(value) && value.length === 0);

/** The values with which a setting changes no token of a greedy text (transformers 5.23, generation/configuration_utils.py). */
const PLAIN: Readonly<Record<string, (value: unknown) => boolean>> = {
  do_sample: (value) => value !== true,
  num_beams: atMost(1),
  repetition_penalty: (value) => none(value) || value === 1,
  no_repeat_ngram_size: atMost(0),
  min_length: atMost(0),
  min_new_tokens: atMost(0),
  bad_words_ids: empty,
  suppress_tokens: empty,
  begin_suppress_tokens: empty,
  sequence_bias: none,
  forced_eos_token_id: none,
  exponential_decay_length_penalty: none,
};

/** The tokenizer of the first folder that has one. */
export async function firstTokenizer(
  folders: readonly (string | null)[],
  options: { readonly rows: number; readonly signal?: AbortSignal | undefined },
): Promise<TextTokenizer | null> {
  for (const folder of folders) {
    const found = folder === null ? null : await openTokenizer(folder, options);
    if (found !== null) {
      return found;
    }
  }
  return null;
}
