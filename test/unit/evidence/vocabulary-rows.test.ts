/** Warnings of an embedding and a head with different numbers of rows. That transformers refuses them is shown in conformance/unlike-rows. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { makeDiff } from "../../../src/commands/make-diff.js";
import { recover } from "../../../src/commands/recover.js";
import { GUARDS } from "../../../src/evidence/guard-names.js";
import { safetensors, type TensorSpec, withFolder, writeFiles } from "../../support/checkpoints.js";

const E = "model.embed_tokens.weight";
const H = "lm_head.weight";

const rows = (name: string, count: number): TensorSpec => [
  name,
  "F32",
  [count, 2],
  Float32Array.from({ length: 2 * count }, (_, index) => index / 64),
];

/** What is said about rows, of a base and a diff (or a fine-tuned model) with these matrices. */
async function said(
  base: readonly TensorSpec[],
  other: readonly TensorSpec[],
  make = false,
): Promise<{ readonly notes: readonly string[]; readonly warnings: readonly string[] }> {
  return withFolder(async (folder) => {
    const norm: TensorSpec = ["model.norm.weight", "F32", [2], new Float32Array([1, 1])];
    await writeFiles(join(folder, "raw"), { "model.safetensors": safetensors(norm, ...base) });
    await writeFiles(join(folder, "other"), { "model.safetensors": safetensors(norm, ...other) });
    const [raw, path] = [join(folder, "raw"), join(folder, "other")];
    const notes: string[] = [];
    const warnings: string[] = [];
    const onNote = (text: string): unknown => notes.push(text);
    const onWarning = (text: string): unknown => warnings.push(text);
    const common = { raw, ignore: GUARDS, onNote, onWarning };
    await (make
      ? makeDiff({ ...common, tuned: path, diff: join(folder, "diff"), encoding: "exact" })
      : recover({ ...common, diff: path, scheme: "open-instruct" }));
    return {
      notes: notes.filter((text) => text.includes("new row")),
      warnings: warnings.filter((text) => text.includes("refuses to load it")),
    };
  });
}

test("a row that only the embedding gains is warned of, with both names and numbers", async () => {
  const { warnings } = await said([rows(E, 4), rows(H, 4)], [rows(E, 5), rows(H, 4)]);
  assert.deepEqual(warnings, [
    `the result has 5 rows in "${E}" and 4 in "${H}", the base has 4 in both: a model class that makes both of vocab_size rows, as LlamaForCausalLM does, refuses to load it: look on the model card for the code that loads it, or ask the diff's publisher for the missing rows`,
  ]);
});

test("rows that only the head gains, or fewer of them, are warned of too", async () => {
  assert.match(
    String((await said([rows(E, 4), rows(H, 4)], [rows(E, 4), rows(H, 5)])).warnings),
    /4 rows in .* and 5 in/,
  );
  assert.match(
    String((await said([rows(E, 4), rows(H, 4)], [rows(E, 7), rows(H, 6)])).warnings),
    /7 rows in .* and 6 in/,
  );
});

test("a tied base has one number of rows for both, and the note of the mean tells it", async () => {
  const { notes, warnings } = await said([rows(E, 4)], [rows(E, 4), rows(H, 5)]);
  assert.deepEqual(notes, [`${H}: 1 new row = the diff's + the mean of the base's 4`]);
  assert.match(String(warnings), /4 rows in .* and 5 in .*, the base has only "model.embed_tokens.weight", with 4:/);
});

test("as many new rows in both, and as different numbers as in the base, are no reason to warn", async () => {
  assert.deepEqual((await said([rows(E, 4), rows(H, 4)], [rows(E, 6), rows(H, 6)])).warnings, []);
  assert.deepEqual((await said([rows(E, 6), rows(H, 4)], [rows(E, 6), rows(H, 4)])).warnings, []);
  assert.deepEqual((await said([rows(E, 6), rows(H, 4)], [rows(E, 7), rows(H, 5)])).warnings, []);
  assert.match(
    String((await said([rows(E, 6), rows(H, 4)], [rows(E, 7), rows(H, 4)])).warnings),
    /the base has 6 and 4:/,
  );
  assert.deepEqual((await said([rows(E, 4)], [rows(E, 5)])).warnings, []);
});

test("make-diff says it of the fine-tuned model", async () => {
  const { warnings } = await said([rows(E, 4), rows(H, 4)], [rows(E, 5), rows(H, 4)], true);
  assert.match(
    String(warnings),
    /^the fine-tuned model has 5 rows .* save it again after model.resize_token_embeddings/,
  );
});
