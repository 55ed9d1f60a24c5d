/** Writes one zstd frame piece by piece, and decodes it again at once. A frame that does not decode to the same bytes is never passed on. */
import { createHash } from "node:crypto";
import { loadChecksums } from "../../formats/checksum.js";
import { loadDecoder } from "../../formats/zstd/decoder.js";
import { startEncoder } from "../../formats/zstd/encoder.js";
import { startFrame } from "../../formats/zstd/frame.js";

export interface FrameWriter {
  /** The bytes may be overwritten once this is done. */
  push(bytes: Uint8Array): Promise<void>;
  /** Call it after the last bytes. @throws {Error} if the frame does not decode to the same bytes. That is a bug, and no such payload is written. */
  end(): Promise<{ readonly size: number; readonly sha256: string }>;
  close(): void;
}

/** @param length how many bytes will come. @param put takes the frame's bytes from `position` on. */
export async function openFrameWriter(
  length: number,
  tensor: string,
  put: (bytes: Uint8Array, position: number) => Promise<void>,
): Promise<FrameWriter> {
  const create = await loadChecksums(["xxh3-128"]);
  const [given, found] = [create("xxh3-128"), create("xxh3-128")];
  const proof = startFrame(await loadDecoder(), { least: length, most: length }, { tensor });
  const encoder = startEncoder(length);
  const hash = createHash("sha256");
  const target = new Uint8Array(1 << 18);
  let size = 0;
  let pending: Buffer[] = [];
  const collect = (bytes: Uint8Array): void => {
    if (bytes.length > 0) {
      pending.push(Buffer.from(bytes));
    }
  };
  const drain = (): void => {
    for (let count = target.length; count === target.length; ) {
      count = proof.read(target);
      found.update(target.subarray(0, count));
    }
  };
  const handOn = async (): Promise<void> => {
    const pieces = pending;
    pending = [];
    for (const piece of pieces) {
      proof.push(piece);
      drain();
      hash.update(piece);
      await put(piece, size);
      size += piece.length;
    }
  };
  return {
    async push(bytes) {
      given.update(bytes);
      encoder.push(bytes, collect);
      await handOn();
    },
    async end() {
      encoder.end(collect);
      await handOn();
      proof.end();
      drain();
      if (given.digest() !== found.digest()) {
        throw new Error(`${tensor}: a frame does not give back what was put in`);
      }
      return { size, sha256: hash.digest("hex") };
    },
    close() {
      encoder.close();
      proof.close();
    },
  };
}
