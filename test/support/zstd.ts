/** Zstd frames as Python's zstandard writes them (fixtures/zstd), and a frame decoded in pieces of any size. */
import { readFileSync } from "node:fs";
import { WeightDiffError } from "../../src/errors.js";
import { type DecoderKind, loadDecoder, type OpenDecoder } from "../../src/formats/zstd/decoder.js";
import { startFrame } from "../../src/formats/zstd/frame.js";
import { nodeDecompress } from "../../src/formats/zstd/handle.js";
import type { FrameLength } from "../../src/formats/zstd/walk.js";
import { FIXTURES } from "./fixtures.js";

export interface ExpectedFrame {
  readonly bytes: number;
  readonly sha256: string;
  readonly stated: number | null;
}

export const FRAMES = (
  JSON.parse(readFileSync(`${FIXTURES}zstd/expect.json`, "utf8")) as {
    readonly frames: Readonly<Record<string, ExpectedFrame>>;
  }
).frames;

export function frameNamed(name: string): Uint8Array {
  return new Uint8Array(readFileSync(`${FIXTURES}zstd/${name}.zst`));
}

const KINDS: readonly DecoderKind[] = nodeDecompress() === null ? ["wasm"] : ["fastest", "wasm"];
/** What this Node decodes fastest with, and the decoder that all have. */
export const DECODERS = new Map<DecoderKind, OpenDecoder>(
  await Promise.all(KINDS.map(async (kind) => [kind, await loadDecoder(kind)] as const)),
);

export interface Cuts {
  /** Compressed bytes that are pushed at a time, and decoded bytes that are asked for. */
  readonly piece?: number;
  readonly window?: number;
  readonly kind?: DecoderKind;
}

/** Decodes a frame. @throws {WeightDiffError} as it is refused. */
export function decodeFrame(bytes: Uint8Array, length: FrameLength, cuts: Cuts = {}): Buffer {
  const { piece = 1 << 16, window = 1 << 17, kind = "wasm" } = cuts;
  const open = DECODERS.get(kind);
  if (open === undefined) {
    throw new TypeError(`no decoder ${kind}`);
  }
  const frame = startFrame(open, length, { file: "frame", tensor: "t" });
  const out: Buffer[] = [];
  const drain = (): void => {
    for (let count = window; count === window; ) {
      const target = new Uint8Array(window);
      count = frame.read(target);
      out.push(Buffer.from(target.subarray(0, count)));
    }
  };
  try {
    for (let at = 0; at < bytes.length; at += piece) {
      frame.push(bytes.subarray(at, at + piece));
      drain();
    }
    frame.end();
    drain();
    return Buffer.concat(out);
  } finally {
    frame.close();
  }
}

/** "ok" and the sha256, or code and `why` of the refusal. */
export function outcomeOf(decode: () => Uint8Array): string {
  try {
    return `ok ${Buffer.from(decode()).toString("base64")}`;
  } catch (error) {
    if (error instanceof WeightDiffError) {
      return `${error.code} ${error.why}`;
    }
    throw error;
  }
}
