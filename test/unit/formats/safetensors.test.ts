import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import type { ErrorCode } from "../../../src/errors.js";
import { readSafetensors } from "../../../src/formats/safetensors.js";
import type { ShardHeader } from "../../../src/formats/tensor-info.js";
import { safetensorsFile, u64 } from "../../support/hostile-files.js";
import { memorySource } from "../../support/memory-source.js";
import { refuses } from "../../support/refusal.js";

const read = (bytes: Uint8Array): Promise<ShardHeader> => readSafetensors(memorySource(bytes, "m.safetensors"));
const tensor = (dtype: unknown, shape: unknown, data_offsets: unknown): object => ({ dtype, shape, data_offsets });
const i32 = tensor("I32", [2, 2], [0, 16]);

/** docs/formats.md 2.2, and the README's promises that the Rust library does not keep. */
const ACCEPTED: readonly (readonly [why: string, header: unknown, data: number, names: readonly string[]])[] = [
  ["an empty header object", "{}", 0, []],
  ["white space around the header", '\n\t {"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}   ', 1, ["a"]],
  ["unknown fields in a tensor", { a: { ...i32, x: [{ y: [null, 1.5e3] }] } }, 16, ["a"]],
  ["__metadata__ null", { __metadata__: null, a: i32 }, 16, ["a"]],
  ["a tensor as an array", { a: ["I32", [2, 2], [0, 16]] }, 16, ["a"]],
  ["a dtype as an object", { a: tensor({ I32: null }, [2, 2], [0, 16]) }, 16, ["a"]],
  ["an empty name", { "": i32 }, 16, [""]],
  ["NUL in a name", { "a\0b": i32 }, 16, ["a\0b"]],
  ["__proto__ as a name", '{"__proto__":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', 1, ["__proto__"]],
  ["a scalar", { a: tensor("F64", [], [0, 8]) }, 8, ["a"]],
  ["a header length that is no multiple of 8", '{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}} ', 0, ["a"]],
  ["a size-0 dimension beside a large one", { a: tensor("F32", [0, 2 ** 53 - 1], [0, 0]) }, 0, ["a"]],
  [
    "empty tensors between others",
    { z: i32, b: tensor("U8", [0], [16, 16]), a: tensor("U8", [0], [0, 0]) },
    16,
    ["a", "z", "b"],
  ],
  ["packed 4-bit elements of whole bytes", { a: tensor("F4", [4], [0, 2]) }, 2, ["a"]],
  ["packed 6-bit elements of whole bytes", { a: tensor("F6_E2M3", [4], [0, 3]) }, 3, ["a"]],
];
for (const [why, header, data, names] of ACCEPTED) {
  test(`accepts ${why}`, async () => {
    const shard = await read(safetensorsFile(header, data));
    assert.deepEqual(
      shard.tensors.map(({ name }) => name),
      names,
    );
    assert.deepEqual(
      shard.tensors.map(({ path }) => path),
      names.map((name) => [name]),
    );
  });
}

