/** XOR payloads for tests: tiny models as files, what the codecs make of them, and one call that decodes. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { xorFiles } from "../../src/commands/xor/files.js";
import type { XorOptions } from "../../src/commands/xor/options.js";
import { findXorPayload } from "../../src/commands/xor/payload.js";
import type { XorReport } from "../../src/commands/xor/recipe.js";
import { KEY_CHUNK } from "../../src/formats/xor-key.js";
import { safetensors, writeFiles } from "./checkpoints.js";

export type Files = Readonly<Record<string, Uint8Array>>;

const text = (value: unknown): Uint8Array => Buffer.from(`${JSON.stringify(value, null, 2)}\n`);

/** Bytes without a pattern, different for every seed. */
export function noise(seed: string, length: number): Uint8Array {
  const blocks = Array.from({ length: Math.ceil(length / 32) }, (_, i) =>
    createHash("sha256").update(`${seed} ${i}`).digest(),
  );
  return new Uint8Array(Buffer.concat(blocks).subarray(0, length));
}

/** A model in safetensors; `rows` makes the tuned one longer than its base. */
export function modelFiles(seed: string, rows: number): Files {
  return {
    "model.safetensors": safetensors(
      ["model.embed_tokens.weight", "F16", [rows, 64], noise(`${seed} embed`, rows * 128)],
      ["model.norm.weight", "F16", [64], noise(`${seed} norm`, 128)],
    ),
    "config.json": text({ model_type: "llama", _name_or_path: seed, vocab_size: rows }),
    "tokenizer.model": Buffer.from(`\x0a\x07\x0a\x05<unk>\x0a\x03\x0a\x01${seed.slice(0, 1)}`, "latin1"),
  };
}

export const BASE = modelFiles("base", 16);
export const TUNED: Files = { ...modelFiles("tuned", 40), "added_tokens.json": text({ "<pad>": 39 }) };

/** OpenAssistant's rule, byte by byte. */
export function xored(content: Uint8Array, key: Uint8Array): Uint8Array {
  return content.map((byte, at) => byte ^ (key[at] ?? 0));
}

/** point-alpaca's rule, byte by byte. */
export function xoredByChunks(content: Uint8Array, key: Uint8Array): Uint8Array {
  const chunks = Math.ceil(key.length / KEY_CHUNK);
  return content.map((byte, at) => {
    const begin = (Math.floor(at / KEY_CHUNK) % chunks) * KEY_CHUNK;
    const length = Math.min(KEY_CHUNK, key.length - begin);
    return byte ^ (key[begin + ((at % KEY_CHUNK) % length)] ?? 0);
  });
}

/** What OpenAssistant's script makes of `tuned`. */
export function payloadOf(tuned: Files, base: Files): Files {
  return Object.fromEntries(
    Object.entries(tuned).map(([file, bytes]) => [file, base[file] === undefined ? bytes : xored(bytes, base[file])]),
  );
}

/** What point-alpaca's script makes of a file: its name, its content. */
export function encryptedFile(file: string, content: Uint8Array, key: Uint8Array): readonly [string, Uint8Array] {
  const digest = createHash("sha256").update(content).digest();
  return [`${file}.${digest.toString("hex")}.enc`, Buffer.concat([digest, xoredByChunks(content, key)])];
}

export function encryptedFiles(tuned: Files, key: Uint8Array): Files {
  return Object.fromEntries(Object.entries(tuned).map(([file, bytes]) => encryptedFile(file, bytes, key)));
}

export interface Places {
  readonly base: string;
  readonly payload: string;
  readonly out: string;
}

/** Lays base and payload into `folder`. */
export async function lay(folder: string, base: Files, payload: Files): Promise<Places> {
  return {
    base: await writeFiles(join(folder, "base"), base),
    payload: await writeFiles(join(folder, "payload"), payload),
    out: join(folder, "out"),
  };
}

/** As the command xor does it. */
export async function decode(
  { base, payload, out }: Places,
  options: Partial<XorOptions> & { readonly scheme?: string } = {},
): Promise<XorReport> {
  const { scheme = "auto", ignore } = options;
  const found = await findXorPayload({ diff: payload, raw: base, scheme, ...(ignore === undefined ? {} : { ignore }) });
  if (found === null) {
    throw new Error("not recognised");
  }
  return xorFiles(found, { raw: base, output: out, ...options });
}

export function gunzipped(bytes: Uint8Array): Uint8Array {
  return gunzipSync(bytes);
}
