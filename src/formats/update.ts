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
import { type ByteRange, rangeLength } from "./tensor-info.js";

/** The checksum that a tensor's bytes must have after a step. */
export interface StatedChecksum {
  readonly algorithm: ChecksumName;
  /** Lower case; as many digits as CHECKSUM_DIGITS says. */
  readonly hex: string;
}

const STEP_ENCODINGS = ["xor", "overwrite", "xor_sparse", "elements", "exact-compressed"] as const;
export type StepEncoding = (typeof STEP_ENCODINGS)[number];

/** The encodings that this tool writes. The trainers' readers know the first two, and only this tool reads the last. */
export const UPDATE_ENCODINGS = ["xor", "overwrite", "exact-compressed"] as const;
export type UpdateEncoding = (typeof UPDATE_ENCODINGS)[number];

export type StepCompression = "zstd" | "zlib" | "none" | "coded";

/** How a list of positions is stored. `gaps`: as the number of elements between one position and the next. */
export interface PositionList {
  readonly dtype: "I32" | "U16" | "U32";
  readonly gaps: boolean;
}

/** The width in bytes of the count and of each position. */
export const POSITION_BYTES = { overwrite: 4, xor_sparse: 8 } as const;

/** How many bytes a payload can have. @param bytes of the tensor. */
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

/** The bytes that a step reads of its payload. */
export function stepBytes({
  range,
  values,
}: {
  readonly range: ByteRange;
  readonly values?: { readonly range: ByteRange } | undefined;
}): number {
  return rangeLength(range) + rangeLength(values?.range);
}

/** The most overwrite steps that fold without the base. Nothing stores which bytes they mark, so all of them are open at the same time. */
export const MOST_OVERWRITES = 16;

/** While a payload is made, its room in the file also holds what is needed later. All fields are byte positions in the room. */
interface PayloadRoom {
  /** Where the overwritten positions begin (four bytes each), and where their values begin. */
  readonly positions: number;
  readonly values: number;
  /** Where the tensor is kept between two groups of steps. */
  readonly state: number;
  /** The length of the room in bytes. */
  readonly size: number;
}

/**
 * The payload comes first. It gets room for the most bytes that it can take: those of a frame (zstd.h, ZSTD_COMPRESSBOUND), which are more
 * than those of stored windows and their index.
 * @param bytes of the tensor. @param most of its bytes that can be overwritten. @param steps that change it.
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
