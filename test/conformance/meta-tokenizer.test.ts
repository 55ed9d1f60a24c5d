/**
 * What convert writes beside tokenizer.model makes transformers give sentencepiece's own ids: those in fixtures/sentencepiece, made by
 * sentencepiece itself. WEIGHT_DIFF_PYTHON names a Python with transformers, sentencepiece and protobuf, which transformers wants for
 * a tokenizer.model; without them the tests are skipped, except in CI, where they fail.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { convert } from "../../src/commands/convert.js";
import { makeDiff } from "../../src/commands/make-diff.js";
import { recover } from "../../src/commands/recover.js";
import { FIXTURES, ROOT } from "../support/fixtures.js";

const python = process.env.WEIGHT_DIFF_PYTHON;
const has =
  python !== undefined &&
  spawnSync(python, ["-c", "import transformers, sentencepiece, google.protobuf"], { encoding: "utf8" }).status === 0;
const absent = "WEIGHT_DIFF_PYTHON names no Python with transformers, sentencepiece and protobuf";
const skip = !has && process.env.CI !== "true" ? absent : false;

const HOME = mkdtempSync(join(tmpdir(), "weight-diff-"));
after(() => rmSync(HOME, { recursive: true }));
const META = join(HOME, "llama");
const SOURCE = join(META, "one-part");
const CONVERTED = join(HOME, "converted");
const IDS = JSON.parse(readFileSync(join(FIXTURES, "sentencepiece/ids.json"), "utf8")) as readonly (readonly [
  text: string,
  ids: readonly number[],
])[];

before(async () => {
  cpSync(join(FIXTURES, "meta/one-part"), SOURCE, { recursive: true });
  cpSync(join(FIXTURES, "sentencepiece/tokenizer.model"), join(META, "tokenizer.model"));
  await convert({ source: SOURCE, output: CONVERTED });
});

/** What transformers makes of these texts. */
function idsOf(model: string, texts: readonly string[]): { readonly class: string; readonly ids: readonly number[][] } {
  assert.ok(python !== undefined && has, absent);
  const script = join(ROOT, "test/conformance/meta_tokenizer.py");
  const { status, stdout, stderr } = spawnSync(python, [script, model], {
    input: JSON.stringify(texts),
    encoding: "utf8",
    env: { ...process.env, HF_HUB_OFFLINE: "1" },
  });
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout) as { class: string; ids: number[][] };
}

function assertSameIds(model: string): void {
  const texts = IDS.filter(([text]) => !text.startsWith(" "));
  assert.ok(texts.length > 100);
  const found = idsOf(
    model,
    texts.map(([text]) => text),
  );
  assert.equal(found.class, "LlamaTokenizer");
  for (const [index, [text, ids]] of texts.entries()) {
    assert.deepEqual(found.ids[index], ids, JSON.stringify(text));
  }
}

test("AutoTokenizer gives sentencepiece's ids for a converted model", { skip }, () => assertSameIds(CONVERTED));

test("tokenizer.model alone does not: without the two files the first id is missing", { skip }, () => {
  const alone = join(HOME, "alone");
  cpSync(CONVERTED, alone, { recursive: true });
  rmSync(join(alone, "tokenizer_config.json"));
  rmSync(join(alone, "special_tokens_map.json"));
  const [text, ids] = IDS[1] ?? ["", []];
  assert.notDeepEqual(idsOf(alone, [text]).ids[0], ids);
});

test("a text that begins with a space gets the ids of the text behind it, as every LLaMA has them in transformers 5", {
  skip,
}, () => {
  const texts = IDS.filter(([text]) => /^ [^ ]/.test(text)).map(([text]) => text);
  assert.ok(texts.length > 0);
  const behind = texts.map((text) => text.slice(1));
  assert.deepEqual(idsOf(CONVERTED, texts).ids, idsOf(CONVERTED, behind).ids);
});

test("a diff without a tokenizer, recovered with Meta's own files as the base, has the same", { skip }, async () => {
  const tuned = join(HOME, "tuned");
  cpSync(CONVERTED, tuned, { recursive: true });
  for (const file of ["tokenizer.model", "tokenizer_config.json", "special_tokens_map.json", "weight-diff.json"]) {
    rmSync(join(tuned, file));
  }
  await makeDiff({ raw: SOURCE, tuned, diff: join(HOME, "diff"), ignore: ["not-a-diff"] });
  await recover({ raw: SOURCE, diff: join(HOME, "diff"), tuned: join(HOME, "again"), ignore: ["wrong-base"] });
  assertSameIds(join(HOME, "again"));
});
