/** A secret, once kept, is in no text. Secrets are the process's: each test has its own. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { printableMessage, printableText } from "../../src/cli/output/printable.js";
import { WeightDiffError } from "../../src/errors.js";
import { printable, quote } from "../../src/formats/quote.js";
import { blot, holdsSecret, keepSecret } from "../../src/secrets.js";

test("is blotted wherever it stands, in any case, and as JSON spells it", () => {
  keepSecret('hf_a"b\\c.d*');
  assert.equal(blot('x hf_a"b\\c.d* y'), "x … y");
  assert.equal(blot('https://HF_A"B\\C.D*.example/'), "https://….example/");
  assert.equal(blot(JSON.stringify({ a: 'hf_a"b\\c.d*' })), '{"a":"…"}');
  assert.equal(blot("hf_a"), "hf_a");
});

test("is out of errors, their hints, names in messages, and all that the command line prints", () => {
  keepSecret("hf_of_somebody");
  const error = new WeightDiffError("NETWORK", "etag hf_of_somebody", "see hf_of_somebody", {
    at: { file: "a/hf_of_somebody" },
  });
  for (const text of [
    error.message,
    error.fact,
    error.hint ?? "",
    quote("hf_of_somebody"),
    printable("x-hf_of_somebody.bin"),
    printableText("hf_of_somebody"),
    printableMessage("a\nhf_of_somebody"),
  ]) {
    assert.ok(!/somebody/.test(text) && text.includes("…"), text);
  }
});

test("is blotted before a long name is cut: no half of it is left", () => {
  keepSecret("hf_0123456789");
  const shown = quote(`${"x".repeat(155)}hf_0123456789${"y".repeat(100)}`);
  assert.ok(!shown.includes("hf_0"), shown);
});

test("a text of fewer than six characters is no secret, and texts without a secret stay unchanged", () => {
  keepSecret("abc");
  keepSecret("");
  assert.equal(blot("abc"), "abc");
  assert.equal(holdsSecret("model.safetensors"), false);
});
