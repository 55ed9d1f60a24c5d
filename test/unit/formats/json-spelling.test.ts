/** An entry that is spelled like the one before, but for its numbers, means what it would mean alone. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { readSafetensors } from "../../../src/formats/safetensors.js";
import { safetensorsFile } from "../../support/hostile-files.js";
import { memorySource } from "../../support/memory-source.js";
import { refuses } from "../../support/refusal.js";

const read = (header: string, data: number) => readSafetensors(memorySource(safetensorsFile(header, data)));

/** How an entry can be spelled: its size comes once, and its offsets. */
const SPELLINGS: readonly ((size: string, begin: string, end: string) => string)[] = [
  (size, begin, end) => `{"dtype":"U8","shape":[${size}],"data_offsets":[${begin},${end}]}`,
  (size, begin, end) => ` {"data_offsets" : [${begin}, ${end} ], "shape":[${size},1], "dtype":"U8"}`,
  (size, begin, end) => `["U8",[${size}],[${begin},${end}]]`,
  (size, begin, end) => `{"x":[7,{"y":"8"}],"dtype":{"U8":null},"shape":[1,${size}],"data_offsets":[${begin},${end}]}`,
];
const entry = (spelled: (typeof SPELLINGS)[number], name: string, begin: number, end: number): string =>
  `"${name}":${spelled(String(end - begin), String(begin), String(end))}`;

test("entries have their own numbers, however they and their neighbours are spelled", async () => {
  const sizes = [0, 1, 9, 10, 0, 99, 100, 3];
  for (const one of SPELLINGS) {
    for (const other of SPELLINGS) {
      let at = 0;
      const entries = sizes.map((size, index) => {
        at += size;
        return entry(index % 3 === 2 ? other : one, `t.${index}`, at - size, at);
      });
      const { tensors } = await read(`{${entries.join(",")}}`, at);
      const found = new Map(tensors.map(({ name, shape, range }) => [name, [shape, range.end - range.begin]]));
      for (const [index, size] of sizes.entries()) {
        const [shape, bytes] = found.get(`t.${index}`) ?? [];
        assert.deepEqual((shape as number[]).filter((extent) => extent !== 1).join(), size === 1 ? "" : String(size));
        assert.equal(bytes, size);
      }
    }
  }
});

test("a number that alone would be refused is refused after one that is spelled alike", async () => {
  const spelled = SPELLINGS[0] as (typeof SPELLINGS)[number];
  const first = entry(spelled, "a", 0, 5);
  for (const size of ["05", "00", "", "-5", "5.0", "5e0", '"5"', "9007199254740992", "5 5", "5,", "\u0665"]) {
    for (const entries of [[`"b":${spelled(size, "5", "10")}`], [first, `"b":${spelled(size, "5", "10")}`]]) {
      await refuses(
        () => read(`{${entries.join(",")}}`, 10),
        "FORMAT_INVALID",
        /expected|lacks|below|number|not the JSON|takes/,
      );
    }
  }
  for (const cut of ['"b":{"dtype":"U8","shape":[5],"data_offsets":[5,10', '"b":{"dtype":"U8","sha', '"b":']) {
    await refuses(
      () => read(`{${first},${cut}`, 10),
      "FORMAT_INVALID",
      /expected|lacks|below|number|not the JSON|takes/,
    );
  }
});
