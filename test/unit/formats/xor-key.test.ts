/** Which key byte meets which payload byte: against the rule of encrypt.py, said in one line, around every border. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { fillKey, KEY_CHUNK, type KeyRule } from "../../../src/formats/xor-key.js";

/** A key whose byte at `position` is known without keeping it. */
const keyByte = (position: number): number => (position * 2_654_435_761 + (position >>> 13)) & 0xff;

async function filled(rule: KeyRule, size: number, position: number, length: number) {
  const reads: (readonly [position: number, length: number])[] = [];
  const target = new Uint8Array(length).fill(0xee);
  await fillKey(rule, size, position, target, async (part, at) => {
    assert.ok(at >= 0 && at + part.length <= size, `bytes ${at} to ${at + part.length} of ${size}`);
    reads.push([at, part.length]);
    for (let i = 0; i < part.length; i++) {
      part[i] = keyByte(at + i);
    }
  });
  return { target, reads };
}

/** As encrypt.py: chunk c of the content meets chunk c of the key, counted round and round; a short chunk is repeated. */
function byChunks(size: number, position: number): number {
  const begin = (Math.floor(position / KEY_CHUNK) % Math.ceil(size / KEY_CHUNK)) * KEY_CHUNK;
  return keyByte(begin + ((position % KEY_CHUNK) % Math.min(KEY_CHUNK, size - begin)));
}

const SIZES = [
  1,
  2,
  3,
  1000,
  KEY_CHUNK - 1,
  KEY_CHUNK,
  KEY_CHUNK + 1,
  KEY_CHUNK + 777,
  2 * KEY_CHUNK,
  3 * KEY_CHUNK - 5,
];
for (const size of SIZES) {
  test(`a key of ${size} bytes is read in chunks and starts over`, async () => {
    for (const border of [0, size, KEY_CHUNK, 2 * KEY_CHUNK, 3 * KEY_CHUNK, 5 * KEY_CHUNK]) {
      for (const begin of [border - 1500, border - 1, border, border + 1].filter((at) => at >= 0)) {
        const { target } = await filled("chunks", size, begin, 3000);
        assert.deepEqual(
          target,
          Uint8Array.from({ length: 3000 }, (_, at) => byChunks(size, begin + at)),
          `at ${begin}`,
        );
      }
    }
  });
}

test("a key of one byte is read twice at most for each chunk", async () => {
  const { reads } = await filled("chunks", 1, KEY_CHUNK - 10, 1000);
  assert.ok(reads.length <= 4, JSON.stringify(reads));
});

test("the same place: past the end of the base come zeros", async () => {
  for (const [size, position] of [
    [100, 0],
    [100, 90],
    [100, 100],
    [100, 5000],
    [0, 0],
  ] as const) {
    const { target } = await filled("same-place", size, position, 50);
    const expected = Uint8Array.from({ length: 50 }, (_, at) => (position + at < size ? keyByte(position + at) : 0));
    assert.deepEqual(target, expected);
  }
});
