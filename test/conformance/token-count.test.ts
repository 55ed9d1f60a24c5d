/**
 * How many tokens a tokenizer has, and whether it has a padding token, by its files alone and by transformers itself: every tokenizer
 * under fixtures/, and one that names its special tokens in each place where they can stand. WEIGHT_DIFF_PYTHON as in
 * transformers.test.ts.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { readConfig } from "../../src/checkpoint/config.js";
import { countTokens } from "../../src/checkpoint/token-count.js";
import { withFolder, writeFiles } from "../support/checkpoints.js";
import { FIXTURES, ROOT } from "../support/fixtures.js";

const python = process.env.WEIGHT_DIFF_PYTHON;
const absent = "WEIGHT_DIFF_PYTHON names no Python with transformers";
const skip = python === undefined && process.env.CI !== "true" ? absent : false;

interface Found {
  readonly tokens: number;
  readonly padding: boolean | null;
}

const FAST = JSON.stringify({
  version: "1.0",
  truncation: null,
  padding: null,
  added_tokens: ["<unk>", "<s>"].map((content, id) => ({ id, content, ...flags(true) })),
  normalizer: null,
  pre_tokenizer: { type: "WhitespaceSplit" },
  post_processor: null,
  decoder: null,
  model: { type: "WordLevel", vocab: { "<unk>": 0, "<s>": 1, w2: 2, w3: 3 }, unk_token: "<unk>" },
});
const token = (content: string): object => ({ __type: "AddedToken", content, ...flags(true) });
const CLASS = { tokenizer_class: "PreTrainedTokenizerFast" };
const WRITTEN: Readonly<Record<string, Readonly<Record<string, object>>>> = {
  plain: { "tokenizer_config.json": CLASS },
  "padding-of-the-vocabulary": { "tokenizer_config.json": { ...CLASS, pad_token: "w2" } },
  "padding-besides": { "tokenizer_config.json": { ...CLASS, pad_token: "<pad>" } },
  "padding-as-an-object": { "tokenizer_config.json": { ...CLASS, pad_token: token("<pad>") } },
  "padding-in-the-map": { "tokenizer_config.json": CLASS, "special_tokens_map.json": { pad_token: "<pad>" } },
  "no-padding": { "tokenizer_config.json": { ...CLASS, pad_token: null } },
  additional: { "tokenizer_config.json": { ...CLASS, additional_special_tokens: ["<a>", "w3", "<b>"] } },
  decoder: {
    "tokenizer_config.json": {
      ...CLASS,
      added_tokens_decoder: { 0: token("<unk>"), 1: token("<s>"), 4: token("<a>") },
    },
  },
  "added-tokens": { "tokenizer_config.json": CLASS, "added_tokens.json": { "<a>": 4, "<b>": 5 } },
  "end-besides": { "tokenizer_config.json": { ...CLASS, eos_token: "</s>", bos_token: "<s>" } },
};

function flags(special: boolean): object {
  return { single_word: false, lstrip: false, rstrip: false, normalized: false, special };
}

/** Every folder below fixtures/ that a tokenizer could be loaded from. */
function fixtures(): readonly string[] {
  const files = readdirSync(FIXTURES, { recursive: true, encoding: "utf8" });
  const vocabularies = files.filter((file) => /(^|\/)tokenizer\.(json|model)$/.test(file)).map((file) => dirname(file));
  const models = new Set(files.filter((file) => file.endsWith("config.json")).map((file) => dirname(file)));
  // Pairs that must be refused, and damaged ones.
  return [...new Set(vocabularies)]
    .filter((folder) => models.has(folder) && !/^(refuse|odd|xor)\//.test(folder))
    .sort();
}

test("counts tokens as transformers does, and knows whether there is one for padding", {
  skip,
  timeout: 600_000,
}, async () => {
  await withFolder(async (scratch) => {
    const folders = fixtures().map((folder) => join(FIXTURES, folder));
    for (const [name, files] of Object.entries(WRITTEN)) {
      const texts = Object.entries(files).map(([file, value]) => [file, JSON.stringify(value)]);
      const config = { "config.json": '{"model_type": "gpt_neox"}', "tokenizer.json": FAST };
      folders.push(await writeFiles(join(scratch, name), { ...config, ...Object.fromEntries(texts) }));
    }
    assert.ok(python !== undefined, absent);
    const { status, stdout, stderr } = spawnSync(python, [join(ROOT, "test/conformance/token_count.py")], {
      encoding: "utf8",
      input: JSON.stringify(folders),
    });
    assert.equal(status, 0, stderr);
    const theirs = JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as readonly (Found | null)[];
    const loaded = folders.flatMap((folder, index) =>
      theirs[index] == null ? [] : [[folder, theirs[index]] as const],
    );
    assert.ok(loaded.length > 100, `${loaded.length} of ${folders.length}: ${stderr}`);
    const written = theirs.slice(-Object.keys(WRITTEN).length);
    assert.ok(!written.includes(null), stderr);
    for (const [folder, { tokens, padding }] of loaded) {
      const ours = await countTokens(folder, (await readConfig(folder))?.modelType ?? null, []);
      assert.equal(ours?.tokens, tokens, folder);
      // What neither files nor class tell is not known.
      assert.ok(ours.padding === null || ours.padding === padding, `${folder}: ${ours.padding}, not ${padding}`);
    }
  });
});
