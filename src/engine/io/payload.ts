/** The payload of one step for one tensor, decoded at the pace of its reader: the memory of one decoder and one piece of the file, whatever its length. */
import { Readable } from "node:stream";
import { createInflate } from "node:zlib";
import { type ErrorPlace, WeightDiffError } from "../../errors.js";
import { DAMAGED } from "../../formats/damage.js";
import { quote } from "../../formats/quote.js";
import type { ByteRange } from "../../formats/tensor-info.js";
import type { StepCompression } from "../../formats/update.js";
import { loadDecoder } from "../../formats/zstd/decoder.js";
import { readFrame, startFrame } from "../../formats/zstd/frame.js";
import { readAtOnce } from "./disk.js";
import type { WorkerFiles } from "./files.js";

export interface PayloadReader {
  /**
   * Fills `target`, at once where nothing more must be read; fewer bytes come only at the end, where the payload is known to be whole.
   * @throws {WeightDiffError} with `why` "frame" or "length".
   */
  read(target: Uint8Array): number | Promise<number>;
  close(): void;
}

interface PayloadPlace {
  /** Index into the plan's inputs. */
  readonly input: number;
  readonly range: ByteRange;
  readonly compression: StepCompression;
  /** Decoded bytes that it may have. */
  readonly length: { readonly least: number; readonly most: number };
  readonly place: ErrorPlace;
}

/** Bytes of the file that are read at once; over the network a piece is a request. */
const PIECE = { here: 1 << 16, remote: 1 << 20 };

/** @param remote is the file read over the network? @throws {WeightDiffError} as `read`; INPUT_CHANGED, IO. */
export async function openPayload(files: WorkerFiles, payload: PayloadPlace, remote: boolean): Promise<PayloadReader> {
  const { compression, length, place } = payload;
  const next = await piecesOf(files, payload, remote ? PIECE.remote : PIECE.here);
  switch (compression) {
    case "zstd":
      return named(readFrame(startFrame(await loadDecoder(), length, place), next), place);
    case "zlib":
      return named(inflated(next, payload), place);
    case "none":
    case "coded":
      return asItIs(next);
  }
}

/** What is wrong with the bytes is said of the tensor that they are for. */
function named(reader: PayloadReader, place: ErrorPlace): PayloadReader {
  const tell = (error: unknown): never => {
    if (error instanceof WeightDiffError && error.why !== null) {
      const { code, fact, hint, at, why } = error;
      throw new WeightDiffError(code, `tensor ${quote(place.tensor ?? "")}: ${fact}`, hint, { at, why, cause: error });
    }
    throw error;
  };
  return {
    close: reader.close,
    read(target) {
      try {
        const count = reader.read(target);
        return typeof count === "number" ? count : count.catch(tell);
      } catch (error) {
        return tell(error);
      }
    },
  };
}

/** The stored bytes, in order, and null after the last. A piece stays as it is until the next one is asked for. */
async function piecesOf(
  files: WorkerFiles,
  { input, range }: PayloadPlace,
  most: number,
): Promise<() => Promise<Uint8Array | null>> {
  const file = await files.input(input);
  const piece = new Uint8Array(Math.min(most, range.end - range.begin));
  let at = range.begin;
  return async () => {
    if (at === range.end) {
      return null;
    }
    const part = piece.subarray(0, Math.min(piece.length, range.end - at));
    const reading = readAtOnce(file, part, at);
    if (reading !== null) {
      await reading;
    }
    at += part.length;
    return part;
  };
}

function asItIs(next: () => Promise<Uint8Array | null>): PayloadReader {
  return takingFrom(next, () => {});
}

function takingFrom(next: () => Promise<Uint8Array | null>, close: () => void): PayloadReader {
  let rest: Uint8Array | null = new Uint8Array();
  return {
    async read(target) {
      let filled = 0;
      while (filled < target.length && rest !== null) {
        if (rest.length === 0) {
          rest = await next();
          continue;
        }
        const count = Math.min(rest.length, target.length - filled);
        target.set(rest.subarray(0, count), filled);
        rest = rest.subarray(count);
        filled += count;
      }
      return filled;
    },
    close,
  };
}

/** zlib's own format (RFC 1950), which ends where its bytes do. */
function inflated(next: () => Promise<Uint8Array | null>, { range, length, place }: PayloadPlace): PayloadReader {
  const invalid = (why: "frame" | "length", what: string): WeightDiffError =>
    new WeightDiffError("FORMAT_INVALID", what, DAMAGED, { at: place, why });
  const source = Readable.from(
    (async function* () {
      for (let piece = await next(); piece !== null; piece = await next()) {
        // The next piece takes the same memory, and the stream may still hold this one.
        yield piece.slice();
      }
    })(),
    { highWaterMark: 1 },
  );
  const stream = createInflate();
  source.on("error", (error) => stream.destroy(error));
  stream.on("error", () => {}); // the next read throws it
  source.pipe(stream);
  const pieces = stream[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
  let given = 0;
  const piece = async (): Promise<Uint8Array | null> => {
    const { value, done } = await pieces.next().catch((error: unknown) => {
      throw error instanceof WeightDiffError ? error : invalid("frame", "the zlib data is damaged or cut short");
    });
    if (done !== true) {
      given += value.length;
    }
    if (given > length.most) {
      throw invalid("length", `the zlib data has more than ${length.most} bytes`);
    }
    if (done === true && given < length.least) {
      throw invalid("length", `the zlib data has ${given} of ${length.least} bytes`);
    }
    if (done === true && stream.bytesWritten !== range.end - range.begin) {
      throw invalid("frame", "something follows the end of the zlib data");
    }
    return done === true ? null : value;
  };
  return takingFrom(piece, () => {
    source.destroy();
    stream.destroy();
  });
}
