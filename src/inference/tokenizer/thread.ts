/**
 * The thread that reads and uses a tokenizer. @huggingface/tokenizers runs what the file says, patterns included, so nothing from it is
 * trusted here except the ids.
 */
import { Tokenizer } from "@huggingface/tokenizers";
import { serve } from "../../engine/confined.js";
import { WeightDiffError } from "../../errors.js";
import { readValue } from "../../formats/json.js";
import { JsonScanner } from "../../formats/json-scanner.js";
import { quote } from "../../formats/quote.js";
import { fromSentencePiece, MAKE_JSON, type SlowSettings } from "./from-sentencepiece.js";

/** What the thread starts with. */
export interface TokenizerSource {
  readonly path: string;
  readonly bytes: Uint8Array;
  /** For a tokenizer.model: the settings beside it. Null for a tokenizer.json. */
  readonly slow: SlowSettings | null;
  /** Rows of the embedding. No id may be past the last one. */
  readonly rows: number;
}

export type TokenizerRequest =
  | { readonly type: "open" }
  | { readonly type: "encode"; readonly text: string }
  /** The text of the first `at` ids, and of all. */
  | { readonly type: "decode"; readonly ids: readonly number[]; readonly at: number }
  | { readonly type: "tokens"; readonly ids: readonly number[] };

/** The most values in a tokenizer.json. That of a vocabulary of 256,000 has a million, merges included. */
const MAX_VALUES = 4_000_000;

type Json = Readonly<Record<string, unknown>>;

serve((data) => {
  const file = data as TokenizerSource;
  const at = { file: file.path };
  const source = guarded(at, () =>
    file.slow === null ? parsed(file) : (fromSentencePiece(file.bytes, file.slow) as Json),
  );
  const tokens = guarded(at, () => tokensOf(source, file));
  guarded(at, () => refuseGrowth(source));
  const tokenizer = guarded(at, () => new Tokenizer(source, { clean_up_tokenization_spaces: false }));
  // A row without a token is shown by its number. In the byte-level alphabet, a space is one of the letters.
  const space = JSON.stringify(source.decoder ?? null).includes('"ByteLevel"') ? "\u0120" : " ";
  const vocabulary = tokenizer.model?.vocab ?? [];
  const named = (ids: readonly number[]): number[] => {
    for (const id of ids) {
      vocabulary[id] ??= `[id${space}${id}]`;
    }
    return [...ids];
  };
  const decode = (ids: readonly number[]): string =>
    ids.length === 0 ? "" : tokenizer.decode(named(ids), { skip_special_tokens: true });
  return (request) =>
    guarded(at, () => {
      const asked = request as TokenizerRequest;
      switch (asked.type) {
        case "open":
          return tokens;
        case "encode":
          return checkedIds(tokenizer.encode(asked.text).ids, file);
        case "decode":
          return [decode(asked.ids.slice(0, asked.at)), decode(asked.ids)];
        case "tokens":
          return asked.ids.map((id) => tokenizer.decode(named([id]), { skip_special_tokens: false }));
      }
    });
});

/** Whatever the package throws about such a file is the file's fault. */
function guarded<T>(at: { readonly file: string }, run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (error instanceof WeightDiffError) {
      throw new WeightDiffError(error.code, error.fact, error.hint, { at, advice: error.advice });
    }
    const message = error instanceof Error ? error.message : String(error);
    throw new WeightDiffError("FORMAT_UNSUPPORTED", `this tokenizer cannot be run: ${message}`, MAKE_JSON, { at });
  }
}

function parsed({ bytes }: TokenizerSource): Json {
  const scanner = new JsonScanner(bytes, "tokenizer.json", "python");
  const value = readValue(scanner, "tokenizer.json", MAX_VALUES);
  scanner.end();
  const tokenizer = objectOf(value, "tokenizer.json");
  // Early files leave out empty fields.
  return {
    normalizer: null,
    pre_tokenizer: null,
    post_processor: null,
    decoder: null,
    ...tokenizer,
    added_tokens: tokenizer.added_tokens ?? [],
  };
}

