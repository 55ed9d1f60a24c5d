/** Files as Blobs: the bytes of any part, by every way out, and a file that shrinks while it is sent. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { FilePart } from "../../../src/files/file-part.js";
import { refuses } from "../../support/refusal.js";

const HOME = mkdtempSync(join(tmpdir(), "weight-diff-"));
const BYTES = Buffer.from(Array.from({ length: 1000 }, (_, index) => index % 251));
after(() => rmSync(HOME, { recursive: true }));

function fileOf(bytes: Buffer): FilePart {
  const path = join(HOME, `${bytes.length}`);
  writeFileSync(path, bytes);
  return new FilePart({ path, within: HOME }, 0, bytes.length);
}

async function streamed(part: FilePart): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of part.stream()) {
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

test("a slice has the bytes that a Blob's slice has, streamed or whole", async () => {
  const [file, blob] = [fileOf(BYTES), new Blob([BYTES])];
  for (const [from, to] of [
    [0, 1000],
    [10, 20],
    [990, 2000],
    [20, 10],
    [-10, -5],
    [1000, 1000],
    [undefined, undefined],
  ]) {
    const [part, same] = [file.slice(from, to), blob.slice(from, to)];
    const expected = Buffer.from(await same.arrayBuffer());
    assert.equal(part.size, expected.length, `${from} ${to}`);
    assert.deepEqual(Buffer.from(await part.arrayBuffer()), expected);
    assert.deepEqual(await streamed(part), expected);
    assert.deepEqual(await streamed(part.slice(1, 3)), expected.subarray(1, 3));
  }
});

test("counts the bytes that leave, even of an empty file", async () => {
  let count = 0;
  await streamed(
    fileOf(BYTES)
      .slice(100)
      .counted((bytes) => {
        count += bytes;
      }),
  );
  assert.equal(count, 900);
  assert.equal((await streamed(fileOf(Buffer.alloc(0)))).length, 0);
});

test("a file that has become shorter is an error, not a shorter upload", async () => {
  const file = fileOf(BYTES);
  truncateSync(file.place.path, 500);
  await refuses(() => streamed(file), "INPUT_CHANGED", /500 bytes shorter than before/);
  await assert.rejects(file.arrayBuffer());
});
