/**
 * The table of side files against the installed transformers: every name that a tokenizer class declares, every file that the
 * library's own constants name for tokenizers, processors and chat templates, and every folder that a processor saves a further
 * tokenizer in. WEIGHT_DIFF_PYTHON as in transformers.test.ts.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { isSideFile, isVocabulary } from "../../src/files/side-names.js";
import { ROOT } from "../support/fixtures.js";

const python = process.env.WEIGHT_DIFF_PYTHON;
const absent = "WEIGHT_DIFF_PYTHON names no Python with transformers";
const skip = python === undefined && process.env.CI !== "true" ? absent : false;

interface Declared {
  /** By role: "vocab_file", "merges_file" … */
  readonly tokenizers: Readonly<Record<string, readonly string[]>>;
  readonly constants: readonly string[];
  readonly folders: readonly string[];
  readonly templates: string;
}

test("every file that transformers' tokenizers and processors declare goes along", { skip }, () => {
  assert.ok(python !== undefined, absent);
  const { status, stdout, stderr } = spawnSync(python, [join(ROOT, "test/conformance/declared_files.py")], {
    encoding: "utf8",
    maxBuffer: 1 << 26,
  });
  assert.equal(status, 0, stderr);
  const declared = JSON.parse(stdout) as Declared;
  const vocabularies = declared.tokenizers.vocab_file ?? [];
  assert.ok(vocabularies.length >= 8, String(vocabularies.length));
  assert.ok(declared.constants.length >= 12, declared.constants.join(" "));
  for (const name of [...Object.values(declared.tokenizers).flat(), ...declared.constants]) {
    assert.ok(isSideFile(name), name);
  }
  for (const name of vocabularies.filter((each) => !each.endsWith("_config.json"))) {
    assert.ok(isVocabulary(name), name);
  }
  for (const folder of declared.folders) {
    assert.ok(isSideFile(`${folder}/tokenizer.json`), folder);
  }
  assert.ok(isSideFile(`${declared.templates}/rag.jinja`));
});
