/** Python's len(tokenizer) and pad_token, from a tokenizer's files: any of them, broken ones too. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import "../../support/seed.js";
import { countTokens } from "../../../src/checkpoint/token-count.js";
import { withFolder, writeFiles } from "../../support/checkpoints.js";
import { FIXTURES } from "../../support/fixtures.js";

type Files = Readonly<Record<string, string | Uint8Array>>;
interface Found {
  readonly tokens: number;
  readonly padding: boolean | null;
  readonly knows: readonly string[];
}

const ASKED = ["[PAD]", "<landmark>", "a"];

function count(files: Files, modelType: string | null = null): Promise<Found | null> {
  return withFolder(async (folder) => {
    await writeFiles(folder, files);
    return found(folder, modelType);
  });
}

async function found(folder: string, modelType: string | null): Promise<Found | null> {
  const result = await countTokens(folder, modelType, ASKED);
  return result === null
    ? null
    : { tokens: result.tokens, padding: result.padding, knows: ASKED.filter((token) => result.knows(token)) };
}

const words = (...list: readonly string[]): string =>
  JSON.stringify({ model: { vocab: Object.fromEntries(list.map((word, id) => [word, id])) } });
const pieces = (...list: readonly string[]): Uint8Array =>
  Buffer.concat(
    list.map((piece) => {
      const text = Buffer.from(piece);
      return Buffer.concat([Buffer.of(10, text.length + 2, 10, text.length), text]);
    }),
  );

test("counts the words of each kind of vocabulary", async () => {
  for (const files of [
    { "tokenizer.json": words("a", "b", "c") },
    { "tokenizer.json": '{"model": {"vocab": [["a", -1.5], ["b", -2], ["c", 0]]}}' },
    { "tokenizer.model": pieces("a", "b", "c") },
    { "vocab.json": '{"a": 0, "b": 1, "c": 2}', "merges.txt": "" },
  ]) {
    assert.deepEqual(await count(files), { tokens: 3, padding: null, knows: ["a"] }, Object.keys(files).join());
  }
});

test("the file that transformers takes counts: tokenizer.json before tokenizer.model", async () => {
  const files = { "tokenizer.json": words("a", "b"), "tokenizer.model": pieces("a", "b", "c", "d") };
  assert.equal((await count(files))?.tokens, 2);
});

test("counts what is added, wherever it stands, and each token once", async () => {
  const json = {
    added_tokens: [{ content: "b" }, { content: "[PAD]" }],
    model: { vocab: { a: 0, b: 1 } },
  };
  const files = {
    "tokenizer.json": JSON.stringify(json),
    "added_tokens.json": '{"<landmark>": 3, "[PAD]": 2}',
    "special_tokens_map.json":
      '{"bos_token": {"content": "<s>"}, "additional_special_tokens": ["<x>", {"content": "<y>"}]}',
    "tokenizer_config.json":
      '{"eos_token": "</s>", "added_tokens_decoder": {"9": {"content": "<z>"}, "0": {"content": "a"}}}',
  };
  assert.deepEqual(await count(files), { tokens: 9, padding: null, knows: ASKED });
});

test("blank tokens, as in some uploads of 2023, do not count", async () => {
  const files = {
    "tokenizer.model": pieces("a", "b"),
    "special_tokens_map.json": '{"bos_token": "", "eos_token": ""}',
  };
  assert.equal((await count(files))?.tokens, 2);
});

const GENERIC = '{"tokenizer_class": "PreTrainedTokenizerFast"}';

for (const [what, files, modelType, padding] of [
  ["its settings name one", { "tokenizer_config.json": '{"pad_token": "<unk>"}' }, null, true],
  ["its map names one", { "special_tokens_map.json": '{"pad_token": {"content": "<p>"}}' }, "llama", true],
  ["its settings say that it has none", { "tokenizer_config.json": '{"pad_token": null}' }, null, false],
  ["its class has none", { "tokenizer_config.json": '{"tokenizer_class": "LlamaTokenizerFast"}' }, "bert", false],
  [
    "its class has one of late",
    { "tokenizer_config.json": '{"tokenizer_class": "GPTNeoXTokenizerFast"}' },
    "bert",
    null,
  ],
  ["the tokenizer of its family has none", {}, "llama", false],
  ["its class has one of its own", { "tokenizer_config.json": '{"tokenizer_class": "BertTokenizer"}' }, "llama", null],
  ["its family has one in transformers 5 only", { "tokenizer_config.json": GENERIC }, "qwen2", null],
  ["its family has none of its own", { "tokenizer_config.json": GENERIC }, "gemma", false],
  ["its family is not known", {}, "a-new-one", null],
  ["nothing is said", {}, null, null],
  ["its settings are broken", { "tokenizer_config.json": '{"pad_token": ' }, null, null],
  ["its settings are a list", { "tokenizer_config.json": '["pad_token"]' }, null, null],
  ["its padding token is a number", { "tokenizer_config.json": '{"pad_token": 3}' }, null, null],
] as const) {
  test(`has a padding token: ${padding}, where ${what}`, async () => {
    const result = await count({ "tokenizer.json": words("a"), ...(files as Files) }, modelType);
    assert.equal(result?.padding, padding);
  });
}

test("a padding token that the vocabulary lacks is one more", async () => {
  const files = { "tokenizer.json": words("a"), "tokenizer_config.json": '{"pad_token": "[PAD]"}' };
  assert.deepEqual(await count(files), { tokens: 2, padding: true, knows: ["[PAD]", "a"] });
});

test("tokens are only keys: names of an object's own members are words like others", async () => {
  const result = await count({
    "tokenizer.json": '{"model": {"vocab": {"__proto__": 0, "constructor": 1, "a": 2}}, "added_tokens": []}',
    "added_tokens.json": '{"__proto__": 3, "toString": 4}',
  });
  assert.deepEqual(result, { tokens: 4, padding: null, knows: ["a"] });
});

for (const [what, files] of [
  ["there is no vocabulary", { "tokenizer_config.json": "{}" }],
  ["tokenizer.json is cut off", { "tokenizer.json": '{"model": {"vocab": {"a": 0', "tokenizer.model": pieces("a") }],
  ["tokenizer.json has a number for its vocabulary", { "tokenizer.json": '{"model": {"vocab": 7}}' }],
  ["a word is no text", { "tokenizer.json": '{"model": {"vocab": [[1, 2]]}}' }],
  ["an added token is no text", { "tokenizer.json": '{"added_tokens": [{"content": 7}], "model": {"vocab": {}}}' }],
  ["tokenizer.model is no sentencepiece model", { "tokenizer.model": Uint8Array.of(10, 200) }],
  ["the vocabulary is a pointer of Git LFS", { "tokenizer.model": "version https://git-lfs.github.com/spec/v1\n" }],
  ["vocab.json is a list", { "vocab.json": "[1]" }],
] as const) {
  test(`cannot count where ${what}`, async () => {
    assert.equal(await count(files as Files), null);
  });
}

test("a folder of that name is no vocabulary, nor is there one without a folder", async () => {
  await withFolder(async (folder) => {
    await mkdir(join(folder, "tokenizer.json"));
    assert.equal(await found(folder, null), null);
    await writeFiles(folder, { "tokenizer.model": pieces("a") });
    assert.equal((await found(folder, null))?.tokens, 1);
    assert.equal(await found(join(folder, "nowhere"), null), null);
  });
  assert.equal(await countTokens(null, "llama", []), null);
});

test("does not wait for a FIFO", { skip: process.platform === "win32" }, async () => {
  await withFolder(async (folder) => {
    assert.equal(
      spawnSync("mkfifo", [join(folder, "tokenizer.json"), join(folder, "tokenizer_config.json")]).status,
      0,
    );
    assert.equal(await found(folder, null), null);
  });
});

test("any bytes give a count or null", async () => {
  const text = fc.oneof(
    fc.json(),
    fc.string(),
    fc.constantFrom('{"model": {"vocab": {"a": 0}}}', '{"model": {"vocab": []}}'),
  );
  await withFolder(async (folder) => {
    await fc.assert(
      fc.asyncProperty(text, text, fc.uint8Array({ maxLength: 40 }), async (fast, settings, model) => {
        await writeFiles(folder, { "tokenizer_config.json": settings, "added_tokens.json": settings });
        await writeFiles(folder, { "tokenizer.json": fast, "tokenizer.model": model });
        const result = await found(folder, "llama");
        assert.ok(result === null || result.tokens >= 0);
      }),
      { numRuns: 60 },
    );
  });
});

test("counts real tokenizers: sentencepiece's own, and what transformers saves beside it", async () => {
  for (const [folder, tokens] of [
    ["schemes/base-f16", 97],
    ["schemes/alpaca/diff", 98],
    ["demo/diff", 513],
  ] as const) {
    assert.equal((await found(join(FIXTURES, folder), "llama"))?.tokens, tokens, folder);
  }
});
