/**
 * One zstd frame as a stream: compressed bytes go in, decoded bytes come out, both in pieces of any size. It takes the memory of one decoder.
 * A frame that is incomplete, is followed by more bytes, or has another length than expected is refused. This depends neither on the decoder
 * nor on how the bytes are cut into pieces.
 */
import { type ErrorPlace, WeightDiffError } from "../../errors.js";
import { DAMAGED } from "../damage.js";
import type { OpenDecoder } from "./decoder.js";
import { type FrameLength, frameLengthError, walkFrame } from "./walk.js";

interface Frame {
  /**
   * Takes the next compressed bytes, which must not change until they are decoded. Call it only after `read` gave fewer bytes than it was asked for.
   * @throws {WeightDiffError} as walkFrame.
   */
  push(bytes: Uint8Array): void;
  /** Call it after the last bytes. @throws {WeightDiffError} TRUNCATED if the frame is not complete. */
  end(): void;
  /**
   * Decodes into `target`. @returns the number of decoded bytes, which is less than `target` holds only if more must be pushed or the frame is over.
   * @throws {WeightDiffError} FORMAT_INVALID with `why` "frame" if the blocks are damaged, "length" if they hold too many or too few bytes.
   */
  read(target: Uint8Array): number;
  /** Frees the decoder's memory. */
  close(): void;
}

/** Starts a frame that must decode to `length` bytes. @throws {WeightDiffError} LIMIT if no memory is left for a decoder. */
export function startFrame(open: OpenDecoder, length: FrameLength, place: ErrorPlace): Frame {
  const walk = walkFrame(length, place);
  const decoder = open();
  const spare = new Uint8Array(1);
  let given = 0;
  let ended = false;
  const decode = (target: Uint8Array): number => {
    const count = decoder.read(target);
    if (count === null) {
      throw new WeightDiffError(
        "FORMAT_INVALID",
        `the zstd frame is damaged: no more than ${given} bytes can be decoded for sure`,
        DAMAGED,
        { at: place, why: "frame" },
      );
    }
    return count;
  };
  return {
    push(bytes) {
      walk.push(bytes);
      decoder.push(bytes);
    },
    end() {
      walk.end();
      ended = true;
    },
    read(target) {
      const wanted = Math.min(target.length, length.most - given);
      const count = decode(wanted === target.length ? target : target.subarray(0, wanted));
      given += count;
      if (count < target.length) {
        if (count === wanted && decode(spare) > 0) {
          throw frameLengthError(`has more than ${length.most} bytes`, length, place);
        }
        if (ended && given < length.least) {
          throw frameLengthError(`has ${given} bytes`, length, place);
        }
      }
      return count;
    },
    close: decoder.close,
  };
}

/** The decoded bytes of a frame. Compressed bytes are read only as they are needed. */
interface FrameReader {
  /**
   * Fills `target`: at once where no more compressed bytes are needed. Fewer bytes come only at the end, when the frame is known to be
   * complete. @throws {WeightDiffError} as Frame.
   */
  read(target: Uint8Array): number | Promise<number>;
  close(): void;
}

/** Reads a frame. @param next gives its compressed bytes in order, and null after the last. A piece must not change until the next one is asked for. */
export function readFrame(frame: Frame, next: () => Promise<Uint8Array | null>): FrameReader {
  let over = false;
  const goOn = async (target: Uint8Array, from: number): Promise<number> => {
    let filled = from;
    while (filled < target.length && !over) {
      const piece = await next();
      if (piece === null) {
        over = true;
        frame.end();
      } else {
        frame.push(piece);
      }
      filled += frame.read(target.subarray(filled));
    }
    return filled;
  };
  return {
    read(target) {
      const filled = frame.read(target);
      return filled === target.length ? filled : goOn(target, filled);
    },
    close: frame.close,
  };
}
