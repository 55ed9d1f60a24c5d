/** What a model in Meta's layout gets as config.json: by its generation, as transformers' converters write it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { generationConfigText, metaConfigText } from "../../../../../src/checkpoint/layouts/meta/config.js";
import type { MetaModel } from "../../../../../src/checkpoint/layouts/meta/layout.js";
import { parseParams } from "../../../../../src/checkpoint/layouts/meta/params.js";

const SEVEN: MetaModel = {
  ...{ hiddenSize: 4096, layers: 32, heads: 32, keyValueHeads: 32, intermediateSize: 11_008, vocabulary: 32_000 },
  tensors: [],
};

function configOf(model: Partial<MetaModel>, params: object): Readonly<Record<string, unknown>> {
  const text = JSON.stringify({ dim: 4096, n_heads: 32, n_layers: 32, ...params });
  return JSON.parse(metaConfigText({ ...SEVEN, ...model }, parseParams(text, "params.json")));
}

// transformers 4.44.2, convert_llama_weights_to_hf.py: CONTEXT_LENGTH_FOR_VERSION and write_model.
for (const [generation, model, params, expected] of [
  ["LLaMA", {}, { norm_eps: 1e-6 }, [1, 2, 2048, undefined]],
  ["Llama 2", {}, { norm_eps: 1e-5 }, [1, 2, 4096, undefined]],
  ["Code Llama", { vocabulary: 32_016 }, { norm_eps: 1e-5, rope_theta: 1_000_000 }, [1, 2, 16_384, 1_000_000]],
  [
    "Llama 3",
    { vocabulary: 128_256, keyValueHeads: 8, intermediateSize: 14_336 },
    { norm_eps: 1e-5, rope_theta: 500_000, n_kv_heads: 8, vocab_size: 128_256 },
    [128_000, 128_001, 8192, 500_000],
  ],
] as const) {
  test(`${generation} has the tokens and the length that transformers' converter gives it`, () => {
    const config = configOf(model, params);
    const found = ["bos_token_id", "eos_token_id", "max_position_embeddings", "rope_theta"].map((key) => config[key]);
    assert.deepEqual(found, expected);
    const generationConfig = JSON.parse(generationConfigText(config.vocab_size as number));
    assert.deepEqual([generationConfig.bos_token_id, generationConfig.eos_token_id], expected.slice(0, 2));
  });
}

test("the config has no padding token for Llama 3, whose tokenizer has none", () => {
  const third = configOf({ vocabulary: 128_256 }, { norm_eps: 1e-5, rope_theta: 500_000 });
  assert.ok(!("pad_token_id" in third));
  assert.equal(
    generationConfigText(128_256),
    '{\n  "_from_model_config": true,\n  "bos_token_id": 128000,\n  "eos_token_id": 128001\n}\n',
  );
  assert.equal(configOf({}, { norm_eps: 1e-6 }).pad_token_id, 0);
});
