/** Whether a loaded model's head is its embedding: by its config, and by values where its files hold both. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { openCheckpoint } from "../../../src/checkpoint/checkpoint.js";
import { readConfig } from "../../../src/checkpoint/config.js";
import { type LoadedTie, loadedTie } from "../../../src/evidence/ties.js";
import { safetensors, type TensorSpec, withFolder, writeFiles } from "../../support/checkpoints.js";

const E = "model.embed_tokens.weight";
const H = "lm_head.weight";
/** More than one piece of what is compared at a time. */
const ROWS = 300_000;

function look(config: string | null, ...tensors: readonly TensorSpec[]): Promise<LoadedTie> {
  return withFolder(async (folder) => {
    const files = { "model.safetensors": safetensors(...tensors) };
    await writeFiles(folder, config === null ? files : { ...files, "config.json": config });
    return loadedTie(await openCheckpoint(folder), await readConfig(folder));
  });
}

const matrix = (name: string, change?: number): TensorSpec => {
  const values = new Float32Array(ROWS * 4).map((_, index) => index % 1000);
  if (change !== undefined) {
    values[change] = -1;
  }
  return [name, "F32", [ROWS, 4], values];
};
const TIED = '{"tie_word_embeddings": true}';

test("the config decides if the files hold only one of the two", async () => {
  assert.deepEqual(await look(TIED, matrix(E)), { tied: true, note: null });
  assert.deepEqual(await look(TIED, matrix(H)), { tied: true, note: null });
  assert.deepEqual(await look('{"tie_word_embeddings": false}', matrix(E)), { tied: false, note: null });
  assert.deepEqual(await look('{"model_type": "gemma"}', matrix(E)), { tied: true, note: null });
  assert.deepEqual(await look('{"model_type": "qwen2"}', matrix(E)), { tied: false, note: null });
  assert.deepEqual(await look('{"text_config": {"tie_word_embeddings": true}}', matrix(E)), { tied: true, note: null });
});

test("is unknown without a config, or for an unknown family", async () => {
  assert.equal((await look(null, matrix(E))).tied, null);
  assert.equal((await look("{}", matrix(E), matrix(H))).tied, null);
});

test("two equal copies are tied, to the last element", async () => {
  assert.deepEqual(await look(TIED, matrix(E), matrix(H)), { tied: true, note: null });
});

for (const at of [0, ROWS * 4 - 1]) {
  test(`two that differ in element ${at} are two, and that is said`, async () => {
    const { tied, note } = await look(TIED, matrix(E), matrix(H, at));
    assert.equal(tied, false);
    assert.match(
      note ?? "",
      /ties "model\.embed_tokens\.weight" and "lm_head\.weight", its files hold two that differ/,
    );
  });
}

test("two of different dtype or shape are two", async () => {
  const half: TensorSpec = [H, "F16", [ROWS, 4], new Uint16Array(ROWS * 4)];
  assert.equal((await look(TIED, matrix(E), half)).tied, false);
  assert.equal((await look(TIED, matrix(E), [H, "F32", [4, ROWS], new Float32Array(ROWS * 4)])).tied, false);
});
