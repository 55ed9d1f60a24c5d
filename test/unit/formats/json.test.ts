import assert from "node:assert/strict";
import { test } from "node:test";
import { parseJson, parseJsonMaps, topLevelSpans } from "../../../src/formats/json.js";
import { JsonScanner } from "../../../src/formats/json-scanner.js";
import { refuses } from "../../support/refusal.js";

test("reads everything that JSON.parse reads", () => {
  for (const text of [
    "null",
    ' [1, -2.5e3, "a\\u00e9\\n\\ud83d\\ude00/\\/", true, false, {}] ',
    '{"a":{"b":[[]]},"":0}',
    "1e5",
    "-0",
  ]) {
    assert.deepEqual(JSON.parse(JSON.stringify(parseJson(text, "t"))), JSON.parse(JSON.stringify(JSON.parse(text))));
  }
});

test("keeps __proto__ as a key like any other", () => {
  const value = parseJson('{"__proto__":{"polluted":1}}', "t");
  assert.deepEqual(Object.keys(value as object), ["__proto__"]);
  assert.equal(Object.getPrototypeOf(value), null);
});

const REFUSED: readonly (readonly [why: string, text: string])[] = [
  ["duplicate keys", '{"a":1,"a":2}'],
  ["a duplicate key that is spelled otherwise", '{"a":1,"\\u0061":2}'],
  ["duplicate keys in what is passed over", '[{"a":1,"a":2}]'],
  ["raw control characters", '"a\u0001"'],
  ["a raw line break in a string", '"a\nb"'],
  ["half a surrogate pair, high", '"\\ud800"'],
  ["half a surrogate pair, low", '"\\udc00"'],
  ["two high surrogates", '"\\ud800\\ud800"'],
  ["an unknown escape", '"\\x41"'],
  ["a short escape", '"\\u12"'],
  ["a string without end", '"abc'],
  ["an escape at the end", '"abc\\'],
  ["NaN", "NaN"],
  ["Infinity", "-Infinity"],
  ["comments", "[1/*x*/]"],
  ["a trailing comma in an array", "[1,]"],
  ["a trailing comma in an object", '{"a":1,}'],
  ["trailing bytes", "{} x"],
  ["a trailing NUL", "{}\0"],
  ["a byte order mark", "\ufeff{}"],
  ["white space that JSON does not know", "\u00a0{}"],
  ["leading zeros", "01"],
  ["a bare minus", "-"],
  ["a plus", "+1"],
  ["a point without digits", "1."],
  ["a number that begins with a point", ".5"],
  ["an empty exponent", "1e+"],
  ["a number past a double", "1e999"],
  ["single quotes", "{'a':1}"],
  ["a missing colon", '{"a" 1}'],
  ["a missing comma", "[1 2]"],
  ["the empty text", ""],
  ["an open object", '{"a":'],
  ["a misspelt literal", "nul"],
];
for (const [why, text] of REFUSED) {
  test(`refuses ${why}`, async () => {
    await refuses(() => parseJson(text, "t.json"), "FORMAT_INVALID", /^t\.json: is not the JSON expected/);
    await refuses(() => topLevelSpans(`{"x":${text}}`.replace('{"x":{} x}', "{} x"), "t"), "FORMAT_INVALID", /^t: is/);
  });
}

test("in the dialect python, also reads the numbers that Python's json writes, and nothing else", async () => {
  const value = parseJson('{"a": NaN, "b": [Infinity, -Infinity, 1e999, -2]}', "t", "python");
  const infinite = Number.POSITIVE_INFINITY;
  assert.deepEqual({ ...(value as object) }, { a: Number.NaN, b: [infinite, -infinite, infinite, -2] });
  assert.deepEqual([...topLevelSpans('{"a": -Infinity}', "t", "python")], [["a", { start: 6, end: 15 }]]);
  for (const text of ["nan", "NaNs", "+Infinity", "- Infinity", "-NaN", "Inf", '{"a":1,"a":2}', "\ufeff{}", "[1,]"]) {
    await refuses(() => parseJson(text, "t.json", "python"), "FORMAT_INVALID", /^t\.json: is not the JSON expected/);
  }
});

test("takes 127 levels and refuses 128, wherever they stand", async () => {
  const nested = (depth: number): string => "[".repeat(depth) + "]".repeat(depth);
  assert.ok(Array.isArray(parseJson(nested(127), "t")));
  await refuses(() => parseJson(nested(128), "t"), "LIMIT", /127 levels/);
  await refuses(() => topLevelSpans(`{"a":${nested(127)}}`, "t"), "LIMIT", /127 levels/);
  await refuses(() => parseJson("[".repeat(1_000_000), "t"), "LIMIT", /127 levels/);
  await refuses(() => parseJson('{"a":'.repeat(1_000_000), "t"), "LIMIT", /127 levels/);
});

test("counts depth anew after each sibling", () => {
  assert.ok(parseJson(`[${Array(300).fill("[[]]").join(",")}]`, "t"));
});

test("reads integers only as digits below 2^53", async () => {
  const read = (text: string): number => new JsonScanner(text, "t").integer();
  assert.equal(read("0"), 0);
  assert.equal(read(" 9007199254740991"), 2 ** 53 - 1);
  for (const text of ["16.0", "1.6e1", "-0", "-1", '"0"', "1e3", "9007199254740992", "18446744073709551615"]) {
    await refuses(() => read(text), "FORMAT_INVALID", /number|digits/);
  }
  await refuses(() => read("9".repeat(1_000_000)), "FORMAT_INVALID", /2\^53/);
});

