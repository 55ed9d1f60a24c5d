import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { gunzipSync, gzipSync } from "node:zlib";
import type { DiskFile } from "../../../../src/engine/io/disk.js";
import { openDeflater, openInflater } from "../../../../src/engine/io/gzip.js";
import { refuses } from "../../../support/refusal.js";

function fileOf(bytes: Uint8Array): DiskFile {
  return {
    path: "packed",
    direct: false,
    read: async (target, position) => {
      const piece = bytes.subarray(position, position + target.length);
      target.set(piece);
      return piece.length;
    },
    write: async () => 0,
    stat: async () => ({ size: bytes.length, modified: "" }),
    truncate: async () => {},
    sync: async () => {},
    close: async () => {},
  };
}

const CONTENT = randomBytes(10_000);
/** Two members, as `cat a.gz b.gz` makes them. */
const PACKED = Buffer.concat([gzipSync(CONTENT.subarray(0, 4000)), gzipSync(CONTENT.subarray(4000))]);

test("inflates member after member, and reads that overlap take turns", async () => {
  let read = 0;
  const inflater = openInflater(fileOf(PACKED), {
    ...{ size: PACKED.length, most: CONTENT.length, windowBytes: 300 },
    onRead: (count) => {
      read += count;
    },
  });
  const windows = Array.from({ length: 5 }, () => new Uint8Array(3000));
  const counts = await Promise.all(windows.map((window) => inflater.read(window)));
  await inflater.close();
  assert.deepEqual(counts, [3000, 3000, 3000, 1000, 0]);
  assert.ok(Buffer.concat(windows).subarray(0, CONTENT.length).equals(CONTENT));
  assert.equal(read, PACKED.length);
});

test("stops at more bytes than there may be, and at damage", async () => {
  const options = { size: PACKED.length, most: 9999, windowBytes: 300, onRead: () => {} };
  const long = openInflater(fileOf(PACKED), options);
  await refuses(() => long.read(new Uint8Array(20_000)), "MISMATCH", /packed: inflates to more than 9999 bytes/);
  await long.close();
  const cut = openInflater(fileOf(PACKED), { ...options, size: PACKED.length - 9, most: 10_000 });
  await refuses(() => cut.read(new Uint8Array(20_000)), "TRUNCATED", /packed: the gzip data ends too early/);
  await cut.close();
});

test("deflates what is written, though its memory is used again; what fails behind it is told", async () => {
  const pieces: Uint8Array[] = [];
  const deflater = openDeflater(async (bytes) => {
    pieces.push(bytes.slice());
  });
  const window = new Uint8Array(1000);
  for (let at = 0; at < CONTENT.length; at += window.length) {
    window.set(CONTENT.subarray(at, at + window.length));
    await deflater.write(window);
  }
  await deflater.end();
  assert.ok(gunzipSync(Buffer.concat(pieces)).equals(CONTENT));
  const failing = openDeflater(() => Promise.reject(new Error("no room")));
  await failing.write(window);
  await assert.rejects(() => failing.end(), /no room/);
  await failing.abandon();
});
