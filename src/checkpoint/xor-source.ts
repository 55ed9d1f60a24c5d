/**
 * What a file would be if a payload were XORed with its key: random access to the result without writing it, so that headers,
 * which lie at the end of a .bin file, are read before the run. Compressed payloads have a beginning only.
 */
import { createReadStream } from "node:fs";
import { createGunzip } from "node:zlib";
import { gzipError } from "../formats/gzip-error.js";
import type { ByteSource } from "../formats/tensor-info.js";
import { fillKey, type KeyRule } from "../formats/xor-key.js";
import { xorInto } from "../kernel/xor.js";
import { type FileSource, fileError, openFileSource } from "./file-source.js";

export interface XorSource extends ByteSource {
  close(): Promise<void>;
}

/** A payload file: XORed content from byte `skip` on. */
export interface PayloadFile {
  readonly path: string;
  readonly skip: number;
}

export interface KeyFile {
  readonly path: string;
  readonly rule: KeyRule;
}

/** Opens payload and key; without a key the payload is read as it is. @throws {WeightDiffError} NOT_FOUND, IO. */
export async function openXorSource(payload: PayloadFile, key: KeyFile | null): Promise<XorSource> {
  const source = await openFileSource(payload.path);
  let keySource: FileSource | null = null;
  try {
    keySource = key === null ? null : await openFileSource(key.path);
  } catch (error) {
    await source.close();
    throw error;
  }
  return {
    name: payload.path,
    size: Math.max(0, source.size - payload.skip),
    async readAt(offset, length) {
      const bytes = await source.readAt(payload.skip + offset, length);
      if (key !== null && keySource !== null) {
        await applyKey(bytes, offset, keySource, key.rule);
      }
      return bytes;
    },
    async close() {
      await source.close();
      await keySource?.close();
    },
  };
}

/** The first `most` bytes of what a gzip file holds, XORed with the key if there is one. @throws {WeightDiffError} FORMAT_INVALID, IO. */
export async function gzipHead(path: string, key: KeyFile | null, most: number): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  const file = createReadStream(path, { highWaterMark: 1 << 16 });
  const stream = file.pipe(createGunzip({ chunkSize: 1 << 16 }));
  file.on("error", (error) => stream.destroy(error));
  try {
    for await (const piece of stream) {
      pieces.push(piece as Uint8Array);
      length += (piece as Uint8Array).length;
      if (length >= most) {
        break;
      }
    }
  } catch (error) {
    throw gzipError(path, error) ?? fileError(path, "read", error);
  } finally {
    file.destroy();
    stream.destroy();
  }
  const head = new Uint8Array(Buffer.concat(pieces).subarray(0, most));
  if (key !== null) {
    const source = await openFileSource(key.path);
    try {
      await applyKey(head, 0, source, key.rule);
    } finally {
      await source.close();
    }
  }
  return head;
}

async function applyKey(bytes: Uint8Array, position: number, source: FileSource, rule: KeyRule): Promise<void> {
  const key = new Uint8Array(bytes.length);
  await fillKey(rule, source.size, position, key, async (target, at) =>
    target.set(await source.readAt(at, target.length)),
  );
  xorInto(bytes, key);
}
