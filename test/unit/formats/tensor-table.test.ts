/** A header in columns is what it is as a list, in the order of its offsets; its texts are read when somebody asks. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Names } from "../../../src/formats/names.js";
import { type HeaderTable, readHeaderTable, readSafetensors } from "../../../src/formats/safetensors.js";
import { safetensorsFile } from "../../support/hostile-files.js";
import { memorySource } from "../../support/memory-source.js";

const HEX = "00112233445566778899aabbccddeeff";

function tableOf(header: string, data: number, names = new Names()): Promise<HeaderTable> {
  return readHeaderTable(memorySource(safetensorsFile(header, data)), undefined, names);
}

test("rows are in the order of the offsets, then of the names, whatever the order of the header", async () => {
  const entries = [
    '"d":{"dtype":"F32","shape":[2,3],"data_offsets":[8,32]}',
    '"c":{"dtype":"U8","shape":[0],"data_offsets":[8,8]}',
    '"b":{"dtype":"I16","shape":[],"data_offsets":[6,8]}',
    '"\\u0061":["BOOL",[2,1,3],[0,6]]',
    '"e":{"x":[1,{"dtype":2}],"data_offsets":[32,32],"shape":[7,0,1],"dtype":{"F64":null}}',
  ];
  const expected = [
    ["a", "BOOL", [2, 1, 3], 6],
    ["b", "I16", [], 2],
    ["c", "U8", [0], 0],
    ["d", "F32", [2, 3], 24],
    ["e", "F64", [7, 0, 1], 0],
  ];
  for (let shift = 0; shift < entries.length; shift++) {
    const order = [...entries.slice(shift), ...entries.slice(0, shift)];
    for (const list of [order, order.toReversed()]) {
      const { tensors } = await tableOf(`{${list.join(",")}}`, 32);
      assert.deepEqual(
        [...tensors].map(({ name, dtype, shape, range }) => [name, dtype, shape, range.end - range.begin]),
        expected,
      );
      for (const [row, one] of [...tensors].entries()) {
        assert.deepEqual(tensors.at(row), one);
        assert.equal(tensors.rowOf(tensors.names.idOf(one.name) ?? -1), row);
        assert.equal(tensors.rankOf(row), one.shape.length);
      }
      const { tensors: listed } = await readSafetensors(memorySource(safetensorsFile(`{${list.join(",")}}`, 32)));
      assert.deepEqual(listed, [...tensors]);
    }
  }
});

test("columns grow with a header that has more than any before it", async () => {
  const names = new Names();
  for (const count of [3, 700, 40, 701]) {
    const entries = Array.from(
      { length: count },
      (_, at) => `"t.${at}":{"dtype":"U8","shape":[1,2],"data_offsets":[${2 * at},${2 * at + 2}]}`,
    );
    const texts = Array.from({ length: count }, (_, at) => `"t.${count - at}":"${at}"`);
    const { tensors, metadata } = await tableOf(
      `{"__metadata__":{${texts.join(",")}},${entries.join(",")}}`,
      2 * count,
      names,
    );
    assert.equal(tensors.length, count);
    assert.deepEqual(tensors.at(count - 1).shape, [1, 2]);
    assert.equal(tensors.at(count - 1).name, `t.${count - 1}`);
    assert.equal(metadata.get(`t.${count}`), "0");
    assert.equal(metadata.get("t.0"), undefined);
    assert.equal([...metadata].length, count);
  }
});

test("hex is read as bytes only if it is lower case, spelled plainly, and of that length", async () => {
  const texts: Readonly<Record<string, string>> = {
    good: HEX,
    upper: HEX.toUpperCase(),
    short: HEX.slice(2),
    long: `${HEX}00`,
    other: HEX.replace("a", "g"),
    empty: "",
  };
  const list = Object.entries(texts).map(([name, text]) => `"${name}":"${text}"`);
  const { metadata } = await tableOf(`{"__metadata__":{${list.join(",")},"spelled":"\\u0030${HEX.slice(1)}"}}`, 0);
  const target = new Uint8Array(16);
  const reads = (name: string): boolean => metadata.readHex(metadata.rowOf(metadata.names.idOf(name) ?? -1), target);
  assert.equal(reads("good"), true);
  assert.equal(Buffer.from(target).toString("hex"), HEX);
  for (const name of ["upper", "short", "long", "other", "empty", "spelled"]) {
    assert.equal(reads(name), false, name);
  }
  assert.equal(metadata.get("spelled"), HEX);
  assert.equal(metadata.has("good"), true);
  assert.equal(metadata.has("absent"), false);
});
