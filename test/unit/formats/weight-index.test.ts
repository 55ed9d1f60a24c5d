import assert from "node:assert/strict";
import { test } from "node:test";
import { parseWeightIndex, writeWeightIndex } from "../../../src/formats/weight-index.js";
import { refuses } from "../../support/refusal.js";

const parse = (value: unknown): ReturnType<typeof parseWeightIndex> =>
  parseWeightIndex(typeof value === "string" ? value : JSON.stringify(value), "model.safetensors.index.json");

test("reads the map in the file's order, whatever the order of the fields", () => {
  const index = parse({ weight_map: { b: "2.bin", a: "1.bin" }, other: [1], metadata: { x: {}, total_size: 5 } });
  assert.deepEqual(
    [...index.weightMap],
    [
      ["b", "2.bin"],
      ["a", "1.bin"],
    ],
  );
  assert.equal(index.totalSize, 5);
});

test("takes a total_size that is a float, and ignores one that is not a size", () => {
  const total = (metadata: unknown): number | null => parse({ metadata, weight_map: { a: "1" } }).totalSize;
  assert.equal(total({ total_size: 13476839424.0 }), 13476839424);
  assert.equal(parse('{"metadata":{"total_size":1.34e10},"weight_map":{"a":"1"}}').totalSize, 13_400_000_000);
  for (const metadata of [
    { total_size: 1.5 },
    { total_size: -1 },
    { total_size: "5" },
    { total_size: null },
    {},
    null,
    [],
    "x",
  ]) {
    assert.equal(total(metadata), null, JSON.stringify(metadata));
  }
  assert.equal(parse({ weight_map: { a: "1" } }).totalSize, null);
});

test("takes the NaN and Infinity of Python's json for no size", () => {
  const text = '{"metadata": {"total_size": NaN, "loss": -Infinity}, "scale": Infinity, "weight_map": {"a": "1.bin"}}';
  assert.deepEqual(parse(text), { weightMap: new Map([["a", "1.bin"]]), totalSize: null, isUpdate: false });
});

test("takes any tensor name", () => {
  const names = ["", "__proto__", "constructor", "a\0b"];
  const index = parse(`{"weight_map":{${names.map((name) => `${JSON.stringify(name)}:"1.bin"`).join(",")}}}`);
  assert.deepEqual([...index.weightMap.keys()], names);
});

for (const shard of [
  "",
  ".",
  "..",
  "../x",
  "a/b",
  "/etc/passwd",
  "a\\b",
  "C:x",
  "C:\\x",
  "a\0.bin",
  "x\n",
  "\u007f",
  "x".repeat(256),
]) {
  test(`refuses the shard name ${JSON.stringify(shard.slice(0, 20))}`, async () => {
    await refuses(
      () => parse({ weight_map: { w: shard } }),
      "FORMAT_INVALID",
      /tensor "w" is said to be in ".*not a bare file name/,
    );
  });
}

test("refuses text that is not an index", async () => {
  await refuses(() => parse("{}"), "FORMAT_INVALID", /no weight_map/);
  await refuses(() => parse({ weight_map: {} }), "FORMAT_INVALID", /empty/);
  await refuses(() => parse({ weight_map: [] }), "FORMAT_INVALID", /JSON/);
  await refuses(() => parse({ weight_map: { a: 1 } }), "FORMAT_INVALID", /JSON/);
  await refuses(() => parse("<html>"), "FORMAT_INVALID", /JSON/);
  await refuses(() => parse('{"weight_map":{"a":"1","a":"2"}}'), "FORMAT_INVALID", /"a" occurs twice/);
  await refuses(() => parse('{"weight_map":{"a":"1"},"weight_map":{"a":"1"}}'), "FORMAT_INVALID", /twice/);
  await refuses(() => parse(" ".repeat(32_000_001)), "LIMIT", /32000001/);
});

test("writes the same text as json.dumps(indent=2, sort_keys=True)", () => {
  const map = new Map([
    ["z.10", "b.safetensors"],
    ["\ud83d\ude00", "a.safetensors"],
    ["\uff5e", "a.safetensors"],
    ['"é\\\u007f\n/', "a.safetensors"],
    ["z.2", "b.safetensors"],
  ]);
  assert.equal(
    writeWeightIndex(map, 16),
    '{\n  "metadata": {\n    "total_size": 16\n  },\n  "weight_map": {\n' +
      '    "\\"\\u00e9\\\\\\u007f\\n/": "a.safetensors",\n    "z.10": "b.safetensors",\n    "z.2": "b.safetensors",\n' +
      '    "\\uff5e": "a.safetensors",\n    "\\ud83d\\ude00": "a.safetensors"\n  }\n}\n',
  );
  assert.equal(
    writeWeightIndex(new Map(), 0),
    '{\n  "metadata": {\n    "total_size": 0\n  },\n  "weight_map": {}\n}\n',
  );
});
