/**
 * gzip as a stream, at the pace of its reader or writer: inflates a file member after member, as Python's gzip does, and deflates bytes
 * as they come.
 */
import { createGunzip, createGzip } from "node:zlib";
import { WeightDiffError } from "../../errors.js";
import { runError } from "../../files/errno.js";
import { gzipError } from "../../formats/gzip-error.js";
import { type DiskFile, readFully } from "./disk.js";

/** The content of an inflated file, in order. */
interface Inflater {
  /** Fills `target`; less comes only at the end. Reads that overlap take turns. @throws {WeightDiffError} FORMAT_INVALID, TRUNCATED, MISMATCH above `most` bytes, IO. */
  read(target: Uint8Array): Promise<number>;
  close(): Promise<void>;
}

/** What is deflated, in order. */
interface Deflater {
  /** The bytes may be used again once this is done. */
  write(bytes: Uint8Array): Promise<void>;
  /** Waits until everything is handed on. */
  end(): Promise<void>;
  /** After a failure. */
  abandon(): Promise<void>;
}

interface InflateOptions {
  /** Bytes of the file. */
  readonly size: number;
  /** Most bytes that may come of it. */
  readonly most: number;
  readonly windowBytes: number;
  /** Told of bytes of the file. */
  readonly onRead: (count: number) => void;
}

/** Inflates a file. */
export function openInflater(file: DiskFile, options: InflateOptions): Inflater {
  const { most, windowBytes } = options;
  const stream = createGunzip({ chunkSize: Math.min(1 << 20, Math.max(64, windowBytes)) });
  const feeding = feed(file, options, stream);
  stream.on("error", () => {}); // the next read throws it
  feeding.catch((error: unknown) => stream.destroy(error instanceof Error ? error : new Error(String(error))));
  const pieces = stream[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
  let rest: Uint8Array = new Uint8Array();
  let total = 0;
  let turn: Promise<unknown> = Promise.resolve();
  const fill = async (target: Uint8Array): Promise<number> => {
    let filled = 0;
    while (filled < target.length) {
      if (rest.length === 0) {
        const { value, done } = await pieces.next().catch((error: unknown) => {
          throw gzipError(file.path, error) ?? runError(file.path, "read", error);
        });
        if (done === true) {
          break;
        }
        rest = value;
      }
      const count = Math.min(rest.length, target.length - filled);
      target.set(rest.subarray(0, count), filled);
      rest = rest.subarray(count);
      filled += count;
      total += count;
      if (total > most) {
        throw new WeightDiffError(
          "MISMATCH",
          `inflates to more than ${most} bytes, far more than its base file has`,
          "this is not a payload for this base: fetch it again",
          { at: { file: file.path } },
        );
      }
    }
    return filled;
  };
  return {
    read(target) {
      const filling = turn.then(() => fill(target));
      turn = filling.catch(() => {});
      return filling;
    },
    async close() {
      stream.destroy();
      await Promise.allSettled([feeding]);
    },
  };
}

/** Deflates what is written, and hands it on. */
export function openDeflater(put: (bytes: Uint8Array) => Promise<void>): Deflater {
  const stream = createGzip();
  const draining = (async () => {
    for await (const piece of stream) {
      await put(piece as Uint8Array);
    }
  })();
  draining.catch(() => {}); // the next write throws it
  return {
    async write(bytes) {
      // zlib reads the window later than this call returns, and the window is used again.
      if (!stream.write(bytes.slice())) {
        await Promise.race([drained(stream), draining]);
      }
    },
    async end() {
      stream.end();
      await draining;
    },
    async abandon() {
      stream.destroy();
      await draining.catch(() => {});
    },
  };
}

/** Writes the file's bytes into the stream, at the stream's pace. */
async function feed(
  file: DiskFile,
  { size, windowBytes, onRead }: InflateOptions,
  stream: NodeJS.WritableStream & { readonly destroyed: boolean },
): Promise<void> {
  for (let at = 0; at < size && !stream.destroyed; ) {
    const piece = new Uint8Array(Math.min(windowBytes, size - at));
    await readFully(file, piece, at);
    onRead(piece.length);
    at += piece.length;
    if (!stream.write(piece)) {
      await drained(stream);
    }
  }
  stream.end();
}

function drained(stream: NodeJS.WritableStream): Promise<void> {
  return new Promise((resolve) => {
    const go = (): void => {
      stream.off("drain", go);
      stream.off("close", go);
      resolve();
    };
    stream.on("drain", go);
    stream.on("close", go);
  });
}
