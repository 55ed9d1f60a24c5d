/** A file in memory, as formats/ sees one. A read outside of it is a bug of the reader, and fails the test as one. */
import assert from "node:assert/strict";
import type { ByteSource } from "../../src/formats/tensor-info.js";

export function memorySource(bytes: Uint8Array, name = "test.bin"): ByteSource {
  return {
    name,
    size: bytes.length,
    readAt: async (offset, length) => {
      assert.ok(
        Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0,
        `read of ${length} at ${offset}`,
      );
      assert.ok(offset + length <= bytes.length, `read of ${length} at ${offset}, past ${bytes.length}`);
      return bytes.slice(offset, offset + length);
    },
  };
}
