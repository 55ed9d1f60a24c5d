/**
 * The tokenizer of a model, from the files in its folder: tokenizer.json, or a tokenizer.model like LLaMA's, which is converted
 * (tokenizer/from-sentencepiece.ts). It is read and used in a thread of its own, so a hostile file cannot block this one.
 */
import { join } from "node:path";
import { addedTokenIds, MAX_TOKENIZER_BYTES, readSettings } from "../checkpoint/tokenizer.js";
import { type Confined, confine, type Limits } from "../engine/confined.js";
import { WeightDiffError } from "../errors.js";
import { readBytes, sizeOf } from "../files/small-files.js";
import { isObject } from "../formats/json.js";
import { type AddedToken, MAKE_JSON, type SlowSettings } from "./tokenizer/from-sentencepiece.js";
import type { TokenizerRequest, TokenizerSource } from "./tokenizer/thread.js";

export interface TextTokenizer {
  /** The file that was found: "DIR/tokenizer.json". */
  readonly path: string;
  /** The highest id plus one. */
  readonly tokens: number;
  /** Adds what the files put before and after every text. @throws {WeightDiffError} as openTokenizer. */
  encode(text: string): Promise<readonly number[]>;
  /**
   * The text that the ids from `at` on add to that of the ids before, without special tokens. Decoded alone, they would lose their first
   * space.
   */
  rest(ids: readonly number[], at: number): Promise<string>;
  /** The text of each id alone. */
  names(ids: readonly number[]): Promise<readonly string[]>;
  close(): Promise<void>;
}

const THREAD = new URL("./tokenizer/thread.js", import.meta.url);
/** Reading a vocabulary of 256,000 takes some 3 s and 400 MB. */
const LIMITS = {
  heapBytes: 1 << 30,
  answerMs: 60_000,
  hint: "is this the tokenizer that was published with the model?",
};
/** Lines of a tiktoken file: a token in base64, a space, its rank. */
const TIKTOKEN = /^[A-Za-z0-9+/=]+ \d+\r?\n/;
const HEAD = 200;

export interface TokenizerOptions {
  /** Rows of the embedding. */
  readonly rows: number;
  readonly signal?: AbortSignal | undefined;
  /** For tests: a shorter time limit, or less memory. */
  readonly limits?: Partial<Pick<Limits, "heapBytes" | "answerMs">>;
}

/**
 * Null if the folder has none.
 * @throws {WeightDiffError} FORMAT_UNSUPPORTED for a kind that is not supported; FORMAT_INVALID; MISMATCH if it has more ids than the
 * embedding has rows; LIMIT, IO.
 */
export async function openTokenizer(
  folder: string,
  { rows, signal, limits = {} }: TokenizerOptions,
): Promise<TextTokenizer | null> {
  const file = await fileOf(folder, rows);
  if (file === null) {
    return null;
  }
  const thread = confine(THREAD, file, { ...LIMITS, ...limits, file: file.path });
  try {
    const tokens = (await thread.ask({ type: "open" } satisfies TokenizerRequest, signal)) as number;
    return tokenizerOf(file.path, tokens, thread, signal);
  } catch (error) {
    await thread.close();
    throw error;
  }
}

function tokenizerOf(path: string, tokens: number, thread: Confined, signal: AbortSignal | undefined): TextTokenizer {
  const ask = async <T>(request: TokenizerRequest): Promise<T> => (await thread.ask(request, signal)) as T;
  return {
    path,
    tokens,
    encode: (text) => ask({ type: "encode", text }),
    async rest(ids, at) {
      const [before, all] = await ask<readonly [string, string]>({ type: "decode", ids, at });
      let same = 0;
      while (same < before.length && before[same] === all[same]) {
        same++;
      }
      return all.slice(same);
    },
    names: (ids) => ask({ type: "tokens", ids }),
    close: () => thread.close(),
  };
}

async function fileOf(folder: string, rows: number): Promise<TokenizerSource | null> {
  const fast = join(folder, "tokenizer.json");
  if ((await sizeOf(fast)) !== null) {
    return { path: fast, bytes: await readBytes(fast, MAX_TOKENIZER_BYTES), slow: null, rows };
  }
  const slow = join(folder, "tokenizer.model");
  if ((await sizeOf(slow)) !== null) {
    const bytes = await readBytes(slow, MAX_TOKENIZER_BYTES);
    if (TIKTOKEN.test(Buffer.from(bytes.subarray(0, HEAD)).toString("latin1"))) {
      throw unsupported(slow, "it is tiktoken's, which does not say how text is split");
    }
    return { path: slow, bytes, slow: await slowSettings(folder), rows };
  }
  const vocabulary = join(folder, "vocab.json");
  if ((await sizeOf(vocabulary)) !== null) {
    throw unsupported(vocabulary, "neither it nor any file beside it says how text is split");
  }
  return null;
}

function unsupported(path: string, fact: string): WeightDiffError {
  return new WeightDiffError("FORMAT_UNSUPPORTED", fact, MAKE_JSON, { at: { file: path } });
}

const SPECIAL = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

async function slowSettings(folder: string): Promise<SlowSettings> {
  const settings = await readSettings(folder, "tokenizer_config.json");
  const map = await readSettings(folder, "special_tokens_map.json");
  const special = new Set(
    [settings, map].flatMap((each) => [
      ...SPECIAL.map((key) => contentOf(each[key])),
      ...(Array.isArray(each.additional_special_tokens) ? each.additional_special_tokens.map(contentOf) : []),
    ]),
  );
  const added = new Map<string, AddedToken>();
  const decoder = settings.added_tokens_decoder;
  for (const [id, token] of Object.entries(isObject(decoder) ? decoder : {})) {
    const content = contentOf(token);
    if (content !== null && /^\d{1,9}$/.test(id)) {
      added.set(content, { id: Number(id), content, special: isObject(token) && token.special === true });
    }
  }
  for (const [content, id] of Object.entries(await addedTokenIds(folder))) {
    added.set(content, { id, content, special: special.has(content) });
  }
  return {
    addBos: settings.add_bos_token !== false,
    bosToken: contentOf(settings.bos_token) ?? contentOf(map.bos_token),
    added: [...added.values()],
  };
}

/** The text of a token, given as a string or as an object with properties; null if there is none, or a blank one. */
function contentOf(value: unknown): string | null {
  const text = isObject(value) ? value.content : value;
  return typeof text === "string" && text !== "" ? text : null;
}
