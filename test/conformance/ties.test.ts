/**
 * Tied models, seen by transformers: which families tie, and that it loads what is recovered as it loads what the scripts saved,
 * head and embedding both. The Python is named by WEIGHT_DIFF_PYTHON; without it the tests are skipped, except in CI, where they fail.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { tiedByDefault } from "../../src/checkpoint/tied-families.js";
import { recover } from "../../src/commands/recover.js";
import { INPUT_EMBEDDING, OUTPUT_EMBEDDING, TIED_BIASES } from "../../src/known/embeddings.js";
import { isLanguageModel } from "../../src/known/language-models.js";
import { withFolder } from "../support/checkpoints.js";
import { FIXTURES, ROOT } from "../support/fixtures.js";

const python = process.env.WEIGHT_DIFF_PYTHON;
const absent = "WEIGHT_DIFF_PYTHON names no Python with torch and transformers";
const skip = python === undefined && process.env.CI !== "true" ? absent : false;

function run(script: string, input: string): unknown {
  assert.ok(python !== undefined, absent);
  const path = join(ROOT, "test", "conformance", script);
  const { status, stdout, stderr } = spawnSync(python, [path], { encoding: "utf8", input, maxBuffer: 1 << 26 });
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout);
}

test("families tie and do not tie as transformers' own configurations do", { skip }, (t) => {
  const { transformers, families } = run("tied_families.py", "") as {
    readonly transformers: string;
    readonly families: Readonly<Record<string, { tied: boolean | null; class: string; keys: Record<string, string> }>>;
  };
  t.diagnostic(`transformers ${transformers}, ${Object.keys(families).length} families`);
  assert.ok(Object.keys(families).length > 100);
  for (const [family, { tied, class: name, keys }] of Object.entries(families)) {
    const ours = tiedByDefault(family);
    // Newer releases have more families; of those that are known, nothing else may be said.
    assert.ok(ours === null || tied === null || ours === tied, `${family}: ${ours}, transformers says ${tied}`);
    if (ours !== true) {
      continue;
    }
    assert.equal(isLanguageModel(family, name), true, `${family} ${name}`);
    for (const [target, source] of Object.entries(keys)) {
      const bias = TIED_BIASES.some(({ first, second }) => first.test(source) && second.test(target));
      const unnamed = /^decoder\.weight$/.test(target) || /word_embeddings/.test(target);
      assert.ok(bias || INPUT_EMBEDDING.test(source), `${family}: ${source}`);
      assert.ok(bias || unnamed || OUTPUT_EMBEDDING.test(target), `${family}: ${target}`);
    }
  }
});

interface Expected {
  readonly script: { readonly file: string };
  readonly loaded: readonly { readonly name: string; readonly sha256: string }[];
}

test("what is recovered is loaded as what the scripts saved", { skip, timeout: 600_000 }, async () => {
  const names = readdirSync(join(FIXTURES, "ties"), { withFileTypes: true }).filter(
    (entry) => entry.isDirectory() && !entry.name.startsWith("make-"),
  );
  await withFolder(async (scratch) => {
    const asked: { name: string; folder: string; dtype: string; names: readonly string[] }[] = [];
    const wanted: (readonly string[])[] = [];
    for (const { name } of names) {
      const pair = join(FIXTURES, "ties", name);
      const expected = JSON.parse(readFileSync(join(pair, "expect.json"), "utf8")) as Expected;
      const tuned = join(scratch, name);
      const alpaca = expected.script.file === "weight_diff.py";
      const scheme = alpaca ? "alpaca" : "fastchat";
      await recover({ raw: join(pair, "base"), diff: join(pair, "diff"), tuned, scheme, ignore: ["bit-census"] });
      const dtype = alpaca ? "float32" : "float16";
      asked.push({ name, folder: tuned, dtype, names: expected.loaded.map((tensor) => tensor.name) });
      wanted.push(expected.loaded.map(({ sha256 }) => sha256));
    }
    const found = run("loaded_ties.py", JSON.stringify(asked)) as readonly (readonly string[])[];
    assert.deepEqual(
      Object.fromEntries(asked.map(({ name }, index) => [name, found[index]])),
      Object.fromEntries(asked.map(({ name }, index) => [name, wanted[index]])),
    );
  });
});
