/** Prepares bytes for the arithmetic: takes their checksum as they are stored, and puts them into little-endian order. */
import { crc32 } from "node:zlib";
import { checksumText, damagedTensor } from "../io/record-check.js";
import type { StoredOperand } from "../job/job.js";
import { widthOf } from "../job/operand.js";

export interface ByteOrder {
  /** Takes the checksum of bytes as they are stored, block by block, and swaps those of a big-endian storage. */
  take(bytes: Uint8Array): void;
  /** How the checksum of all bytes differs from the stated one; null if they are equal, or if none is stated. */
  damage(): string | null;
  /** @throws {WeightDiffError} CRC_MISMATCH. */
  finish(paths: readonly string[]): void;
}

export function byteSwap(operand: StoredOperand): ByteOrder {
  const width = widthOf(operand.dtype);
  let crc = 0;
  const damage = (): string | null =>
    operand.crc32 === undefined || operand.crc32 === crc ? null : checksumText(operand.crc32, crc);
  return {
    take(bytes) {
      if (operand.crc32 !== undefined) {
        crc = crc32(bytes, crc);
      }
      if (operand.bigEndian === true) {
        swapBytes(bytes, width);
      }
    },
    damage,
    finish(paths) {
      const found = damage();
      if (found !== null) {
        throw damagedTensor(paths[operand.input] ?? "input", operand.name, found);
      }
    },
  };
}

function swapBytes(bytes: Uint8Array, width: number): void {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  if (width === 2) {
    buffer.swap16();
  } else if (width === 4) {
    buffer.swap32();
  } else if (width === 8) {
    buffer.swap64();
  }
}
