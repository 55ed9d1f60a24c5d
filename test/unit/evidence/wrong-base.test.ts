/** What two configs say of one another: other models, other spellings, and what a fine-tune may change. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { type ModelConfig, readConfig } from "../../../src/checkpoint/config.js";
import { compareConfigs, mixedUpLlamas } from "../../../src/evidence/wrong-base.js";
import { withFolder, writeFiles } from "../../support/checkpoints.js";
import { FIXTURES } from "../../support/fixtures.js";

const CONFIG = await readConfig(join(FIXTURES, "trained/llama/base"));
const config = (change: Partial<ModelConfig> = {}): ModelConfig => {
  assert.ok(CONFIG !== null);
  return { ...CONFIG, ...change };
};
const LLAMA_2 = { normEps: 1e-5, context: 4096 };

for (const [key, change, raw, diff] of [
  ["rms_norm_eps", { normEps: 1e-5 }, 1e-5, 1e-6],
  ["max_position_embeddings", { context: 4096 }, 4096, 2048],
  ["hidden_act", { activation: "gelu" }, "gelu", "silu"],
  ["num_attention_heads", { heads: 8 }, 8, 4],
  ["num_key_value_heads", { keyValueHeads: 2 }, 2, 4],
  ["rope_theta", { ropeTheta: 1e6 }, 1e6, 1e4],
] as const) {
  test(`names ${key} and both values`, () => {
    assert.deepEqual(compareConfigs(config(change), config({ keyValueHeads: 4 })), [{ key, raw, diff }]);
  });
}

for (const [what, raw, diff] of [
  ["a missing config", null, config()],
  ["no config at all", null, null],
  ["equal configs", config(), config()],
  ["values that one side does not state", config({ normEps: null, context: null, heads: null }), config(LLAMA_2)],
  ["one epsilon in two spellings", config({ normEps: 9.999999747378752e-6 }), config({ normEps: 1e-5 })],
  ["one activation by two names", config({ activation: "swish" }), config()],
  ["a context that the fine-tune made longer", config(), config({ context: 16_384 })],
] as const) {
  test(`${what}: no difference`, () => {
    assert.deepEqual(compareConfigs(raw, diff), []);
  });
}

test("knows Llama 2 and LLaMA-1 apart, either way round", () => {
  assert.deepEqual(mixedUpLlamas(config(LLAMA_2), config()), { raw: "Llama 2", diff: "LLaMA-1" });
  assert.deepEqual(mixedUpLlamas(config(), config(LLAMA_2)), { raw: "LLaMA-1", diff: "Llama 2" });
});

for (const [what, raw, diff] of [
  ["the same generation", config(LLAMA_2), config(LLAMA_2)],
  ["only the context differs", config({ context: 4096 }), config()],
  ["only the epsilon differs: LLaMA-1 65B", config({ normEps: 1e-5 }), config()],
  ["another family", config({ ...LLAMA_2, modelType: "mistral" }), config()],
  ["no config", null, config()],
] as const) {
  test(`is not certain: ${what}`, () => {
    assert.equal(mixedUpLlamas(raw, diff), null);
  });
}

test("reads early and late spellings of the config", async () => {
  await withFolder(async (folder) => {
    await writeFiles(folder, {
      "early/config.json": '{"model_type": "llama", "max_sequence_length": 2048, "rms_norm_eps": 1e-06}',
      "late/config.json":
        '{"model_type": "llama", "rope_parameters": {"rope_theta": 500000.0, "rope_type": "default"}}',
      "odd/config.json": '{"model_type": 7, "rope_parameters": [], "rms_norm_eps": "x", "hidden_act": null}',
    });
    const early = await readConfig(join(folder, "early"));
    assert.deepEqual([early?.context, early?.normEps, early?.ropeTheta], [2048, 1e-6, 10_000]);
    assert.equal((await readConfig(join(folder, "late")))?.ropeTheta, 500_000);
    const odd = await readConfig(join(folder, "odd"));
    assert.deepEqual([odd?.modelType, odd?.ropeTheta, odd?.normEps, odd?.activation], [null, 10_000, null, null]);
  });
});
