import assert from "node:assert/strict";
import { test } from "node:test";
import { printableMessage, printableText } from "../../../../src/cli/output/printable.js";

test("leaves plain text as it is, lines and all", () => {
  const text = "sound: é模型: diff of 21 tensors in 1 file\n  checked  structure; 100 %\n";
  assert.equal(printableText(text), text);
});

test("escaping for the terminal keeps the meaning of JSON, whatever its strings hold", () => {
  for (const name of ["\u009b31m", "\u202eevil", "##[add-mask]x", "\u2028", "\ud800", "a\n::error::b", "\ufeff"]) {
    const text = JSON.stringify({ [name]: name }, null, 2);
    assert.deepEqual(JSON.parse(printableText(text)), { [name]: name });
    assert.match(printableText(text), /^[\n\x20-\x7e]*$/);
  }
});

test("no line of text is a command of a workflow", () => {
  assert.equal(printableText("a ##[stop-commands]x"), "a ##\\u005bstop-commands]x");
  assert.equal(
    printableMessage("a\n::error::x\n  ::set-output name=a::b"),
    "a\n  : :error::x\n  : :set-output name=a::b",
  );
  assert.equal(printableMessage("see tulu::7b"), "see tulu::7b");
});

test("no line but the first can be taken for a message", () => {
  assert.equal(printableMessage("a\nweight-diff: error: b\n  c"), "a\n  weight-diff: error: b\n  c");
});
