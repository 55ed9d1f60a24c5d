import assert from "node:assert/strict";
import { test } from "node:test";
import type { ErrorCode } from "../../../src/errors.js";
import type { ShardHeader } from "../../../src/formats/tensor-info.js";
import { readTorchZip } from "../../../src/formats/torch-zip.js";
import { dictOf, op, pickleOf, tensorPickle, torchZip, type ZipPart, zipFile } from "../../support/hostile-files.js";
import { memorySource } from "../../support/memory-source.js";
import { refuses } from "../../support/refusal.js";

const read = (file: Uint8Array): Promise<ShardHeader> => readTorchZip(memorySource(file, "m.bin"));
const PICKLE = pickleOf(dictOf({ w: tensorPickle() }));
const DATA: ZipPart = { name: "archive/data/0", data: Buffer.from("abcdefgh") };
const VERSION: ZipPart = { name: "archive/version", data: Buffer.from("3\n") };
const pickled = (data: Uint8Array, more: Partial<ZipPart> = {}): ZipPart => ({
  name: "archive/data.pkl",
  data,
  ...more,
});
const order = (text: string): ZipPart => ({ name: "archive/byteorder", data: Buffer.from(text) });

test("gives the record with its range and sum", async () => {
  const file = zipFile([pickled(PICKLE), DATA, VERSION]);
  const [tensor] = (await read(file)).tensors;
  const range = { begin: file.indexOf("abcdefgh"), end: file.indexOf("abcdefgh") + 8 };
  assert.deepEqual(tensor?.record, { name: "archive/data/0", range, crc32: 0xaeef2a50 });
  assert.deepEqual(tensor?.range, range);
});

test("takes a stored sum of 0 as absent, unless the record is empty", async () => {
  const [absent] = (await read(zipFile([pickled(PICKLE), { ...DATA, crc: 0 }, VERSION]))).tensors;
  assert.equal(absent?.record?.crc32, null);
  const none = pickleOf(dictOf({ w: tensorPickle({ numel: 0, size: [0] }) }));
  const [empty] = (await read(torchZip(none, [Buffer.alloc(0)]))).tensors;
  assert.equal(empty?.record?.crc32, 0);
});

test("marks big-endian elements, except single bytes", async () => {
  const big = (await read(zipFile([pickled(PICKLE), DATA, VERSION, order("big")]))).tensors;
  assert.equal(big[0]?.bigEndian, true);
  const bytes = pickleOf(dictOf({ w: tensorPickle({ type: "ByteStorage", numel: 8 }) }));
  assert.equal((await read(zipFile([pickled(bytes), DATA, VERSION, order("big")]))).tensors[0]?.bigEndian, undefined);
  assert.equal(
    (await read(zipFile([pickled(PICKLE), DATA, VERSION, order("little")]))).tensors[0]?.bigEndian,
    undefined,
  );
});

test("changes its digest with the pickle and with the directory, not with the data", async () => {
  const { digest } = await read(zipFile([pickled(PICKLE), { ...DATA, crc: 1 }, VERSION]));
  const other = { ...DATA, data: Buffer.alloc(8) };
  assert.equal((await read(zipFile([pickled(PICKLE), { ...other, crc: 1 }, VERSION]))).digest, digest);
  assert.notEqual((await read(zipFile([pickled(PICKLE), other, VERSION]))).digest, digest);
  const renamed = pickleOf(dictOf({ v: tensorPickle() }));
  assert.notEqual((await read(zipFile([pickled(renamed), { ...DATA, crc: 1 }, VERSION]))).digest, digest);
});

const REFUSED: readonly (readonly [why: string, parts: readonly ZipPart[], code: ErrorCode, message: RegExp])[] = [
  ["a zip without a pickle", [VERSION], "FORMAT_UNSUPPORTED", /no data\.pkl/],
  [
    "two pickles",
    [pickled(PICKLE), { name: "b/data.pkl", data: PICKLE }, DATA, VERSION],
    "FORMAT_INVALID",
    /2 entries/,
  ],
  ["a missing version", [pickled(PICKLE), DATA], "FORMAT_INVALID", /no version/],
  [
    "a version of the future",
    [pickled(PICKLE), DATA, { ...VERSION, data: Buffer.from("11\n") }],
    "FORMAT_INVALID",
    /"11\\n"/,
  ],
  ["a byte order of its own", [pickled(PICKLE), DATA, VERSION, order("middle")], "FORMAT_INVALID", /"middle"/],
  [
    "TorchScript",
    [pickled(PICKLE), DATA, VERSION, { name: "archive/constants.pkl", data: PICKLE }],
    "FORMAT_UNSUPPORTED",
    /TorchScript/,
  ],
  ["a pickle that is cut", [pickled(PICKLE.subarray(0, -1)), DATA, VERSION], "FORMAT_INVALID", /ends before/],
  ["a pickle whose sum is wrong", [pickled(PICKLE, { crc: 1 }), DATA, VERSION], "CRC_MISMATCH", /data\.pkl/],
  ["a deflated record", [pickled(PICKLE), { ...DATA, method: 8 }, VERSION], "FORMAT_UNSUPPORTED", /deflated/],
  ["a pickle above 25 MB", [pickled(Buffer.alloc(25_000_001)), VERSION], "LIMIT", /25000001/],
  [
    "a global outside the closed world",
    [pickled(pickleOf(op.global("builtins", "eval"), op.emptyTuple, op.reduce)), VERSION],
    "PICKLE_GLOBAL",
    /m\.bin: pickle asks for "builtins\.eval"/,
  ],
];
for (const [why, parts, code, message] of REFUSED) {
  test(`refuses ${why}`, async () => {
    await refuses(() => read(zipFile(parts)), code, message);
  });
}
