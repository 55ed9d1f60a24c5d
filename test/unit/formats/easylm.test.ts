/** EasyLM's stream: what flax reads in it is what is found there; what is broken is refused. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { WeightDiffError } from "../../../src/errors.js";
import { looksLikeEasylm, readEasylm } from "../../../src/formats/easylm.js";
import { readWeightFile } from "../../../src/formats/weight-file.js";
import { arrayOf, binary, easylmEntry, extension, text } from "../../support/easylm-files.js";
import { FIXTURES } from "../../support/fixtures.js";
import { memorySource } from "../../support/memory-source.js";
import { refuses } from "../../support/refusal.js";

const KOALA = join(FIXTURES, "koala");
const { stored } = JSON.parse(readFileSync(join(KOALA, "expected.json"), "utf8")) as {
  stored: Readonly<Record<string, readonly unknown[]>>;
};

for (const [file, expected] of Object.entries(stored)) {
  test(`finds in ${file} the arrays that flax reads there`, async () => {
    const bytes = readFileSync(join(KOALA, file));
    const { format, tensors } = await readWeightFile(memorySource(bytes));
    assert.equal(format, "easylm");
    const found = tensors.map(({ name, dtype, shape, range }) => ({
      name,
      dtype,
      shape,
      sha256: createHash("sha256").update(bytes.subarray(range.begin, range.end)).digest("hex"),
    }));
    assert.deepEqual(found, expected);
  });
}

const DATA = Buffer.from([1, 2, 3, 4, 5, 6, 7, 8]);
const ARRAY = arrayOf([2, 1], "float32", DATA);
const read = (...entries: readonly Uint8Array[]): ReturnType<typeof readEasylm> =>
  readEasylm(memorySource(Buffer.concat(entries), "koala"));

test("gives every array its bytes, and skips values that are not arrays", async () => {
  const { tensors } = await read(
    easylmEntry("step", Buffer.from([3])),
    easylmEntry("a.b", ARRAY),
    easylmEntry("count", extension(Buffer.from("scalar"), 3)),
    easylmEntry("c", arrayOf([], "bool", DATA.subarray(0, 1))),
    easylmEntry("empty", arrayOf([0, 7], "bfloat16", DATA.subarray(0, 0))),
  );
  assert.deepEqual(
    tensors.map(({ name, path, dtype, shape }) => [name, path, dtype, shape]),
    [
      ["a.b", ["a", "b"], "F32", [2, 1]],
      ["c", ["c"], "BOOL", []],
      ["empty", ["empty"], "BF16", [0, 7]],
    ],
  );
});

test("notices a changed header and no changed element", async () => {
  const digest = async (entry: Uint8Array): Promise<string> => (await read(entry)).digest;
  const first = await digest(easylmEntry("a", ARRAY));
  assert.equal(await digest(easylmEntry("a", arrayOf([2, 1], "float32", Buffer.alloc(8)))), first);
  assert.notEqual(await digest(easylmEntry("a", arrayOf([1, 2], "float32", DATA))), first);
  assert.notEqual(await digest(easylmEntry("b", ARRAY)), first);
});

const pair = (...parts: readonly Uint8Array[]): Buffer => Buffer.concat([Buffer.from([0x92]), ...parts]);
const key = Buffer.concat([Buffer.from([0x91]), text("a")]);
const entry = easylmEntry("a", ARRAY);

const REFUSED: readonly (readonly [what: string, bytes: Uint8Array, code: WeightDiffError["code"], message: RegExp])[] =
  [
    ["an entry cut in its header", entry.subarray(0, 9), "TRUNCATED", /has 9 bytes/],
    ["an entry cut in its elements", entry.subarray(0, -1), "TRUNCATED", /ends at byte/],
    ["a second entry cut after its first byte", Buffer.concat([entry, entry.subarray(0, 1)]), "TRUNCATED", /goes on/],
    ["something else after an entry", Buffer.concat([entry, Buffer.from("junk")]), "FORMAT_INVALID", /array/],
    ["a name that occurs twice", Buffer.concat([entry, entry]), "FORMAT_INVALID", /"a" occurs twice/],
    [
      "three values in an entry",
      Buffer.concat([Buffer.from([0x93]), entry.subarray(1)]),
      "FORMAT_INVALID",
      /not a pair/,
    ],
    ["a key without parts", pair(Buffer.from([0x90]), binary(ARRAY)), "FORMAT_INVALID", /key of 0 parts/],
    ["a key that is a number", pair(Buffer.from([0x91, 5]), binary(ARRAY)), "FORMAT_INVALID", /is not a short text/],
    ["a key that is not UTF-8", pair(Buffer.from([0x91, 0xa1, 0xff]), binary(ARRAY)), "FORMAT_INVALID", /UTF-8/],
    ["a value that is a text", pair(key, text("b")), "FORMAT_INVALID", /is not a msgpack binary/],
    ["a value of 4 GiB", pair(key, binary(ARRAY, 2 ** 32 - 1)), "TRUNCATED", /ends at byte 42949673/],
    ["an array in chunks", easylmEntry("a", Buffer.from([0x81, 0xa1, 0x62, 1])), "FORMAT_UNSUPPORTED", /in chunks/],
    ["a strange dtype", easylmEntry("a", arrayOf([1], "float128", DATA)), "FORMAT_UNSUPPORTED", /float128/],
    [
      "fewer bytes than the shape asks",
      easylmEntry("a", arrayOf([3], "float32", DATA)),
      "FORMAT_INVALID",
      /8 bytes for F32/,
    ],
    [
      "more bytes than the shape asks",
      easylmEntry("a", arrayOf([1], "float32", DATA)),
      "FORMAT_INVALID",
      /8 bytes for F32/,
    ],
    [
      "sizes whose product overflows",
      easylmEntry("a", arrayOf(Array(8).fill(2 ** 32 - 1), "float32", DATA)),
      "FORMAT_INVALID",
      /8 bytes for F32/,
    ],
    ["nine dimensions", easylmEntry("a", arrayOf(Array(9).fill(1), "float32", DATA)), "LIMIT", /9 dimensions/],
    [
      "an array that ends before its value",
      easylmEntry("a", Buffer.concat([ARRAY, DATA])),
      "FORMAT_INVALID",
      /one array/,
    ],
    [
      "elements that end before their array",
      easylmEntry("a", extension(Buffer.concat([ARRAY.subarray(6), DATA]))),
      "FORMAT_INVALID",
      /8 bytes for F32/,
    ],
    [
      "a header that does not end",
      easylmEntry(Array(15).fill("x".repeat(200)).join("."), ARRAY),
      "LIMIT",
      /header of more than 1024 bytes/,
    ],
  ];
for (const [what, bytes, code, message] of REFUSED) {
  test(`refuses ${what}`, async () => {
    await refuses(() => read(bytes), code, message);
  });
}

test("refuses more entries than any model has, without reading on", async () => {
  const one = easylmEntry("a", Buffer.from([3]));
  await refuses(() => read(Buffer.concat(Array(20_001).fill(one))), "LIMIT", /more than 20000 entries/);
});

test("knows such a file by its first bytes, and no other", () => {
  assert.equal(looksLikeEasylm(entry), true);
  for (const other of [[], [0x92], [0x92, 0x90, 0xa1], [0x92, 0x91, 0xa0], [0x92, 0x91, 0x05], [0x93, 0x91, 0xa1]]) {
    assert.equal(looksLikeEasylm(Uint8Array.from(other)), false, String(other));
  }
});
