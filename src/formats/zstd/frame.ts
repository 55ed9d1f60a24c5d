/**
 * One zstd frame as a stream: compressed bytes in, decoded bytes out, both in pieces of any size, in the memory of one decoder. A frame that
 * is not whole, not alone, or not of the expected length is refused, whatever decodes it and however its bytes are cut.
 */
import { type ErrorPlace, WeightDiffError } from "../../errors.js";
import type { OpenDecoder } from "./decoder.js";
import { type FrameLength, frameLengthError, walkFrame } from "./walk.js";

export interface Frame {
  /** Takes the next compressed bytes; they are read later. Only after `read` has given fewer bytes than it was asked for. @throws {WeightDiffError} as walkFrame. */
  push(bytes: Uint8Array): void;
  /** After the last. @throws {WeightDiffError} TRUNCATED. */
  end(): void;
  /**
   * Fills `target` as far as the bytes go. @returns how many came: fewer only where more must be pushed, and none after the last.
   * @throws {WeightDiffError} FORMAT_INVALID: `why` is "frame" where the blocks are damaged, "length" where they hold more or less than they may.
   */
  read(target: Uint8Array): number;
  /** Gives the decoder's memory back. */
  close(): void;
}

/** Starts a frame that must decode to `length` bytes. @throws {WeightDiffError} LIMIT where no memory is left for a decoder. */
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
        "the file is damaged: fetch it again",
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
      const wanted = target.subarray(0, length.most - given);
      const count = decode(wanted);
      given += count;
      if (count < target.length) {
        if (count === wanted.length && decode(spare) > 0) {
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

/** The decoded bytes of a frame, at the pace of its reader. */
export interface FrameReader {
  /** Fills `target`; fewer bytes come only at the end, where the frame is known to be whole. @throws {WeightDiffError} as Frame. */
  read(target: Uint8Array): Promise<number>;
  close(): void;
}

/** Reads a frame. @param next its compressed bytes, in order, and null after the last; a piece must stay as it is until the next one is asked for. */
export function readFrame(frame: Frame, next: () => Promise<Uint8Array | null>): FrameReader {
  let over = false;
  return {
    async read(target) {
      let filled = frame.read(target);
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
    },
    close: frame.close,
  };
}
