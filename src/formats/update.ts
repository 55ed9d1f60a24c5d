/**
 * What one step of a chain of updates does to the bytes of a tensor, and how long its payload is (docs/chains.md 2). Integers are
 * little-endian.
 *   xor         new XOR old, as long as the tensor
 *   overwrite   u4 count, count x u4 byte position, count x 1 new byte
 *   xor_sparse  u8 count, count x u8 byte position, count x 1 byte that is XORed
 *   elements    positions of elements, or the gaps between them, and the new elements apart
 */
import type { ChecksumName } from "./checksum.js";

/** Of all bytes of a tensor as it is after a step, in hex. */
export interface StatedChecksum {
  readonly algorithm: ChecksumName;
  /** Lower case; as many digits as CHECKSUM_DIGITS says. */
  readonly hex: string;
}

export const STEP_ENCODINGS = ["xor", "overwrite", "xor_sparse", "elements"] as const;
export type StepEncoding = (typeof STEP_ENCODINGS)[number];

export type StepCompression = "zstd" | "zlib" | "none";

/** How a list of positions is stored: as they are, or as the number of elements between one and the next. */
export interface PositionList {
  readonly dtype: "I32" | "U16" | "U32";
  readonly gaps: boolean;
}

/** Bytes of count and position where both have the same width. */
export const POSITION_BYTES = { overwrite: 4, xor_sparse: 8 } as const;

/** Bytes that a payload can have for a tensor of so many. */
export function payloadLength(
  encoding: Exclude<StepEncoding, "elements">,
  bytes: number,
): { readonly least: number; readonly most: number } {
  if (encoding === "xor") {
    return { least: bytes, most: bytes };
  }
  const width = POSITION_BYTES[encoding];
  return { least: width, most: width + (width + 1) * bytes };
}
