/** Names that mean something else on Windows or macOS. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { isDeviceName, isWindowsName, twinsAmong } from "../../../src/files/portable-names.js";

for (const name of ["con", "NUL.txt", "aux.json", "com1", "LPT9.model", "tokenizer.json.", "config "]) {
  test(`${JSON.stringify(name)} is a device or loses its end on Windows`, () => {
    assert.deepEqual([isDeviceName(name), isWindowsName(name)], [true, false]);
  });
}

for (const name of ["config.json", "console.json", "nullable.model", "com10.txt", "model-00001-of-00002.safetensors"]) {
  test(`${name} is a name everywhere`, () => {
    assert.deepEqual([isDeviceName(name), isWindowsName(name)], [false, true]);
  });
}

for (const name of ['a"b', "a<b", "a>b", "a|b", "a?b", "a*b", "a:b"]) {
  test(`${name} is no name on Windows`, () => assert.ok(!isWindowsName(name)));
}

for (const [names, twins] of [
  [
    ["LICENSE", "license"],
    ["LICENSE", "license"],
  ],
  [
    ["a", "Caf\u00e9.json", "cafe\u0301.json"],
    ["Caf\u00e9.json", "cafe\u0301.json"],
  ],
  [["a", "b", "a"], null],
  [["A1", "a2"], null],
  [[], null],
] as const) {
  test(`twins among ${JSON.stringify(names)}: ${JSON.stringify(twins)}`, () => {
    assert.deepEqual(twinsAmong(names), twins);
  });
}
