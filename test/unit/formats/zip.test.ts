import assert from "node:assert/strict";
import { test } from "node:test";
import type { ErrorCode } from "../../../src/errors.js";
import { headerBudget } from "../../../src/formats/header-budget.js";
import { locateEntry, readZipDirectory } from "../../../src/formats/zip.js";
import { u32, u64, type ZipOptions, type ZipPart, zipFile } from "../../support/hostile-files.js";
import { memorySource } from "../../support/memory-source.js";
import { refuses } from "../../support/refusal.js";

const A: ZipPart = { name: "a", data: Buffer.from("one") };
const B: ZipPart = { name: "b/c", data: Buffer.from("three") };

async function readAll(file: Uint8Array): Promise<Record<string, string>> {
  const source = memorySource(file, "m.bin");
  const contents: Record<string, string> = {};
  const directory = await readZipDirectory(source, headerBudget());
  for (const [name, entry] of directory.entries) {
    const { begin, end } = await locateEntry(source, directory, entry);
    contents[name] = Buffer.from(file.subarray(begin, end)).toString();
  }
  return contents;
}

test("finds stored entries", async () => {
  assert.deepEqual(await readAll(zipFile([A, B])), { a: "one", "b/c": "three" });
});

test("takes an archive without entries", async () => {
  assert.deepEqual(await readAll(zipFile([])), {});
});

test("is not misled by an end record inside the comment", async () => {
  const comment = Buffer.concat([Buffer.from("x PK\x05\x06"), Buffer.alloc(60)]);
  assert.deepEqual(await readAll(zipFile([A], { comment })), { a: "one" });
  assert.deepEqual(await readAll(zipFile([A], { comment: Buffer.alloc(65535, 0x50) })), { a: "one" });
});

/** Puts a 64-bit end record and its locator before the plain one, whose fields `plain` replaces. */
function withEnd64(file: Buffer, change: (record: Buffer) => void = () => {}, plain?: Buffer): Buffer {
  const end = file.subarray(-22);
  const body = file.subarray(0, -22);
  const count = BigInt(end.readUInt16LE(8));
  const record = Buffer.concat([
    Buffer.from("PK\x06\x06"),
    u64(44),
    Buffer.alloc(12),
    ...[count, count, end.readUInt32LE(12), end.readUInt32LE(16)].map(u64),
  ]);
  change(record);
  const locator = Buffer.concat([Buffer.from("PK\x06\x07"), u32(0), u64(body.length), u32(1)]);
  return Buffer.concat([body, record, locator, plain ?? end]);
}

const SATURATED = Buffer.concat([Buffer.from("PK\x05\x06\0\0\0\0"), Buffer.alloc(12, 0xff), Buffer.alloc(2)]);

test("reads 64-bit end records", async () => {
  assert.deepEqual(await readAll(withEnd64(zipFile([A, B]))), { a: "one", "b/c": "three" });
  assert.deepEqual(await readAll(withEnd64(zipFile([A, B]), undefined, SATURATED)), { a: "one", "b/c": "three" });
});

/** Replaces the directory's sizes and offset by 64-bit ones in an extra field, behind another field. */
function wideEntry(fields: Buffer): Buffer {
  const file = zipFile([A]);
  const directory = file.subarray(-22 - 47, -22);
  const extra = Buffer.concat([Buffer.from([0x46, 0x42, 1, 0, 0]), Buffer.from([1, 0, fields.length, 0]), fields]);
  const wide = Buffer.concat([directory, extra]);
  wide.fill(0xff, 20, 28);
  wide.fill(0xff, 42, 46);
  wide.writeUInt16LE(extra.length, 30);
  const end = Buffer.from(file.subarray(-22));
  end.writeUInt32LE(wide.length, 12);
  return Buffer.concat([file.subarray(0, -22 - 47), wide, end]);
}

test("reads 64-bit sizes: unpacked, packed, offset", async () => {
  assert.deepEqual(await readAll(wideEntry(Buffer.concat([u64(3), u64(3), u64(0)]))), { a: "one" });
});

