/** Names keep their numbers, however they are spelled, and however many there are. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { JsonScanner } from "../../../src/formats/json-scanner.js";
import { Names, Places } from "../../../src/formats/names.js";
import { refuses } from "../../support/refusal.js";

const idsIn = (names: Names, json: string): number[] => {
  const ids: number[] = [];
  const scanner = new JsonScanner(json, "t");
  scanner.named(names, (id) => {
    ids.push(id);
    scanner.skip();
  });
  scanner.end();
  return ids;
};

test("a name has one number, in whatever object it stands, and whatever stands before it", () => {
  const names = new Names();
  const all = [
    "a",
    "ab",
    "b",
    "",
    "é",
    "名前",
    '"',
    "\\",
    "a\nb",
    "\u0001",
    "x".repeat(5000),
    "a b",
    "__proto__",
    "😀",
  ];
  const text = (list: readonly string[]): string => `{${list.map((one) => `${JSON.stringify(one)}: 1`).join(" ,\n")}}`;
  const first = idsIn(names, text(all));
  assert.deepEqual(
    first,
    all.map((_, id) => id),
  );
  for (const [id, name] of all.entries()) {
    assert.equal(names.textOf(id), name);
    assert.equal(names.idOf(name), id);
    assert.equal(names.add(name), id);
  }
  assert.equal(names.idOf("abc"), undefined);
  for (let shift = 0; shift < all.length; shift++) {
    const order = [...all.slice(shift), ...all.slice(0, shift)];
    for (const list of [order, order.toReversed(), order.filter((_, index) => index % 2 === 0)]) {
      assert.deepEqual(
        idsIn(names, text(list)),
        list.map((name) => all.indexOf(name)),
      );
    }
  }
  assert.equal(names.size, all.length);
});

test("an escaped name is the one that it spells", () => {
  const names = new Names();
  assert.deepEqual(idsIn(names, '{"weight":0,"w\\u00e9":0}'), [0, 1]);
  assert.deepEqual(idsIn(names, '{"\\u0077eight":0,"w\u00e9":0}'), [0, 1]);
  // Spelled as bytes, the next one would end at its quote.
  const quoted = new Names();
  assert.deepEqual(idsIn(quoted, '{"a\\"b":0}'), [0]);
  assert.deepEqual(idsIn(quoted, '{"a":"b"}'), [1]);
});

test("a name that comes twice is refused, wherever it stands and however it is spelled", async () => {
  const names = new Names();
  const many = Array.from({ length: 300 }, (_, index) => `"model.layers.${index}.weight":{"a":1}`);
  idsIn(names, `{${many.join(",")}}`);
  for (const json of [
    '{"a":1,"a":2}',
    '{"a":1,"\\u0061":2}',
    '{"new.one":1,"b":1,"new.one":2}',
    `{${many.join(",")},${many[0]}}`,
    `{${many.slice(7).join(",")},${many[299]}}`,
    `{${many.toReversed().join(",")},"x":1,${many[5]}}`,
  ]) {
    await refuses(async () => idsIn(names, json), "FORMAT_INVALID", /occurs twice/);
  }
});

test("what is wrong with a name is told as with any key", async () => {
  const names = new Names();
  names.add("abc");
  for (const [json, what] of [
    ['{"abc', /a string does not end/],
    ['{"ab', /a string does not end/],
    ['{"abc\u0001":1}', /control character/],
    ['{"ab\\x":1}', /unknown escape/],
    ['{"ab\\ud800":1}', /half a surrogate/],
    ["{abc:1}", /expected ", found "a"/],
    ['{"abc" 1}', /expected :, found "1"/],
    ['{"abc":1,}', /expected ", found "}"/],
    ['{"abc":1', /expected }, found the end/],
  ] as const) {
    await refuses(async () => idsIn(names, json), "FORMAT_INVALID", what);
  }
});

test("names that fall on one place of the table are told apart, before and after it grows", () => {
  const names = new Names();
  // One hash for all: the table has room for eight of them near it.
  const spelled = Array.from({ length: 400 }, (_, index) => Buffer.from(`n${index}`));
  const add = (bytes: Buffer): number => names.idAt(bytes, 0, bytes.length, 12345);
  assert.deepEqual(
    spelled.map(add),
    spelled.map((_, index) => index),
  );
  assert.deepEqual(
    spelled.map(add),
    spelled.map((_, index) => index),
  );
  const others = Array.from({ length: 3000 }, (_, index) => `other.${index}`);
  const numbers = others.map((name) => names.add(name));
  assert.deepEqual(
    others.map((name) => names.idOf(name)),
    numbers,
  );
  assert.equal(new Set(numbers).size, others.length);
});

test("each number is found at its place, in order and out of order, and others are not", () => {
  const ids = Int32Array.of(5, 3, 9, 0);
  const places = new Places(ids);
  for (const asked of [
    [5, 3, 9, 0],
    [0, 9, 3, 5],
    [5, 1, 3, 100, 9, 9, 0, 0, 5],
    [7, 7, 5],
  ]) {
    assert.deepEqual(
      asked.map((id) => places.of(id)),
      asked.map((id) => ids.indexOf(id)),
    );
  }
  assert.equal(new Places(new Int32Array()).of(0), -1);
});
