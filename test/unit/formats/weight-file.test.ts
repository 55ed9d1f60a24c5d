import assert from "node:assert/strict";
import { test } from "node:test";
import type { ErrorCode } from "../../../src/errors.js";
import { readWeightFile } from "../../../src/formats/weight-file.js";
import {
  dictOf,
  pickleOf,
  safetensorsFile,
  tensorPickle,
  torchLegacy,
  torchZip,
  u64,
} from "../../support/hostile-files.js";
import { memorySource } from "../../support/memory-source.js";
import { refuses } from "../../support/refusal.js";

test("tells the three formats apart by their bytes, not their names", async () => {
  const files = {
    safetensors: safetensorsFile({ a: { dtype: "U8", shape: [1], data_offsets: [0, 1] } }, 1),
    "torch-zip": torchZip(pickleOf(dictOf({ a: tensorPickle() }))),
    "torch-legacy": torchLegacy(pickleOf(dictOf({ a: tensorPickle({}, true) })), { 0: Buffer.alloc(8) }),
  };
  for (const [format, bytes] of Object.entries(files)) {
    for (const name of ["x.bin", "x.safetensors", "x"]) {
      assert.equal((await readWeightFile(memorySource(bytes, name))).format, format);
    }
  }
});

test("is not misled by a tensor named ustar at byte 257", async () => {
  const name = `${"x".repeat(257 - 10)}ustar`;
  const file = safetensorsFile({ [name]: { dtype: "U8", shape: [0], data_offsets: [0, 0] } });
  assert.equal(Buffer.from(file).indexOf("ustar"), 257);
  assert.equal((await readWeightFile(memorySource(file))).tensors[0]?.name, name);
});

const tar = Buffer.alloc(1024, "pickle");
tar.write("ustar", 257);
const latin1 = (text: string): Buffer => Buffer.from(text, "latin1");
const UNSUPPORTED: readonly (readonly [what: string, bytes: Uint8Array, code: ErrorCode, message: RegExp])[] = [
  ["an empty file", Buffer.alloc(0), "NOT_WEIGHTS", /is empty/],
  [
    "a git-lfs pointer",
    latin1("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"),
    "NOT_WEIGHTS",
    /git-lfs pointer/,
  ],
  ["an HTML page", latin1("\n <!DOCTYPE html><title>404</title>"), "NOT_WEIGHTS", /HTML page/],
  ["a JSON message", latin1('{"error":"Repository not found"}'), "NOT_WEIGHTS", /JSON/],
  ["a text message", latin1("Entry not found"), "NOT_WEIGHTS", /is text/],
  ["zeros", Buffer.alloc(4096), "NOT_WEIGHTS", /zeros/],
  [
    "an xor diff of zip files",
    Buffer.concat([Buffer.alloc(30), latin1("\x17\xfe")]),
    "FORMAT_UNSUPPORTED",
    /xor-encrypted diff \(OpenAssistant, Pygmalion\)/,
  ],
  [
    "an xor diff of another kind",
    latin1("\x17\xfe\x99\x01\x80\x81\x82\x83\x84"),
    "FORMAT_UNSUPPORTED",
    /perhaps .*xor/,
  ],
  ["a tar file", tar, "FORMAT_UNSUPPORTED", /tar file/],
  ["an empty zip", latin1(`PK\x05\x06${"\0".repeat(18)}`), "FORMAT_UNSUPPORTED", /empty zip/],
  ["a split zip", latin1("PK\x07\x08PK\x03\x04"), "FORMAT_UNSUPPORTED", /split zip/],
  ["a gzip file", latin1("\x1f\x8b\x08\0\0\0\0\0\0\x03"), "FORMAT_UNSUPPORTED", /compressed/],
  ["a GGUF file", latin1("GGUF\x03\0\0\0\0"), "FORMAT_UNSUPPORTED", /GGUF/],
  ["a GGML file", latin1("tjgg\x03\0\0\0\0"), "FORMAT_UNSUPPORTED", /GGML/],
  ["a NumPy array", latin1("\x93NUMPY\x01\0v\0{"), "FORMAT_UNSUPPORTED", /NumPy/],
  ["an HDF5 file", latin1("\x89HDF\r\n\x1a\n\0"), "FORMAT_UNSUPPORTED", /HDF5/],
  ["a bare pickle", pickleOf(dictOf({})), "FORMAT_UNSUPPORTED", /bare pickle/],
  ["a zip without end", torchZip(pickleOf(dictOf({}))).subarray(0, 100), "TRUNCATED", /no end record/],
  ["nine bytes of a legacy file", latin1("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9"), "TRUNCATED", /within its pickles/],
];
for (const [what, bytes, code, message] of UNSUPPORTED) {
  test(`refuses ${what} by name`, async () => {
    await refuses(() => readWeightFile(memorySource(bytes, "x.bin")), code, message);
    await refuses(() => readWeightFile(memorySource(bytes, "x.bin")), code, /^x\.bin: /);
  });
}

test("gives every refusal of a stranger a remedy", async () => {
  for (const [what, bytes] of UNSUPPORTED) {
    const error = await readWeightFile(memorySource(bytes, "x.bin")).catch((caught) => caught);
    assert.match(error.hint, /^[a-z]/, what);
  }
});

test("believes the name .safetensors if the bytes do not tell", async () => {
  const odd = Buffer.concat([u64(2n ** 40n + 255n), Buffer.from([0xff])]);
  await refuses(() => readWeightFile(memorySource(odd, "x.safetensors")), "LIMIT", /header of 1099511628031 bytes/);
  await refuses(() => readWeightFile(memorySource(Buffer.from([0xff, 1]), "x.safetensors")), "TRUNCATED", /2 bytes/);
});
