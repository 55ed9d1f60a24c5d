/** CRC-32 of a file's stored runs as its bytes pass, in order and once. */
import { crc32 } from "node:zlib";
import { WeightDiffError } from "../../errors.js";
import { quote } from "../../formats/quote.js";
import type { StoredRecord } from "../../formats/tensor-info.js";

/** Takes a file's bytes in order. */
export interface RecordCheck {
  /** @throws {WeightDiffError} CRC_MISMATCH naming file and record. */
  take(bytes: Uint8Array, position: number): void;
  /** @throws {WeightDiffError} TRUNCATED if the file ends before its last record. */
  finish(length: number): void;
}

/** @param file bare name. @param damaged what to do about a record that is not what it should be. @param cut likewise, of a file that ends too early. */
export function watchRecords(
  file: string,
  records: readonly StoredRecord[],
  damaged: string,
  cut: string,
): RecordCheck {
  const wanted = records
    .filter(({ crc32: stated, range }) => stated !== null && range.end > range.begin)
    .sort((a, b) => a.range.begin - b.range.begin);
  let next = 0;
  let crc = 0;
  return {
    take(bytes, position) {
      const end = position + bytes.length;
      for (let record = wanted[next]; record !== undefined && record.range.begin < end; record = wanted[next]) {
        const { range } = record;
        crc = crc32(
          bytes.subarray(Math.max(0, range.begin - position), Math.min(bytes.length, range.end - position)),
          crc,
        );
        if (range.end > end) {
          return;
        }
        if (crc !== record.crc32) {
          throw new WeightDiffError(
            "CRC_MISMATCH",
            `record ${quote(record.name)} of the result is damaged: ${checksumText(record.crc32 ?? 0, crc)}, at bytes ${range.begin} to ${range.end}`,
            damaged,
            { at: { file } },
          );
        }
        crc = 0;
        next++;
      }
    },
    finish(length) {
      const missing = wanted[next];
      if (missing !== undefined) {
        throw new WeightDiffError(
          "TRUNCATED",
          `the result has ${length} bytes, its record ${quote(missing.name)} ends at ${missing.range.end}`,
          cut,
          { at: { file } },
        );
      }
    },
  };
}

function hex(value: number): string {
  return (value >>> 0).toString(16).padStart(8, "0");
}

/** How a checksum differs. */
export function checksumText(expected: number, found: number): string {
  return `CRC-32 ${hex(expected)} expected, ${hex(found)} found`;
}

/** A tensor whose bytes do not have their checksum. @param how as `checksumText` says it. */
export function damagedTensor(file: string, tensor: string, how: string): WeightDiffError {
  return new WeightDiffError(
    "CRC_MISMATCH",
    `tensor ${quote(tensor)} is damaged: ${how}`,
    "the file was corrupted on its way or on the disk: fetch it again",
    { at: { file } },
  );
}