/** The highest id plus one. @throws {WeightDiffError} FORMAT_INVALID for an id that is not a number; MISMATCH past the rows. */
function tokensOf(source: Json, { path, rows }: TokenizerSource): number {
  const at = { file: path };
  const invalid = (fact: string): WeightDiffError =>
    new WeightDiffError("FORMAT_INVALID", fact, "get the file again", { at });
  const { vocab, type = "BPE" } = objectOf(source.model, "its model");
  if (type !== "BPE") {
    throw new WeightDiffError(
      "FORMAT_UNSUPPORTED",
      `its model is ${quote(String(type))}; only BPE is supported`,
      undefined,
      {
        advice: [{ to: "send ids, which need no tokenizer", option: "promptIds", value: "1,450" }],
      },
    );
  }
  const added = source.added_tokens;
  if (!Array.isArray(added)) {
    throw invalid("its added_tokens are not a list");
  }
  const tokens = added.map((token: unknown) => objectOf(token, "an added token"));
  if (tokens.some(({ content }) => typeof content !== "string" || content === "")) {
    throw invalid("an added token has no text");
  }
  if (tokens.reduce((sum, { content }) => sum + String(content).length, 0) > MAX_ADDED_TEXT) {
    throw new WeightDiffError("LIMIT", `its added tokens have more than ${MAX_ADDED_TEXT} characters`);
  }
  const own = Object.entries(objectOf(vocab, "its vocabulary"));
  let highest = own.length - 1;
  for (const [token, id] of [...own, ...tokens.map(({ content, id }) => [String(content), id] as const)]) {
    if (typeof id !== "number" || !Number.isSafeInteger(id) || id < 0) {
      throw invalid(`the id of ${quote(token)} is no whole number from 0`);
    }
    highest = Math.max(highest, id);
  }
  if (highest >= rows) {
    throw new WeightDiffError(
      "MISMATCH",
      `it has ${highest + 1} ids, but the model's embedding has ${rows} rows`,
      "it belongs to another model",
      { at, advice: [{ to: "name the folder of the one that belongs to it", option: "tokenizer" }] },
    );
  }
  return highest + 1;
}

/**
 * How much longer one part of the file may make a text. Real ones double or treble it. When memory runs out, V8 ends the whole process and
 * not only the thread, so unlimited growth is refused before it runs.
 */
const MAX_GROWTH = 100_000;
/** Each character of an added token becomes a node of a tree. */
const MAX_ADDED_TEXT = 1_000_000;
const PARTS = ["normalizer", "pre_tokenizer", "post_processor", "decoder"] as const;

function refuseGrowth(source: Json): void {
  for (const part of PARTS) {
    if (!(growthOf(source[part]) <= MAX_GROWTH)) {
      throw new WeightDiffError("LIMIT", `its ${part} could make a text more than ${MAX_GROWTH} times longer`);
    }
  }
}

function growthOf(value: unknown): number {
  if (typeof value !== "object" || value === null) {
    return 1;
  }
  const inner = Object.values(value).reduce((product: number, each) => product * growthOf(each), 1);
  const { type, content, length, single } = value as Json;
  switch (type) {
    case "Replace":
      return inner * (String(content ?? "").length + 1);
    case "ByteLevel":
    case "BPEDecoder":
      return inner * 2;
    case "FixedLength":
      return Number.isSafeInteger(length) && Number(length) > 0 ? inner : Number.POSITIVE_INFINITY;
    case "TemplateProcessing":
      return inner * (Array.isArray(single) ? single.length : 1);
    default:
      return inner;
  }
}

function checkedIds(ids: readonly unknown[], { path }: TokenizerSource): readonly number[] {
  const checked = ids.filter((id): id is number => typeof id === "number" && Number.isSafeInteger(id) && id >= 0);
  if (checked.length !== ids.length) {
    throw new WeightDiffError(
      "FORMAT_INVALID",
      "a part of the text has no token, and there is none for the unknown",
      MAKE_JSON,
      {
        at: { file: path },
      },
    );
  }
  return checked;
}

function objectOf(value: unknown, what: string): Json {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new WeightDiffError("FORMAT_INVALID", `${what} is not a JSON object`, "get the file again");
  }
  return value as Json;
}
