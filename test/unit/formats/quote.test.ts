import assert from "node:assert/strict";
import { test } from "node:test";
import { escapeUnsafe, printable, quote } from "../../../src/formats/quote.js";

test("leaves plain names as they are", () => {
  assert.equal(quote("model.layers.0.weight"), '"model.layers.0.weight"');
  assert.equal(quote("模型"), '"模型"');
});

test("escapes characters that a terminal obeys or hides", () => {
  assert.equal(quote('\u001b[2J\n"\u009b\u202e\u200b'), '"\\u001b[2J\\n\\"\\u009b\\u202e\\u200b"');
});

test("cuts text that does not fit a line", () => {
  assert.equal(quote("x".repeat(1_000_000)).length, 163);
});

/** One or more of every kind that a terminal obeys or an eye cannot see. */
const UNSAFE = [
  ["C0 controls", "\u0000\u0007\u0008\r\u001b"],
  ["DEL and C1 controls", "\u007f\u0085\u009b\u009c\u009d"],
  ["bidirectional marks", "\u061c\u200e\u200f\u202a\u202e\u2066\u2069"],
  ["line and paragraph separators", "\u2028\u2029"],
  ["zero-width characters", "\u200b\u200c\u200d\u2060\ufeff"],
  ["half surrogate pairs", "\ud800x\udfff"],
  ["soft hyphens, fillers, variation selectors", "\u00ad\u034f\u115f\u180e\u3164\ufe0f\uffa0"],
  ["interlinear marks, tags and selectors past U+FFFF", "\ufff9\u{e0001}\u{e0041}\u{e0100}"],
] as const;

for (const [what, text] of UNSAFE) {
  test(`spells out ${what}, so that JSON.parse gives them back`, () => {
    for (const shown of [quote(text), printable(text), `"${escapeUnsafe(text)}"`]) {
      assert.match(shown, /^[\x20-\x7e]*$/);
      assert.equal(JSON.parse(shown), text);
    }
  });
}

test("leaves every letter, number and sign of any script as it is", () => {
  const text = "é ñ Ω Ж 模型 नि ☃ 𝛀 😀";
  assert.equal(printable(text), text);
  assert.equal(escapeUnsafe(text), text);
});

test("keeps the lines of text that leaves as a whole, and nothing is cut", () => {
  const text = `${"a".repeat(500)}\n  b: "c\\n"\n`;
  assert.equal(escapeUnsafe(text), text);
});