test("passes over integers past 2^53", () => {
  assert.deepEqual([...topLevelSpans('{"a":18446744073709551615}', "t")], [["a", { start: 5, end: 25 }]]);
});

test("finds the text of each top-level value", () => {
  const text = '{\n  "torch_dtype" : "float16",\n  "x": {"torch_dtype": 1},\n  "vocab_size":32001\n}\n';
  const spans = topLevelSpans(text, "config.json");
  assert.deepEqual([...spans.keys()], ["torch_dtype", "x", "vocab_size"]);
  const values = [...spans.values()].map(({ start, end }) => text.slice(start, end));
  assert.deepEqual(values, ['"float16"', '{"torch_dtype": 1}', "32001"]);
});

test("shows hostile keys escaped and cut", async () => {
  const key = `\\u001b[31m${"x".repeat(10_000)}`;
  await refuses(() => parseJson(`{"${key}":1,"${key}":2}`, "t"), "FORMAT_INVALID", /^[\x20-\x7e…]{100,400}$/);
});

test("reads megabytes of digits and escapes without a stack", () => {
  assert.equal((parseJson(`"${"\\u0041".repeat(500_000)}"`, "t") as string).length, 500_000);
  assert.equal(parseJson(`0.${"0".repeat(3_000_000)}1`, "t"), 0);
});

test("keys are what they are, though they are kept as one string, forgotten among too many, and alike", () => {
  const names = Array.from({ length: 140_000 }, (_, index) => `model.layers.${index % 7}.experts.${index}.weight`);
  const text = JSON.stringify(Object.fromEntries(names.map((name, index) => [name, index])));
  for (let round = 0; round < 2; round++) {
    const value = parseJsonMaps(text, "t") as ReadonlyMap<string, number>;
    assert.deepEqual([...value.keys()], names);
    assert.ok(names.every((name, index) => value.get(name) === index));
  }
  const long = ["a".repeat(127), "a".repeat(128), "a".repeat(129), "a".repeat(130), "\u00e9", "\ud83d\ude00", ""];
  const value = parseJsonMaps(JSON.stringify(Object.fromEntries(long.map((key) => [key, key]))), "t");
  assert.deepEqual(
    [...(value as Map<string, string>)],
    long.map((key) => [key, key]),
  );
});

test("a key that comes twice is found among few and among many, wherever it stands", async () => {
  for (const count of [2, 8, 9, 10, 300]) {
    for (const [first, second] of [
      [0, count - 1],
      [count - 2, count - 1],
    ] as const) {
      const keys = Array.from({ length: count }, (_, index) => `k${index === second ? first : index}`);
      const text = `{${keys.map((key) => `"${key}":0`).join(",")}}`;
      await refuses(async () => parseJson(text, "t"), "FORMAT_INVALID", /occurs twice/);
    }
  }
});

test("an object whose keys an object before had, all or some, in this order or another, is read as if there had been none", async () => {
  const keys = Array.from({ length: 300 }, (_, index) => `model.layers.${index}`);
  const awkward = ['a"b', "a\\", "\u00e9\u0080\u0080", "\n", "\u{1f600}", ""];
  const all = [...keys, ...awkward];
  const textOf = (names: readonly string[]): string =>
    `{${names.map((name) => `${JSON.stringify(name)}:0`).join(",")}}`;
  const readsAs = (names: readonly string[], text = textOf(names)): void =>
    assert.deepEqual([...(parseJsonMaps(text, "t") as ReadonlyMap<string, unknown>).keys()], names);
  readsAs(all);
  readsAs(all);
  readsAs(all, textOf(all).replaceAll("l", "\\u006c").replaceAll(":", " : "));
  readsAs(all.slice(0, 200));
  readsAs([...all.slice(0, 200), "another", ...all.slice(200)]);
  readsAs([...all, "one more"]);
  readsAs(all.toReversed());
  for (const [place, name] of [
    [20, 19],
    [20, 0],
    [299, 298],
    [305, 2],
  ] as const) {
    const twice = all.with(place, all[name] ?? "");
    await refuses(async () => parseJson(textOf(twice), "t"), "FORMAT_INVALID", /occurs twice/);
    await refuses(async () => parseJson(textOf([...all, all[name] ?? ""]), "t"), "FORMAT_INVALID", /occurs twice/);
  }
  // As bytes, the key that would come next; as text, none or another.
  const raw = (last: string | Buffer): Buffer =>
    Buffer.concat([Buffer.from(`${textOf(keys).slice(0, -1)},"`), Buffer.from(last), Buffer.from('":0}')]);
  readsAs([...keys, 'a"b']);
  await refuses(async () => parseJson(raw(`a"b`), "t"), "FORMAT_INVALID", /expected/);
  await refuses(async () => parseJson(raw("\n"), "t"), "FORMAT_INVALID", /control character/);
  readsAs([...keys, "\u00e9\u0080\u0080"]);
  const [last] = [
    ...(parseJsonMaps(raw(Buffer.from([0xe9, 0x80, 0x80])), "t") as ReadonlyMap<string, unknown>).keys(),
  ].slice(-1);
  assert.equal(last, "\u9000");
});

test("objects as Maps are what they are as records", () => {
  const text = '{"b":[{"x":1},{}],"__proto__":{"10":1,"2":null},"a":"a"}';
  const value = parseJsonMaps(text, "t") as ReadonlyMap<string, unknown>;
  assert.deepEqual([...value.keys()], ["b", "__proto__", "a"]);
  assert.deepEqual(value.get("b"), [new Map([["x", 1]]), new Map()]);
  assert.deepEqual(
    [...(value.get("__proto__") as ReadonlyMap<string, unknown>)],
    [
      ["10", 1],
      ["2", null],
    ],
  );
});
