/**
 * A file as it would be after XORing a payload with its key: random access to the result without writing it. So the header, which lies at
 * the end of a .bin file, can be read before the run. For compressed payloads, only the beginning is available.
 */
import { Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { fileError } from "../../files/errno.js";
import type { FileSource } from "../../files/file-source.js";
import { gzipError } from "../../formats/gzip-error.js";
import type { ByteSource } from "../../formats/tensor-info.js";
import { fillKey, type KeyRule } from "../../formats/xor-key.js";
import type { HubFile } from "../../hub/place.js";
import { openShardSource } from "../../hub/source.js";
import { xorInto } from "../../kernel/xor.js";

interface XorSource extends ByteSource {
  close(): Promise<void>;
}

/** A file on this disk or on the Hub. */
interface FilePlace {
  readonly path: string;
  /** Its name in messages. */
  readonly name: string;
  readonly hub?: HubFile;
}

/** A payload file: XORed content from byte `skip` on. */
export interface PayloadFile extends FilePlace {
  readonly skip: number;
}

export interface KeyFile extends FilePlace {
  readonly rule: KeyRule;
}

/** Bytes of a gzip file to read at once. */
const PIECE = 1 << 16;

/** Opens payload and key. Without a key, the payload is read unchanged. @throws {WeightDiffError} NOT_FOUND, IO, NETWORK, HUB_…. */
export async function openXorSource(payload: PayloadFile, key: KeyFile | null): Promise<XorSource> {
  const source = await openShardSource(payload);
  let keySource: FileSource | null = null;
  try {
    keySource = key === null ? null : await openShardSource(key);
  } catch (error) {
    await source.close();
    throw error;
  }
  return {
    name: payload.name,
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

/**
 * The first `most` bytes of a gzip file's content, XORed with the key if there is one.
 * @throws {WeightDiffError} FORMAT_INVALID, TRUNCATED; as openXorSource.
 */
export async function gzipHead(payload: FilePlace, key: KeyFile | null, most: number): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  const packed = await openShardSource(payload);
  const file = Readable.from(piecesOf(packed), { highWaterMark: 1 });
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
    throw gzipError(payload.name, error) ?? fileError(payload.name, "read", error);
  } finally {
    file.destroy();
    stream.destroy();
    await packed.close();
  }
  const head = new Uint8Array(Buffer.concat(pieces).subarray(0, most));
  if (key !== null) {
    const source = await openShardSource(key);
    try {
      await applyKey(head, 0, source, key.rule);
    } finally {
      await source.close();
    }
  }
  return head;
}

async function* piecesOf(source: FileSource): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < source.size; at += PIECE) {
    yield await source.readAt(at, Math.min(PIECE, source.size - at));
  }
}

async function applyKey(bytes: Uint8Array, position: number, source: FileSource, rule: KeyRule): Promise<void> {
  const key = new Uint8Array(bytes.length);
  await fillKey(rule, source.size, position, key, async (target, at) =>
    target.set(await source.readAt(at, target.length)),
  );
  xorInto(bytes, key);
}
