/**
 * Random texts, by our tokenizers and by sentencepiece and tokenizers themselves. WEIGHT_DIFF_PYTHON as in transformers.test.ts;
 * WEIGHT_DIFF_TOKENIZER_STRINGS says how many.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { copyFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { openTokenizer } from "../../src/inference/tokenizer.js";
import { withFolder } from "../support/checkpoints.js";
import { FIXTURES, ROOT } from "../support/fixtures.js";

const python = process.env.WEIGHT_DIFF_PYTHON;
const absent = "WEIGHT_DIFF_PYTHON names no Python with sentencepiece and tokenizers";
const skip = python === undefined && process.env.CI !== "true" ? absent : false;
const STRINGS = Number(process.env.WEIGHT_DIFF_TOKENIZER_STRINGS ?? 1000);
const FOLDER = join(FIXTURES, "inference/tokenizers");

const words = [
  "created",
  "equal",
  " ",
  "  ",
  "\n",
  "\t",
  "▁",
  "the",
  " men",
  "é",
  "e\u0301",
  "日本",
  "🙂",
  "1776",
  "'s",
  "…",
  "\r\n",
  "Life,",
];
const text = fc.oneof(
  fc.array(fc.constantFrom(...words), { maxLength: 12 }).map((parts) => parts.join("")),
  fc.string({ unit: "binary", maxLength: 20 }),
  fc.string({ unit: "grapheme", maxLength: 20 }),
);
// What names an added token is held by the strings of ids.json: sentencepiece alone does not know how it cuts a text.
const strings = fc
  .sample(text, { numRuns: STRINGS, seed: 6 })
  .filter((each) => !/<unk>|<s>|<\/s>|<pad>|\0/.test(each) && each !== "");

test("random texts have the ids that sentencepiece and tokenizers give them", { skip, timeout: 600_000 }, async () => {
  assert.ok(python !== undefined, absent);
  const { status, stdout, stderr } = spawnSync(python, [join(ROOT, "test/conformance/token_ids.py")], {
    encoding: "utf8",
    input: JSON.stringify({ folder: FOLDER, strings }),
    maxBuffer: 1 << 28,
  });
  assert.equal(status, 0, stderr);
  const theirs = JSON.parse(stdout) as Readonly<Record<string, readonly (readonly number[])[]>>;
  await withFolder(async (slow) => {
    await copyFile(join(FOLDER, "spm/tokenizer.model"), join(slow, "tokenizer.model"));
    for (const [kind, folder] of [
      ["sentencepiece", slow],
      ["spm", join(FOLDER, "spm")],
      ["neox", join(FOLDER, "neox")],
      ["llama3", join(FOLDER, "llama3")],
    ] as const) {
      const tokenizer = await openTokenizer(folder, { rows: 1000 });
      assert.ok(tokenizer !== null);
      for (const [index, each] of strings.entries()) {
        assert.deepEqual(await tokenizer.encode(each), theirs[kind]?.[index], `${kind}: ${JSON.stringify(each)}`);
      }
      await tokenizer.close();
    }
  });
});
