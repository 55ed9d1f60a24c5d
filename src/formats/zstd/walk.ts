/**
 * Checks the structure of one zstd frame (RFC 8878, 3.1.1): header, blocks, checksum. Bytes come in pieces of any size, and the result does
 * not depend on how they are cut. Decoders differ in what they accept (an incomplete frame, a second frame, bytes after the frame). So a frame
 * is walked before it is decoded, and every Node refuses the same frames. Only the decoder looks into a compressed block.
 */
import { type ErrorPlace, WeightDiffError } from "../../errors.js";
import { DAMAGED, INCOMPLETE } from "../damage.js";

/** How many decoded bytes a frame may have. */
export interface FrameLength {
  readonly least: number;
  readonly most: number;
}

/** Walks a frame, piece by piece. */
interface FrameWalk {
  /** @throws {WeightDiffError} FORMAT_INVALID with `why` "frame", or "length" if the frame cannot decode to the expected number of bytes. */
  push(bytes: Uint8Array): void;
  /** Call it after the last byte. @throws {WeightDiffError} TRUNCATED with `why` "frame" if the frame is not complete. */
  end(): void;
  /** The number of decoded bytes that the header states; null if it states none, or has not come completely. */
  readonly contentSize: number | null;
}

/** The most bytes that a frame's header can have: magic, descriptor, window, content size. */
export const FRAME_HEADER = 14;

/** 28 b5 2f fd. */
const MAGIC = 0xfd2fb528;
/** Skippable frames have sixteen magic numbers. Each format before v0.8 had its own. */
const SKIPPABLE = 0x184d2a5;
const LEGACY = { first: 0xfd2fb522, last: 0xfd2fb527 };

/** The largest window. The trainers' writers take 512 KiB, and level 3 takes 2 MiB. A decoder holds this much memory for every open frame. */
const MOST_WINDOW = 8 << 20;
/** The most bytes of a block, decoded or not (RFC 8878, 3.1.1.2.4). */
const MOST_BLOCK = 128 << 10;
/** A frame may have so many blocks without content, and one more for each 64 KiB. A writer that flushes leaves some. */
const EMPTY_BLOCKS = { free: 64, per: 64 << 10 };

const BLOCK_HEADER = 3;
const CHECKSUM = 4;
const BLOCK = { raw: 0, rle: 1, compressed: 2 } as const;

/** The width of the content size in bytes, by the two highest bits of the descriptor. */
const SIZE_BYTES = [0, 2, 4, 8] as const;

/** The part of the frame to which the next bytes belong. */
type Part = "magic" | "descriptor" | "header" | "block header" | "block" | "checksum" | "nothing";

