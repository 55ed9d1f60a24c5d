/** Kinds of values. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseSize, size } from "../../../../src/cli/flags/values.js";

for (const [text, bytes] of [
  ["5GB", 5e9],
  ["500MB", 5e8],
  ["10GiB", 10 * 2 ** 30],
  ["1.5 kb", 1500],
  ["2T", 2e12],
  ["4096", 4096],
  ["1B", 1],
  ["0", null],
  ["0.5", null],
  ["-1GB", null],
  ["GB", null],
  ["", null],
  ["1e9", null],
  ["99999999TB", null],
] as const) {
  test(`reads the size ${JSON.stringify(text)}`, () => {
    assert.equal(parseSize(text), bytes);
  });
}

test("a size below a megabyte must have its unit", () => {
  for (const text of ["1000000", "5kB", "1B", "5 k"]) {
    assert.ok(size.safeParse(text).success, text);
  }
  for (const text of ["5", " 5 ", "999999"]) {
    assert.ok(!size.safeParse(text).success, text);
  }
});
