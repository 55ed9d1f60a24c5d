/** Token ids of tokenizer files, from any bytes. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import "../../support/seed.js";
import { readTokenizer } from "../../../src/checkpoint/tokenizer.js";
import { withFolder, writeFiles } from "../../support/checkpoints.js";
import { FIXTURES } from "../../support/fixtures.js";

test("reads the ids of sentencepiece, Hugging Face and added tokens", async () => {
  const { files, broken } = await readTokenizer(join(FIXTURES, "demo/diff"));
  assert.deepEqual(broken, []);
  assert.deepEqual(files, [
    { file: "tokenizer.model", highestId: 511 },
    { file: "tokenizer.json", highestId: 512 },
    { file: "added_tokens.json", highestId: 512 },
  ]);
});

test("counts a list of tokens, and an empty one", async () => {
  await withFolder(async (folder) => {
    await writeFiles(folder, {
      "tokenizer.json": '{"model": {"vocab": [["a", -1.5], ["b", -2]]}}',
      "added_tokens.json": "{}",
      "tokenizer.model": "",
    });
    assert.deepEqual((await readTokenizer(folder)).files, [
      { file: "tokenizer.model", highestId: -1 },
      { file: "tokenizer.json", highestId: 1 },
      { file: "added_tokens.json", highestId: -1 },
    ]);
  });
});

test("tells what is wrong with each invalid file", async () => {
  await withFolder(async (folder) => {
    await writeFiles(folder, {
      "tokenizer.model": Uint8Array.of(10, 200),
      "tokenizer.json": '{"vocab": {}}',
      "added_tokens.json": '{"a": -1}',
    });
    const { files, broken } = await readTokenizer(folder);
    assert.deepEqual(files, []);
    assert.deepEqual(
      broken.map(({ file }) => file),
      ["tokenizer.model", "tokenizer.json", "added_tokens.json"],
    );
    assert.equal(broken[0]?.message, "is no sentencepiece model: a number in it does not end");
  });
});

for (const [what, text, found] of [
  ["a model without a vocabulary", '{"model": {}}', -1],
  ["an id that Python wrote as a float", '{"model": {"vocab": {"a": 7.0}}}', 7],
  [
    "added tokens past the vocabulary",
    '{"added_tokens": [{"content": "x", "id": 9}], "model": {"vocab": {"a": 1}}}',
    9,
  ],
  ["what else a tokenizer has", '{"model": {"merges": ["a b"], "vocab": {}}, "decoder": {"x": [null]}}', -1],
  ["no model", '{"added_tokens": []}', "has no model"],
  ["a model that is text", '{"model": "x"}', "expected {"],
  ["an id that is text", '{"model": {"vocab": {"a": "1"}}}', 'id of "a" is no whole number'],
  ["an id of half a token", '{"model": {"vocab": {"a": 1.5}}}', 'id of "a" is no whole number'],
  ["an id past 2^53", '{"model": {"vocab": {"a": 1e300}}}', 'id of "a" is no whole number'],
  ["an added token without id", '{"model": {}, "added_tokens": [{}]}', "has no id"],
  ["a token that comes twice", '{"model": {"vocab": {"a": 1, "a": 2}}}', "occurs twice"],
  ["text after the end", '{"model": {}} x', "something follows"],
] as const) {
  test(`reads a tokenizer.json with ${what}`, async () => {
    await withFolder(async (folder) => {
      await writeFiles(folder, { "tokenizer.json": text });
      const { files, broken } = await readTokenizer(folder);
      if (typeof found === "number") {
        assert.deepEqual([files[0]?.highestId, broken], [found, []]);
      } else {
        assert.ok(broken[0]?.message.includes(found), broken[0]?.message);
      }
    });
  });
}

test("any bytes give a tokenizer or a finding", async () => {
  await withFolder(async (folder) => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 60 }), async (bytes) => {
        await writeFiles(folder, { "tokenizer.model": bytes, "tokenizer.json": bytes, "added_tokens.json": bytes });
        const { files, broken } = await readTokenizer(folder);
        assert.equal(files.length + broken.length, 3);
      }),
      { numRuns: 60 },
    );
  });
});
