/**
 * Python's `len(tokenizer)`, and whether the tokenizer has a padding token, from its files alone: the vocabulary, added tokens, and the
 * special tokens that transformers adds on loading if the vocabulary lacks them (tokenization_utils_base.py 4.28.1,
 * sanitize_special_tokens).
 */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { readBytes } from "../files/small-files.js";
import { isObject } from "../formats/json.js";
import { JsonScanner } from "../formats/json-scanner.js";
import { eachPiece } from "../formats/sentencepiece.js";
import { MAX_TOKENIZER_BYTES, readSettings } from "./tokenizer.js";

interface TokenCount {
  /** The number of distinct tokens. */
  readonly tokens: number;
  /** Does it have a padding token? Null if neither its files nor its class tell. */
  readonly padding: boolean | null;
  knows(token: string): boolean;
}

/** Classes without a padding token in any release. GPTNeoXTokenizer is not listed: it has one in 5.23.0. */
const NO_PADDING: ReadonlySet<string> = new Set(
  `CTRLTokenizer CodeGenTokenizer CodeLlamaTokenizer GPT2Tokenizer GPTSw3Tokenizer LLaMATokenizer LlamaTokenizer
  OpenAIGPTTokenizer PreTrainedTokenizer TokenizersBackend WhisperTokenizer`.split(/\s+/),
);
/** The tokenizer class of a family, if the files do not name one (tokenization_auto.py). */
const OF_FAMILY: Readonly<Record<string, string>> = {
  codegen: "CodeGenTokenizer",
  gpt2: "GPT2Tokenizer",
  gpt_neo: "GPT2Tokenizer",
  gptj: "GPT2Tokenizer",
  llama: "LlamaTokenizer",
  mistral: "LlamaTokenizer",
};
/**
 * Families for which transformers 5 uses its own class, with a padding token, whatever class the files name. Older releases use the named
 * class (tokenization_auto.py 5.23.0, MODELS_WITH_INCORRECT_HUB_TOKENIZER_CLASS).
 */
const PADDED_OF_LATE: ReadonlySet<string> = new Set(
  "qwen2 qwen3_5 qwen3_5_moe qwen3_5_moe_text qwen4_exp siglip2".split(" "),
);
const SPECIAL = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"] as const;
const LISTS = ["additional_special_tokens", "extra_special_tokens"] as const;

/**
 * Null if there is no readable vocabulary.
 * @param modelType model_type of config.json.
 * @param asked tokens that `knows` will be asked for.
 * @throws {WeightDiffError} IO.
 */
export async function countTokens(
  directory: string | null,
  modelType: string | null,
  asked: readonly string[],
): Promise<TokenCount | null> {
  if (directory === null) {
    return null;
  }
  const settings = await readSettings(directory, "tokenizer_config.json");
  const map = await readSettings(directory, "special_tokens_map.json");
  const more = new Set([
    ...addedBy(settings),
    ...addedBy(map),
    ...Object.keys(await readSettings(directory, "added_tokens.json")),
  ]);
  const vocabulary = await readVocabulary(directory, new Set([...more, ...asked]), more);
  if (vocabulary === null) {
    return null;
  }
  const added = [...more].filter((token) => !vocabulary.known.has(token));
  const known = new Set([...vocabulary.known, ...added]);
  return {
    tokens: vocabulary.count + added.length,
    padding: paddingOf(settings, map, modelType),
    knows: (token) => known.has(token),
  };
}

type Settings = Readonly<Record<string, unknown>>;

/** The text of a token, given as a string or as an object with properties. */
function tokenText(value: unknown): string | null {
  const text = isObject(value) ? value.content : value;
  return typeof text === "string" ? text : null;
}

/** Tokens that the settings name. Blank ones, as in decapoda's uploads, do not count. */
function addedBy(values: Settings): readonly string[] {
  const decoder = isObject(values.added_tokens_decoder) ? Object.values(values.added_tokens_decoder) : [];
  const lists = LISTS.flatMap((key) => (Array.isArray(values[key]) ? values[key] : []));
  return [...SPECIAL.map((key) => values[key]), ...lists, ...decoder].flatMap((value) => tokenText(value) || []);
}

function paddingOf(settings: Settings, map: Settings, modelType: string | null): boolean | null {
  if (tokenText(settings.pad_token) !== null || tokenText(map.pad_token) !== null) {
    return true;
  }
  const stated = settings.tokenizer_class;
  const name = typeof stated === "string" ? stated : OF_FAMILY[modelType ?? ""];
  const classLacksIt = NO_PADDING.has((name ?? "").replace(/Fast$/, "")) && !PADDED_OF_LATE.has(modelType ?? "");
  return settings.pad_token === null || classLacksIt ? false : null;
}

interface Vocabulary {
  readonly count: number;
  /** The asked tokens that the vocabulary has. */
  readonly known: ReadonlySet<string>;
}

/** Reads the file that transformers would use. Null if there is none, or if it is broken. */
async function readVocabulary(
  directory: string,
  sought: ReadonlySet<string>,
  more: Set<string>,
): Promise<Vocabulary | null> {
  for (const [file, read] of READERS) {
    const path = join(directory, file);
    const info = await stat(path).catch(() => null);
    if (info === null || !info.isFile() || info.size > MAX_TOKENIZER_BYTES) {
      continue;
    }
    const bytes = await readBytes(path, MAX_TOKENIZER_BYTES);
    const known = new Set<string>();
    let count = 0;
    const take = (token: string): void => {
      count++;
      if (sought.has(token) || more.has(token)) {
        known.add(token);
      }
    };
    try {
      read(bytes, path, take, more);
      return { count, known };
    } catch {
      return null;
    }
  }
  return null;
}

type Read = (bytes: Uint8Array, path: string, take: (token: string) => void, more: Set<string>) => void;

const READERS: readonly (readonly [file: string, read: Read])[] = [
  ["tokenizer.json", readFast],
  ["tokenizer.model", (bytes, _, take) => eachPiece(bytes, take)],
  ["vocab.json", (bytes, path, take) => eachKey(new JsonScanner(bytes, path, "python"), take)],
];

/** {"model": {"vocab": …}, "added_tokens": [{"content": …}]}. Added tokens are read first, wherever they stand in the text. */
function readFast(bytes: Uint8Array, path: string, take: (token: string) => void, more: Set<string>): void {
  eachValue(new JsonScanner(bytes, path, "python"), "added_tokens", (scanner) => {
    scanner.array(() => {
      eachValue(scanner, "content", () => {
        more.add(scanner.string());
      });
    });
  });
  eachValue(new JsonScanner(bytes, path, "python"), "model", (scanner) => {
    eachValue(scanner, "vocab", () => {
      if (scanner.peek() === "{") {
        eachKey(scanner, take);
      } else {
        // Unigram models: [token, score].
        scanner.array(() => {
          scanner.array((index) => {
            if (index === 0) {
              take(scanner.string());
            } else {
              scanner.skip();
            }
          });
        });
      }
    });
  });
}

function eachValue(scanner: JsonScanner, wanted: string, read: (scanner: JsonScanner) => void): void {
  scanner.object((key) => {
    if (key === wanted) {
      read(scanner);
    } else {
      scanner.skip();
    }
  });
}

function eachKey(scanner: JsonScanner, take: (token: string) => void): void {
  scanner.object((key) => {
    take(key);
    scanner.skip();
  });
}
