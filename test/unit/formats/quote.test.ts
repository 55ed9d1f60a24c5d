import assert from "node:assert/strict";
import { test } from "node:test";
import { quote } from "../../../src/formats/quote.js";

test("leaves plain names as they are", () => {
  assert.equal(quote("model.layers.0.weight"), '"model.layers.0.weight"');
  assert.equal(quote("模型"), '"模型"');
});

test("escapes what a terminal obeys or hides", () => {
  assert.equal(quote('\u001b[2J\n"\u009b\u202e\u200b'), '"\\u001b[2J\\n\\"\\u009b\\u202e\\u200b"');
});

test("cuts what does not fit a line", () => {
  assert.equal(quote("x".repeat(1_000_000)).length, 163);
});
