/**
 * The highest token id of a tokenizer, from its files alone, without running it: an embedding needs a row for every id. tokenizer.json is
 * Hugging Face's (tokenizers, "model.vocab" and "added_tokens"). tokenizer.model is sentencepiece's protobuf (sentencepiece_model.proto:
 * field 1, one message per piece). added_tokens.json maps tokens to ids.
 */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { WeightDiffError } from "../errors.js";
import { readBytes } from "../files/small-files.js";
import { isObject, parseJson } from "../formats/json.js";
import { JsonScanner } from "../formats/json-scanner.js";
import { quote } from "../formats/quote.js";
import { eachPiece } from "../formats/sentencepiece.js";

export interface TokenizerFile {
  readonly file: string;
  /** The highest id of a token; -1 if there are no tokens. */
  readonly highestId: number;
}

export interface Tokenizer {
  readonly files: readonly TokenizerFile[];
  /** Files whose content is not what their name promises. */
  readonly broken: readonly { readonly file: string; readonly message: string }[];
}

/** The largest real one, the tokenizer.json of a vocabulary of 256,000, has some 35 MB. */
export const MAX_TOKENIZER_BYTES = 100_000_000;

/** Hundreds of added tokens take a few kilobytes. */
const MAX_ADDED_BYTES = 1_000_000;
const addedSchema = z.record(z.string(), z.number().int().nonnegative());

const READERS: readonly (readonly [file: string, highestId: (bytes: Uint8Array, path: string) => number])[] = [
  ["tokenizer.model", (bytes) => countPieces(bytes) - 1],
  ["tokenizer.json", (bytes, path) => whole(new JsonScanner(bytes, path, "python"), highestOfFast)],
  ["added_tokens.json", (bytes, path) => whole(new JsonScanner(bytes, path, "python"), highestOfMap)],
];

/** The tokens in added_tokens.json; none if it is missing or broken. */
export async function addedTokens(directory: string | null): Promise<readonly string[]> {
  return directory === null ? [] : Object.keys(await addedTokenIds(directory));
}

/** The ids in added_tokens.json by token; none if it is missing or broken. */
export async function addedTokenIds(directory: string): Promise<Readonly<Record<string, number>>> {
  return addedSchema.safeParse(await readSettings(directory, "added_tokens.json", MAX_ADDED_BYTES)).data ?? {};
}

/** The settings of a tokenizer take a few kilobytes; with thousands of added tokens, a megabyte. */
const MAX_SETTINGS_BYTES = 10_000_000;

/** A JSON object beside the vocabulary. Empty if the file is missing or broken, since an odd setting need not stop anything. */
export async function readSettings(
  directory: string,
  file: string,
  most = MAX_SETTINGS_BYTES,
): Promise<Readonly<Record<string, unknown>>> {
  const path = join(directory, file);
  const info = await stat(path).catch(() => null);
  if (info === null || !info.isFile() || info.size > most) {
    return {};
  }
  try {
    const value = parseJson(await readBytes(path, most), path, "python");
    return isObject(value) ? value : {};
  } catch {
    return {};
  }
}

/** Reads the tokenizer files of a directory, as far as they exist. @throws {WeightDiffError} IO. */
export async function readTokenizer(directory: string): Promise<Tokenizer> {
  const files: TokenizerFile[] = [];
  const broken: { file: string; message: string }[] = [];
  for (const [file, highestId] of READERS) {
    const path = join(directory, file);
    const info = await stat(path).catch(() => null);
    if (info === null || !info.isFile()) {
      continue;
    }
    if (info.size > MAX_TOKENIZER_BYTES) {
      broken.push({ file, message: `${info.size} bytes, at most ${MAX_TOKENIZER_BYTES} are read` });
      continue;
    }
    const bytes = await readBytes(path, MAX_TOKENIZER_BYTES);
    try {
      files.push({ file, highestId: highestId(bytes, path) });
    } catch (error) {
      if (!(error instanceof WeightDiffError)) {
        throw error;
      }
      broken.push({ file, message: error.fact });
    }
  }
  return { files, broken };
}

/** Reads one value to the end of the text. Scans token by token, since a parsed vocabulary takes thirty times its text in memory. */
function whole(scanner: JsonScanner, read: (scanner: JsonScanner) => number): number {
  const value = read(scanner);
  scanner.end();
  return value;
}

/** tokenizer.json: {"model": {"vocab": …}, "added_tokens": [{"id": …}]}. */
function highestOfFast(scanner: JsonScanner): number {
  let own: number | null = null;
  let added = -1;
  scanner.object((key) => {
    if (key === "model") {
      own = highestOfModel(scanner);
    } else if (key === "added_tokens") {
      scanner.array(() => {
        added = Math.max(added, idOfToken(scanner));
      });
    } else {
      scanner.skip();
    }
  });
  if (own === null) {
    throw invalid("has no model");
  }
  return Math.max(own, added);
}

/** Unigram models list their tokens, others map each token to its id. A model without a vocabulary has none. */
function highestOfModel(scanner: JsonScanner): number {
  let highest = -1;
  scanner.object((key) => {
    if (key !== "vocab") {
      scanner.skip();
    } else if (scanner.peek() === "[") {
      scanner.array((index) => {
        scanner.skip();
        highest = index;
      });
    } else {
      highest = highestOfMap(scanner);
    }
  });
  return highest;
}

/** {token: id}. */
function highestOfMap(scanner: JsonScanner): number {
  let highest = -1;
  scanner.object((token) => {
    highest = Math.max(highest, idOf(scanner, token));
  });
  return highest;
}

function idOfToken(scanner: JsonScanner): number {
  let id = -1;
  scanner.object((key) => {
    if (key === "id") {
      id = idOf(scanner, "an added token");
    } else {
      scanner.skip();
    }
  });
  return id < 0 ? scanner.fail("an added token has no id") : id;
}

function idOf(scanner: JsonScanner, token: string): number {
  const id = scanner.atNumber() ? scanner.number() : Number.NaN;
  return Number.isSafeInteger(id) && id >= 0 ? id : scanner.fail(`the id of ${quote(token)} is no whole number from 0`);
}

function countPieces(bytes: Uint8Array): number {
  let pieces = 0;
  eachPiece(bytes, () => {
    pieces++;
  });
  return pieces;
}

function invalid(message: string): WeightDiffError {
  return new WeightDiffError("FORMAT_INVALID", message);
}
