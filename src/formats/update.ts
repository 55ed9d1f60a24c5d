/**
 * What one step of a chain of updates does to the bytes of a tensor, and how long its payload is (docs/chains.md 2). Integers are
 * little-endian.
 *   xor         new XOR old, as long as the tensor
 *   overwrite   u4 count, count x u4 byte position, count x 1 new byte
 *   xor_sparse  u8 count, count x u8 byte position, count x 1 byte that is XORed
 *   elements    positions of elements, or the gaps between them, and the new elements apart
 *   exact-compressed  coded windows given the tensor as it was, and their index (formats/coded, docs/formats.md 3.2)
 */
import type { ChecksumName } from "./checksum.js";

/** Of all bytes of a tensor as it is after a step, in hex. */
export interface StatedChecksum {
  readonly algorithm: ChecksumName;
  /** Lower case; as many digits as CHECKSUM_DIGITS says. */
  readonly hex: string;
}

export const STEP_ENCODINGS = ["xor", "overwrite", "xor_sparse", "elements", "exact-compressed"] as const;
export type StepEncoding = (typeof STEP_ENCODINGS)[number];

/** What updates are written in: those that the trainers' readers know, and the one that takes this tool. */
export const UPDATE_ENCODINGS = ["xor", "overwrite", "exact-compressed"] as const;
export type UpdateEncoding = (typeof UPDATE_ENCODINGS)[number];

export type StepCompression = "zstd" | "zlib" | "none" | "coded";

/** How a list of positions is stored: as they are, or as the number of elements between one and the next. */
export interface PositionList {
  readonly dtype: "I32" | "U16" | "U32";
  readonly gaps: boolean;
}

/** Bytes of count and position where both have the same width. */
export const POSITION_BYTES = { overwrite: 4, xor_sparse: 8 } as const;

/** Bytes that a payload can have for a tensor of so many. */
export function payloadLength(
  encoding: Exclude<StepEncoding, "elements" | "exact-compressed">,
  bytes: number,
): { readonly least: number; readonly most: number } {
  if (encoding === "xor") {
    return { least: bytes, most: bytes };
  }
  const width = POSITION_BYTES[encoding];
  return { least: width, most: width + (width + 1) * bytes };
}

/** Steps of overwrite that fold without the base: what they mark is nowhere set aside, so that all are open at a time. */
export const MOST_OVERWRITES = 16;

/** Where in its room a payload that is being made sets aside what it needs later: bytes from the room's first. */
export interface PayloadRoom {
  /** Overwritten positions, four bytes each, and their values. */
  readonly positions: number;
  readonly values: number;
  /** The tensor between two groups of steps. */
  readonly state: number;
  /** Bytes in all. */
  readonly size: number;
}

/**
 * The payload comes first, with room for the most that it can take: a frame (zstd.h, ZSTD_COMPRESSBOUND), or windows of bytes that are
 * stored as they are, and their index.
 * @param bytes of the tensor. @param most of them that can be overwritten. @param steps that lead to it.
 */
export function payloadRoom(
  encoding: UpdateEncoding,
  { bytes, most }: { readonly bytes: number; readonly most: number },
  steps: number,
): PayloadRoom {
  const plain = encoding === "overwrite" ? 4 + 5 * most : bytes;
  const frame = plain + Math.ceil(plain / 256) + 1024;
  const aside = encoding === "overwrite" ? most : 0;
  const state = frame + 5 * aside;
  return { positions: frame, values: frame + 4 * aside, state, size: state + (steps > 1 ? bytes : 0) };
}
