/**
 * How many tokens a tokenizer knows, from its files alone, without running it: the rows of an embedding must hold every id.
 * tokenizer.json is Hugging Face's (tokenizers, "model.vocab" and "added_tokens"), tokenizer.model sentencepiece's protobuf
 * (sentencepiece_model.proto: field 1, one message per piece), added_tokens.json token -> id.
 */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { WeightDiffError } from "../errors.js";
import { decodeText } from "../files/file-source.js";
import { readBytes } from "../files/small-files.js";
import { parseJson } from "../formats/json.js";

export interface TokenizerFile {
  readonly file: string;
  /** The highest id it gives to a token; -1 if it has none. */
  readonly highestId: number;
}

export interface Tokenizer {
  readonly files: readonly TokenizerFile[];
  /** Files that are not what their names say. */
  readonly broken: readonly { readonly file: string; readonly message: string }[];
}

/** The largest real one, tokenizer.json of a vocabulary of 256,000, has some 35 MB. */
const MAX_BYTES = 100_000_000;

const id = z.number().int().nonnegative();
const fastSchema = z.object({
  model: z.object({ vocab: z.union([z.record(z.string(), id), z.array(z.unknown())]).optional() }),
  added_tokens: z.array(z.object({ id })).optional(),
});
const addedSchema = z.record(z.string(), id);

const READERS: readonly (readonly [file: string, highestId: (bytes: Uint8Array, path: string) => number])[] = [
  ["tokenizer.model", (bytes) => countPieces(bytes) - 1],
  ["tokenizer.json", (bytes, path) => highestOfFast(parse(fastSchema, bytes, path))],
  ["added_tokens.json", (bytes, path) => largest(Object.values(parse(addedSchema, bytes, path)))],
];

/** What added_tokens.json adds; nothing where it is missing or broken. */
export async function addedTokens(directory: string | null): Promise<readonly string[]> {
  if (directory === null) {
    return [];
  }
  const path = join(directory, "added_tokens.json");
  const info = await stat(path).catch(() => null);
  if (info === null || !info.isFile() || info.size > MAX_BYTES) {
    return [];
  }
  try {
    return Object.keys(parse(addedSchema, await readBytes(path, MAX_BYTES), path));
  } catch {
    return [];
  }
}

/** Reads the tokenizer files of a directory; those that are not there are left out. @throws {WeightDiffError} IO. */
export async function readTokenizer(directory: string): Promise<Tokenizer> {
  const files: TokenizerFile[] = [];
  const broken: { file: string; message: string }[] = [];
  for (const [file, highestId] of READERS) {
    const path = join(directory, file);
    const info = await stat(path).catch(() => null);
    if (info === null || !info.isFile()) {
      continue;
    }
    if (info.size > MAX_BYTES) {
      broken.push({ file, message: `${info.size} bytes, at most ${MAX_BYTES} are read` });
      continue;
    }
    const bytes = await readBytes(path, MAX_BYTES);
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

function parse<T extends z.ZodType>(schema: T, bytes: Uint8Array, path: string): z.infer<T> {
  const parsed = schema.safeParse(parseJson(decodeText(bytes, path), path, "python"));
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw invalid(`${issue?.path.join(".") ?? ""}: ${issue?.message ?? ""}`);
  }
  return parsed.data;
}

function highestOfFast({ model, added_tokens }: z.infer<typeof fastSchema>): number {
  const { vocab } = model;
  // Unigram models list their tokens, the others map each to its id.
  const own = vocab === undefined ? -1 : Array.isArray(vocab) ? vocab.length - 1 : largest(Object.values(vocab));
  return Math.max(own, largest((added_tokens ?? []).map((token) => token.id)));
}

function largest(ids: readonly number[]): number {
  return ids.reduce((most, value) => Math.max(most, value), -1);
}

/** Messages of field 1 at the top level. @throws {WeightDiffError} FORMAT_INVALID. */
function countPieces(bytes: Uint8Array): number {
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let shift = 0; shift < 50; shift += 7) {
      const byte = bytes[at++];
      if (byte === undefined) {
        break;
      }
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) {
        return value;
      }
    }
    throw invalid("is no sentencepiece model: a number in it does not end");
  };
  let pieces = 0;
  while (at < bytes.length) {
    const tag = varint();
    // Both fields of a model file are messages, tag 10 a piece, and so is every extension.
    if (tag % 8 !== 2) {
      throw invalid("is no sentencepiece model");
    }
    const length = varint();
    if (at + length > bytes.length) {
      throw invalid("ends before its last piece does");
    }
    at += length;
    pieces += tag === 10 ? 1 : 0;
  }
  return pieces;
}

function invalid(message: string): WeightDiffError {
  return new WeightDiffError("FORMAT_INVALID", message);
}