/** Walks a frame that must decode to `length` bytes. @param place for messages. */
export function walkFrame({ least, most }: FrameLength, place: ErrorPlace): FrameWalk {
  const small = new Uint8Array(FRAME_HEADER);
  const view = new DataView(small.buffer);
  let part: Part = "magic";
  let wanted = 4;
  let have = 0;
  let walked = 0;
  let contentSize: number | null = null;
  let descriptor = 0;
  let mostBlock = MOST_BLOCK;
  let last = false;
  // The decoded bytes of raw and repeated blocks. The walk knows their number without a decoder.
  let known = 0;
  let empty = 0;

  const invalid = (what: string, hint = DAMAGED): WeightDiffError =>
    new WeightDiffError("FORMAT_INVALID", `the zstd frame ${what}`, hint, { at: place, why: "frame" });
  const wrongLength = (what: string): WeightDiffError => frameLengthError(what, { least, most }, place);
  const over = (): boolean => part === "nothing";
  const next = (now: Part, bytes: number): void => {
    part = now;
    wanted = bytes;
    have = 0;
  };

  /** Takes a complete part, which is in `small`. */
  const take = (): void => {
    if (part === "magic") {
      refuseMagic(view.getUint32(0, true), invalid);
      next("descriptor", 1);
    } else if (part === "descriptor") {
      descriptor = view.getUint8(0);
      if ((descriptor & 8) !== 0) {
        throw invalid("sets a reserved bit");
      }
      if ((descriptor & 3) !== 0) {
        throw invalid("wants a dictionary", "ask its publisher to compress without one");
      }
      next("header", windowBytes(descriptor) + sizeBytes(descriptor));
    } else if (part === "header") {
      contentSize = readContentSize(view, descriptor);
      if (contentSize !== null && (contentSize < least || contentSize > most)) {
        throw wrongLength(`states ${contentSize} bytes`);
      }
      const window = windowBytes(descriptor) === 0 ? (contentSize ?? 0) : windowSize(view.getUint8(0));
      if (window > MOST_WINDOW) {
        throw invalid(
          `wants a window of ${window} bytes; ${MOST_WINDOW} is the most`,
          "ask its publisher to compress with a level of at most 19 and no longer window",
        );
      }
      mostBlock = Math.min(window, MOST_BLOCK);
      next("block header", BLOCK_HEADER);
    } else if (part === "block header") {
      takeBlock(view.getUint16(0, true) | (view.getUint8(2) << 16));
    } else if (part === "checksum") {
      next("nothing", 0);
    }
  };

  const takeBlock = (header: number): void => {
    const type = (header >> 1) & 3;
    const size = header >> 3;
    last = (header & 1) === 1;
    if (type !== BLOCK.raw && type !== BLOCK.rle && type !== BLOCK.compressed) {
      throw invalid("has a block of the reserved type");
    }
    if (size > mostBlock) {
      throw invalid(`has a block of ${size} bytes; ${mostBlock} is the most`);
    }
    if (type === BLOCK.compressed) {
      if (size < 2) {
        throw invalid(`has a compressed block of ${size} bytes`);
      }
    } else {
      known += size;
      empty += size === 0 ? 1 : 0;
      if (known > (contentSize ?? most)) {
        throw wrongLength(`has more than ${contentSize ?? most} bytes`);
      }
      if (empty > EMPTY_BLOCKS.free + most / EMPTY_BLOCKS.per) {
        throw invalid(`has more than ${empty - 1} empty blocks`);
      }
    }
    next("block", type === BLOCK.rle ? 1 : size);
  };

  return {
    push(bytes) {
      for (let at = 0; at < bytes.length; ) {
        if (over()) {
          throw invalid(`ends after ${walked + at} bytes, and more follow`);
        }
        const count = Math.min(wanted - have, bytes.length - at);
        if (part !== "block") {
          small.set(bytes.subarray(at, at + count), have);
        }
        have += count;
        at += count;
        while (have === wanted && !over()) {
          if (part === "block") {
            const checked = last && (descriptor & 4) !== 0;
            next(
              last ? (checked ? "checksum" : "nothing") : "block header",
              last ? (checked ? CHECKSUM : 0) : BLOCK_HEADER,
            );
          } else {
            take();
          }
        }
      }
      walked += bytes.length;
    },
    end() {
      if (!over()) {
        throw new WeightDiffError(
          "TRUNCATED",
          walked === 0 ? "there is no zstd frame: it has 0 bytes" : `the zstd frame is cut off after ${walked} bytes`,
          INCOMPLETE,
          { at: place, why: "frame" },
        );
      }
    },
    get contentSize() {
      return contentSize;
    },
  };
}

/** The error for a frame with too many or too few decoded bytes. */
export function frameLengthError(what: string, { least, most }: FrameLength, at: ErrorPlace): WeightDiffError {
  const wanted = least === most ? `${most}` : `${least} to ${most}`;
  return new WeightDiffError(
    "FORMAT_INVALID",
    `the zstd frame ${what}, and the tensor takes ${wanted}`,
    "fetch this version again; if its length stays, give the base that the trainer started from, in its dtype",
    { at, why: "length" },
  );
}

function refuseMagic(magic: number, invalid: (what: string) => WeightDiffError): void {
  if (magic >>> 4 === SKIPPABLE) {
    throw invalid("is one to be skipped, without content");
  }
  if (magic >= LEGACY.first && magic <= LEGACY.last) {
    throw invalid("is of a format before zstd 0.8");
  }
  if (magic !== MAGIC) {
    throw invalid("does not begin with 28 b5 2f fd");
  }
}

/** The width of the window's size in bytes. A single segment states no window: the whole content is the window. */
function windowBytes(descriptor: number): 0 | 1 {
  return (descriptor & 32) === 0 ? 1 : 0;
}

function sizeBytes(descriptor: number): number {
  const bytes = SIZE_BYTES[descriptor >> 6] ?? 0;
  return bytes === 0 && windowBytes(descriptor) === 0 ? 1 : bytes;
}

function windowSize(byte: number): number {
  return (8 + (byte & 7)) * 2 ** (7 + (byte >> 3));
}

/** A size above 2^53 is not exact, but it is too large in any case. */
function readContentSize(view: DataView, descriptor: number): number | null {
  const at = windowBytes(descriptor);
  switch (sizeBytes(descriptor)) {
    case 1:
      return view.getUint8(at);
    case 2:
      return view.getUint16(at, true) + 256;
    case 4:
      return view.getUint32(at, true);
    case 8:
      return Number(view.getBigUint64(at, true));
    default:
      return null;
  }
}
