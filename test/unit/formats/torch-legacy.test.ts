import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import type { ErrorCode } from "../../../src/errors.js";
import type { ShardHeader } from "../../../src/formats/tensor-info.js";
import { readTorchLegacy } from "../../../src/formats/torch-legacy.js";
import { dictOf, op, pickleOf, tensorPickle, torchLegacy } from "../../support/hostile-files.js";
import { memorySource } from "../../support/memory-source.js";
import { refuses } from "../../support/refusal.js";

const read = (file: Uint8Array): Promise<ShardHeader> => readTorchLegacy(memorySource(file, "m.bin"));
const t = (key: string, parts = {}): Buffer => tensorPickle({ key, ...parts }, true);
const OBJECT = pickleOf(dictOf({ a: t("71"), b: t("8"), c: t("71", { size: [1] }) }));
const STORAGES = { 8: Buffer.from("abcdefgh"), 71: Buffer.from("ijklmnop") };
const FILE = torchLegacy(OBJECT, STORAGES);

test("finds storages in the order of the list", async () => {
  const { tensors, format } = await read(FILE);
  assert.equal(format, "torch-legacy");
  assert.deepEqual(
    tensors.map(({ name, range, record }) => [name, FILE.toString("latin1", range.begin, range.end), record]),
    [
      ["a", "ijklmnop", undefined],
      ["b", "abcdefgh", undefined],
      ["c", "ijkl", undefined],
    ],
  );
});

test("digests pickles and counts, not data", async () => {
  const data = FILE.indexOf("abcdefgh") - 8;
  const count = FILE.subarray(data, data + 8);
  const expected = createHash("sha256").update(FILE.subarray(0, data)).update(count).update(count).digest("hex");
  assert.equal((await read(FILE)).digest, expected);
});

const changed = (at: number, byte: number): Buffer => {
  const file = Buffer.from(FILE);
  file[at] = byte;
  return file;
};
const REFUSED: readonly (readonly [why: string, file: Uint8Array, code: ErrorCode, message: RegExp])[] = [
  ["a file that ends within its pickles", FILE.subarray(0, 300), "TRUNCATED", /within its pickles/],
  ["a file that ends within a storage", FILE.subarray(0, -1), "TRUNCATED", /"71" ends at/],
  ["a file that ends before a count", FILE.subarray(0, -12), "TRUNCATED", /"71" ends at/],
  ["a file that goes on", Buffer.concat([FILE, Buffer.alloc(1)]), "TRUNCATED", /last storage ends/],
  ["another magic number", changed(6, 0), "FORMAT_INVALID", /magic/],
  [
    "a count that is not the pickle's",
    changed(FILE.indexOf("abcdefgh") - 8, 3),
    "FORMAT_INVALID",
    /"8" has 3 elements/,
  ],
  ["a negative count", changed(FILE.indexOf("abcdefgh") - 1, 0x80), "FORMAT_INVALID", /has -\d+ elements/],
  [
    "a storage that is not listed",
    torchLegacy(OBJECT, { 8: STORAGES[8] }),
    "FORMAT_INVALID",
    /"71" is not in the list/,
  ],
  [
    "a listed storage of no tensor",
    torchLegacy(OBJECT, { ...STORAGES, 9: STORAGES[8] }),
    "FORMAT_INVALID",
    /"9" belongs to no tensor/,
  ],
  [
    "a storage of two sizes",
    torchLegacy(pickleOf(dictOf({ a: t("8"), b: t("8", { numel: 1, size: [1] }) })), { 8: STORAGES[8] }),
    "FORMAT_INVALID",
    /two sizes/,
  ],
  [
    "a persistent id of five items",
    torchLegacy(pickleOf(dictOf({ a: tensorPickle() })), { 0: STORAGES[8] }),
    "FORMAT_INVALID",
    /way torch/,
  ],
  [
    "a view of a storage",
    torchLegacy(
      pickleOf(
        op.tupleOf(
          ...[op.text("storage"), op.global("torch", "FloatStorage"), op.text("8"), op.text("cpu"), op.int(2)],
          op.tupleOf(op.text("9"), op.int(0), op.int(2)),
        ),
        op.persistent,
      ),
      { 8: STORAGES[8] },
    ),
    "FORMAT_UNSUPPORTED",
    /view of another storage/,
  ],
  [
    "a whole module",
    torchLegacy(pickleOf(op.tupleOf(op.text("module"), op.none, op.none, op.none), op.persistent), {}),
    "FORMAT_UNSUPPORTED",
    /module/,
  ],
  [
    "a global outside the closed world",
    torchLegacy(pickleOf(op.global("os", "system")), {}),
    "PICKLE_GLOBAL",
    /"os\.system"/,
  ],
];
for (const [why, file, code, message] of REFUSED) {
  test(`refuses ${why}`, async () => {
    await refuses(() => read(file), code, message);
  });
}

test("refuses a list that names a storage twice", async () => {
  const list = pickleOf(op.emptyList, op.text("8"), op.append, op.text("71"), op.append);
  const twice = pickleOf(op.emptyList, op.text("8"), op.append, op.text("8"), op.append);
  const at = FILE.indexOf(list);
  const file = Buffer.concat([FILE.subarray(0, at), twice, FILE.subarray(at + list.length)]);
  await refuses(() => read(file), "FORMAT_INVALID", /different keys/);
});
