/** The files beside the weights: whose end tokens count. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { generationOf } from "../../../../src/commands/try/files.js";
import { imagine, withFolder, writeFiles } from "../../../support/checkpoints.js";

// What from_pretrained of transformers 5.23 has: generation_config.json says all, whatever it leaves out.
for (const [generation, config, ends] of [
  [null, "{}", []],
  [null, '{"eos_token_id": null}', []],
  [null, '{"eos_token_id": 3}', [3]],
  [null, '{"eos_token_id": [3, 4]}', [3, 4]],
  ['{"bos_token_id": 1}', '{"eos_token_id": 3}', []],
  ['{"eos_token_id": null}', '{"eos_token_id": 3}', []],
  ['{"eos_token_id": 7}', '{"eos_token_id": 3}', [7]],
  ['{"eos_token_id": [5, 6]}', '{"eos_token_id": 3}', [5, 6]],
  ["no JSON", '{"eos_token_id": 3}', [3]],
] as const) {
  test(`${generation ?? "no generation_config.json"} and ${config} end a text with ${JSON.stringify(ends)}`, async () => {
    await withFolder(async (folder) => {
      await writeFiles(folder, {
        "config.json": config,
        ...(generation === null ? {} : { "generation_config.json": generation }),
      });
      const found = await generationOf({ ...imagine(folder, []), directory: folder });
      assert.deepEqual(found, { ends, others: [] });
    });
  });
}

test("sampling is asked for by generation_config.json, or by config.json as early files do", async () => {
  await withFolder(async (folder) => {
    const checkpoint = { ...imagine(folder, []), directory: folder };
    await writeFiles(folder, { "config.json": '{"do_sample": true}' });
    assert.deepEqual((await generationOf(checkpoint)).others, ["do_sample"]);
    await writeFiles(folder, { "generation_config.json": '{"eos_token_id": 2}' });
    assert.deepEqual((await generationOf(checkpoint)).others, []);
  });
});

test("settings that change a greedy text are named; their plain values are not", async () => {
  const changing = {
    ...{ do_sample: true, num_beams: 4, repetition_penalty: 1.05, no_repeat_ngram_size: 2, min_new_tokens: 5 },
    ...{ bad_words_ids: [[7]], suppress_tokens: [3], forced_eos_token_id: 2 },
  };
  const plain = {
    ...{ do_sample: false, num_beams: 1, repetition_penalty: 1, no_repeat_ngram_size: 0, min_length: 0, top_k: 20 },
    ...{ bad_words_ids: null, suppress_tokens: [], temperature: 0.7, max_length: 4096 },
  };
  await withFolder(async (folder) => {
    const checkpoint = { ...imagine(folder, []), directory: folder };
    for (const [settings, others] of [
      [changing, Object.keys(changing)],
      [plain, []],
    ] as const) {
      await writeFiles(folder, { "generation_config.json": JSON.stringify(settings) });
      assert.deepEqual((await generationOf(checkpoint)).others.toSorted(), [...others].toSorted());
    }
  });
});