const REFUSED: readonly (readonly [why: string, file: Uint8Array, code: ErrorCode, message: RegExp])[] = [
  ["an empty file", Buffer.alloc(0), "TRUNCATED", /0 bytes/],
  ["a file below 8 bytes", Buffer.alloc(7), "TRUNCATED", /7 bytes/],
  ["a header above 25 MB", u64(25_000_001), "LIMIT", /25000001 bytes/],
  ["a header length of 2^64 - 1", u64(2n ** 64n - 1n), "LIMIT", /18446744073709551615/],
  ["a header that is cut off", safetensorsFile({ a: i32 }, 16).subarray(0, 20), "TRUNCATED", /has 20 bytes/],
  [
    "a header that is not UTF-8",
    Buffer.concat([u64(4), Buffer.from([0x7b, 0xff, 0x22, 0x7d])]),
    "FORMAT_INVALID",
    /UTF-8/,
  ],
  ["a byte order mark", safetensorsFile("\ufeff{}"), "FORMAT_INVALID", /JSON/],
  ["an empty header", safetensorsFile(""), "FORMAT_INVALID", /JSON/],
  ["trailing NUL padding", safetensorsFile("{}\0\0"), "FORMAT_INVALID", /follows/],
  ["an array for a header", safetensorsFile("[]"), "FORMAT_INVALID", /JSON/],
  ["data that ends early", safetensorsFile({ a: i32 }, 15), "TRUNCATED", /describes/],
  ["data that goes on", safetensorsFile({ a: i32 }, 17), "TRUNCATED", /describes/],
  [
    "a hole at the beginning",
    safetensorsFile({ a: tensor("U8", [1], [1, 2]) }, 2),
    "FORMAT_INVALID",
    /expected to begin at 0/,
  ],
  [
    "a hole between tensors",
    safetensorsFile({ a: tensor("U8", [1], [0, 1]), b: tensor("U8", [1], [2, 3]) }, 3),
    "FORMAT_INVALID",
    /"b" has data_offsets \[2, 3\], expected to begin at 1/,
  ],
  [
    "overlapping tensors",
    safetensorsFile({ a: tensor("U8", [2], [0, 2]), b: tensor("U8", [2], [1, 3]) }, 3),
    "FORMAT_INVALID",
    /"b".*overlap/,
  ],
  ["two tensors on the same bytes", safetensorsFile({ a: i32, b: i32 }, 16), "FORMAT_INVALID", /"b"/],
  [
    "an empty tensor inside another",
    safetensorsFile({ a: tensor("U8", [4], [0, 4]), b: tensor("U8", [0], [2, 2]) }, 4),
    "FORMAT_INVALID",
    /"b"/,
  ],
  [
    "an end before its begin",
    safetensorsFile({ a: tensor("U8", [0], [0, 0]), b: tensor("U8", [1], [0, -1]) }),
    "FORMAT_INVALID",
    /whole/,
  ],
  ["reversed offsets", safetensorsFile({ a: tensor("U8", [1], [4, 0]) }, 4), "FORMAT_INVALID", /"a"/],
  [
    "a size that is not shape times dtype",
    safetensorsFile({ a: tensor("F32", [2], [0, 4]) }, 4),
    "FORMAT_INVALID",
    /takes 8/,
  ],
  [
    "an overflowing shape",
    safetensorsFile({ a: tensor("U8", [2 ** 52, 2 ** 52, 0], [0, 0]) }),
    "FORMAT_INVALID",
    /too large/,
  ],
  ["half a byte", safetensorsFile({ a: tensor("F4", [3], [0, 1]) }, 1), "FORMAT_INVALID", /whole number of bytes/],
  [
    "a dimension of 2^64 - 1",
    safetensorsFile('{"a":["U8",[18446744073709551615,0],[0,0]]}'),
    "FORMAT_INVALID",
    /2\^53/,
  ],
  ["16.0 as an offset", safetensorsFile('{"a":["I32",[2,2],[0,16.0]]}', 16), "FORMAT_INVALID", /16\.0/],
  ["1.6e1 as an offset", safetensorsFile('{"a":["I32",[2,2],[0,1.6e1]]}', 16), "FORMAT_INVALID", /1\.6e1/],
  ["-0 as an offset", safetensorsFile('{"a":["I32",[2,2],[-0,16]]}', 16), "FORMAT_INVALID", /-0/],
  ["a string as an offset", safetensorsFile('{"a":["I32",[2,2],["0",16]]}', 16), "FORMAT_INVALID", /number/],
  ["one offset", safetensorsFile({ a: tensor("U8", [0], [0]) }), "FORMAT_INVALID", /1 data_offsets/],
  ["three offsets", safetensorsFile({ a: tensor("U8", [0], [0, 0, 0]) }), "FORMAT_INVALID", /3 data_offsets/],
  [
    "a lower-case dtype",
    safetensorsFile({ a: tensor("f32", [1], [0, 4]) }, 4),
    "FORMAT_UNSUPPORTED",
    /"a" has the dtype "f32"/,
  ],
  ["__proto__ as a dtype", safetensorsFile({ a: tensor("__proto__", [1], [0, 4]) }, 4), "FORMAT_UNSUPPORTED", /dtype/],
  ["a dtype with a value", safetensorsFile({ a: tensor({ U8: 1 }, [1], [0, 1]) }, 1), "FORMAT_INVALID", /JSON/],
  ["two dtypes", safetensorsFile({ a: tensor({ U8: null, I8: null }, [1], [0, 1]) }, 1), "FORMAT_INVALID", /one name/],
  ["a tensor without shape", safetensorsFile({ a: { dtype: "U8", data_offsets: [0, 0] } }), "FORMAT_INVALID", /lacks/],
  ["a tensor that is null", safetensorsFile({ a: null }), "FORMAT_INVALID", /expected/],
  ["an array of four", safetensorsFile({ a: ["U8", [0], [0, 0], 1] }), "FORMAT_INVALID", /more than/],
  ...[1, 2.5, null, true, [1], { a: "b" }].map((value): [string, Uint8Array, ErrorCode, RegExp] => [
    `metadata that is ${JSON.stringify(value)}`,
    safetensorsFile({ __metadata__: { format: "pt", step: value } }),
    "FORMAT_INVALID",
    /header: __metadata__ values must be strings \("step"\)$/,
  ]),
  ["metadata without a value", safetensorsFile('{"__metadata__":{"a":}}'), "FORMAT_INVALID", /expected/],
  ["metadata that is an array", safetensorsFile({ __metadata__: [] }), "FORMAT_INVALID", /expected/],
  [
    "a tensor name that comes twice",
    safetensorsFile('{"a":["U8",[0],[0,0]],"\\u0061":["U8",[0],[0,0]]}'),
    "FORMAT_INVALID",
    /twice/,
  ],
  [
    "__metadata__ that comes twice",
    safetensorsFile('{"__metadata__":{},"__metadata__":{}}'),
    "FORMAT_INVALID",
    /twice/,
  ],
  ["a metadata key that comes twice", safetensorsFile('{"__metadata__":{"a":"","a":""}}'), "FORMAT_INVALID", /twice/],
  [
    "a field that comes twice",
    safetensorsFile('{"a":{"dtype":"U8","dtype":"U8","shape":[0],"data_offsets":[0,0]}}'),
    "FORMAT_INVALID",
    /twice/,
  ],
  ["lone surrogate escapes", safetensorsFile('{"\\ud800":["U8",[0],[0,0]]}'), "FORMAT_INVALID", /surrogate/],
  [
    "fields nested past 127 levels",
    safetensorsFile(`{"a":{"x":${"[".repeat(126)}${"]".repeat(126)},"dtype":"U8","shape":[0],"data_offsets":[0,0]}}`),
    "LIMIT",
    /127/,
  ],
];
for (const [why, file, code, message] of REFUSED) {
  test(`refuses ${why}`, async () => {
    await refuses(() => read(file), code, message);
  });
}

test("gives absolute ranges by offset, metadata and a digest of the header", async () => {
  const file = safetensorsFile({ __metadata__: { format: "pt" }, late: tensor("F16", [3], [16, 22]), early: i32 }, 22);
  const shard = await read(file);
  const start = file.length - 22;
  assert.deepEqual(shard.tensors, [
    { name: "early", path: ["early"], dtype: "I32", shape: [2, 2], range: { begin: start, end: start + 16 } },
    { name: "late", path: ["late"], dtype: "F16", shape: [3], range: { begin: start + 16, end: start + 22 } },
  ]);
  assert.deepEqual([...shard.metadata], [["format", "pt"]]);
  assert.equal(shard.format, "safetensors");
  assert.equal(shard.digest, createHash("sha256").update(file.subarray(0, start)).digest("hex"));
});