const built = (parts: readonly ZipPart[], options?: ZipOptions): Buffer => zipFile(parts, options);
const REFUSED: readonly (readonly [why: string, file: Uint8Array, code: ErrorCode, message: RegExp])[] = [
  ["a file without an end record", built([A]).subarray(0, -1), "TRUNCATED", /no end record/],
  [
    "a file that goes on after its end record",
    Buffer.concat([built([A]), Buffer.alloc(1)]),
    "TRUNCATED",
    /no end record/,
  ],
  ["an entry name that comes twice", built([A, A]), "FORMAT_INVALID", /"a" occurs twice/],
  ["two entries on the same bytes", built([A, { ...B, header: 0 }]), "FORMAT_INVALID", /overlaps/],
  ["an entry that reaches into the next", built([{ ...A, size: 4 }, B]), "FORMAT_INVALID", /"a" overlaps/],
  ["an entry that reaches into the directory", built([A, { ...B, size: 6 }]), "FORMAT_INVALID", /"b\/c" overlaps/],
  ["an entry outside the file", built([{ ...A, header: 0xfffffff0 }]), "FORMAT_INVALID", /outside the file/],
  ["a local header of another name", built([{ ...A, localName: "b" }]), "FORMAT_INVALID", /local header/],
  [
    "a local header that is none",
    built([{ ...A, data: Buffer.alloc(40), header: 1, size: 0 }]),
    "FORMAT_INVALID",
    /local header/,
  ],
  ["a deflated entry", built([{ ...A, method: 8 }]), "FORMAT_UNSUPPORTED", /"a" is deflated/],
  ["an entry of another method", built([{ ...A, method: 12 }]), "FORMAT_UNSUPPORTED", /method 12/],
  ["an encrypted entry", built([{ ...A, flags: 1 }]), "FORMAT_UNSUPPORTED", /encrypted/],
  ["a wrong number of entries", built([A], { count: 2 }), "FORMAT_INVALID", /states 2 entries, the directory has 1/],
  ["a directory that is none", built([A, B], { offset: 1 }), "FORMAT_INVALID", /entry 0 is malformed/],
  ["a directory past its end record", built([A], { offset: 40 }), "FORMAT_INVALID", /does not lie before/],
  ["a directory that is cut short", built([A], { length: 46 }), "FORMAT_INVALID", /runs past the directory/],
  ["missing 64-bit sizes", wideEntry(u64(3)), "FORMAT_INVALID", /64-bit/],
  ["64-bit sizes past 2^53", wideEntry(Buffer.alloc(24, 0xff)), "FORMAT_INVALID", /zip field/],
  [
    "end records that differ",
    withEnd64(built([A]), (record) => record.writeUInt8(2, 32)),
    "FORMAT_INVALID",
    /contradict/,
  ],
  [
    "a 64-bit end record that is none",
    withEnd64(built([A]), (record) => record.writeUInt8(0, 0)),
    "FORMAT_INVALID",
    /contradict/,
  ],
  [
    "an archive that is one part of several",
    (() => {
      const file = built([A]);
      file.writeUInt16LE(1, file.length - 18);
      return file;
    })(),
    "FORMAT_UNSUPPORTED",
    /several files/,
  ],
];
for (const [why, file, code, message] of REFUSED) {
  test(`refuses ${why}`, async () => {
    await refuses(() => readAll(file), code, message);
  });
}

test("refuses a directory above 25 MB before reading it", async () => {
  const size = 30_000_000;
  const end = built([], { length: 26_000_000, offset: 0 });
  const source = {
    name: "m.bin",
    size,
    readAt: async (offset: number, length: number) => {
      assert.ok(length <= 70_000, "reads more than the end");
      const bytes = new Uint8Array(length);
      bytes.set(end, size - end.length - offset);
      return bytes;
    },
  };
  await refuses(() => readZipDirectory(source, headerBudget()), "LIMIT", /26000000 bytes/);
});
