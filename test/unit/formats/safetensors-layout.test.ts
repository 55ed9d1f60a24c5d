import assert from "node:assert/strict";
import { test } from "node:test";
import { readSafetensors } from "../../../src/formats/safetensors.js";
import { layoutShard } from "../../../src/formats/safetensors-layout.js";
import type { ShardHeader } from "../../../src/formats/tensor-info.js";
import { memorySource } from "../../support/memory-source.js";
import { refuses } from "../../support/refusal.js";

const read = (bytes: Uint8Array): Promise<ShardHeader> => readSafetensors(memorySource(bytes, "m.safetensors"));

const SHARD = [
  { name: "small", dtype: "F32", shape: [3] },
  { name: "page", dtype: "F32", shape: [1024] },
  { name: "empty", dtype: "F32", shape: [0] },
  { name: "pages", dtype: "F16", shape: [4, 1024] },
  { name: 'odd "\u0001é😀', dtype: "BOOL", shape: [] },
] as const;

test("lays whole pages out first, the rest after them, on a page boundary", () => {
  const { header, ranges, size, directEnd } = layoutShard(SHARD, { name: "m" });
  const start = header.length;
  assert.equal(start, 4096);
  assert.deepEqual(
    ranges.map(({ begin, end }) => [begin - start, end - start]),
    [
      [12288, 12300],
      [0, 4096],
      [12300, 12300],
      [4096, 12288],
      [12300, 12301],
    ],
  );
  assert.equal(directEnd, start + 12288);
  assert.equal(size, start + 12301);
});

test("reads back what it laid out", async () => {
  const metadata = new Map([
    ["z", "\n"],
    ["a", "é"],
  ]);
  const { header, ranges, size } = layoutShard(SHARD, { name: "m", metadata });
  const shard = await read(Buffer.concat([header, Buffer.alloc(size - header.length)]));
  const byName = new Map(shard.tensors.map((found) => [found.name, found]));
  assert.deepEqual(shard.metadata, metadata);
  for (const [index, { name, dtype, shape }] of SHARD.entries()) {
    assert.deepEqual(byName.get(name), { name, path: [name], dtype, shape, range: ranges[index] });
  }
});

test("writes compact JSON, metadata first, in offset order, padded with spaces", () => {
  const text = Buffer.from(layoutShard(SHARD.slice(0, 2), { name: "m" }).header.subarray(8)).toString();
  assert.equal(
    text.trimEnd(),
    '{"__metadata__":{"format":"pt"},"page":{"dtype":"F32","shape":[1024],"data_offsets":[0,4096]},' +
      '"small":{"dtype":"F32","shape":[3],"data_offsets":[4096,4108]}}',
  );
  assert.match(text, /\} +$/);
});

test("lays out no tensors at all", async () => {
  const { header, size, directEnd } = layoutShard([], { name: "m" });
  assert.deepEqual([header.length, size, directEnd], [4096, 4096, 4096]);
  assert.deepEqual((await read(header)).tensors, []);
});

test("moves to the next page when the header fills one exactly", async () => {
  const named = (length: number): number =>
    layoutShard([{ name: "x".repeat(length), dtype: "U8", shape: [0] }], { name: "m" }).header.length;
  const overhead = Buffer.from(layoutShard([{ name: "", dtype: "U8", shape: [0] }], { name: "m" }).header)
    .toString()
    .trimEnd().length;
  assert.equal(named(4096 - overhead), 4096);
  assert.equal(named(4097 - overhead), 8192);
});

test("refuses to lay out a file that no reader would accept", async () => {
  const one = { name: "a", dtype: "F32", shape: [1] } as const;
  await refuses(() => layoutShard([one, one], { name: "m" }), "FORMAT_INVALID", /m: tensor "a" occurs twice/);
  await refuses(
    () => layoutShard([{ ...one, name: "__metadata__" }], { name: "m" }),
    "FORMAT_UNSUPPORTED",
    /cannot hold/,
  );
  await refuses(() => layoutShard([{ ...one, name: "\ud800" }], { name: "m" }), "FORMAT_UNSUPPORTED", /cannot hold/);
  await refuses(() => layoutShard([{ ...one, shape: [2 ** 52] }], { name: "m" }), "FORMAT_INVALID", /too large/);
  await refuses(() => layoutShard([{ ...one, name: "x".repeat(25_000_000) }], { name: "m" }), "LIMIT", /25000000/);
});
