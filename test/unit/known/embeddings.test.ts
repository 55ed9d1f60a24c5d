/** Which names are those of embeddings and heads. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { EMBEDDING, embeddingsOf, INPUT_EMBEDDING, OUTPUT_EMBEDDING } from "../../../src/known/embeddings.js";
import { isLanguageModel } from "../../../src/known/language-models.js";

for (const [name, kind] of [
  ["model.embed_tokens.weight", "input"],
  ["model.language_model.embed_tokens.weight", "input"],
  ["transformer.wte.weight", "input"],
  ["wte.weight", "input"],
  ["bert.embeddings.word_embeddings.weight", "input"],
  ["backbone.embeddings.weight", "input"],
  ["transformer.w.weight", "input"],
  ["lm_head.weight", "output"],
  ["language_model.lm_head.weight", "output"],
  ["embed_out.weight", "output"],
  ["cls.predictions.decoder.weight", "output"],
  ["lm_head.decoder.weight", "output"],
  ["vocab_projector.weight", "output"],
  ["bert.embeddings.position_embeddings.weight", null],
  ["model.embed_tokens_per_layer.weight", null],
  ["lm_head.dense.weight", null],
  ["model.layers.0.mlp.w.weight", null],
  ["score.weight", null],
  ["head.weight", null],
  ["lm_head.bias", null],
  ["xlm_head.weight", null],
] as const) {
  test(`${name} is ${kind === null ? "neither embedding nor head" : kind === "input" ? "an embedding" : "a head"}`, () => {
    assert.equal(INPUT_EMBEDDING.test(name), kind === "input");
    assert.equal(OUTPUT_EMBEDDING.test(name), kind === "output");
    assert.equal(EMBEDDING.test(name), kind !== null);
  });
}

test("a model's own embedding comes before those of its towers and never from an encoder", () => {
  const names = [
    "model.audio_tower.embed_tokens.weight",
    "model.embed_tokens.weight",
    "model.encoder.embed_tokens.weight",
    "talker.lm_head.weight",
    "lm_head.weight",
  ];
  assert.deepEqual(embeddingsOf(names), { input: "model.embed_tokens.weight", output: "lm_head.weight" });
  assert.deepEqual(embeddingsOf(["encoder.embed_tokens.weight"]), { input: null, output: null });
});

test("of several names of one rank, none is taken", () => {
  assert.deepEqual(embeddingsOf(["a.lm_head.weight", "b.lm_head.weight", "x.wte.weight"]), {
    input: "x.wte.weight",
    output: null,
  });
});

for (const [type, name, expected] of [
  ["llama", "LlamaForCausalLM", true],
  ["llama", null, true],
  ["llama", "LlamaForSequenceClassification", false],
  ["qwen2", "Qwen2Model", false],
  ["gpt2", "GPT2LMHeadModel", true],
  ["bert", "BertForMaskedLM", true],
  ["bert", "BertModel", false],
  ["gemma3", "Gemma3ForConditionalGeneration", true],
  ["bart", "BartForConditionalGeneration", false],
  ["t5", "T5ForConditionalGeneration", false],
  ["baichuan", "BaichuanForCausalLM", true],
  ["baichuan", null, null],
  [null, null, null],
] as const) {
  test(`model_type ${type}, class ${name}: ${expected === null ? "nothing tells" : expected ? "a language model" : "no language model"}`, () => {
    assert.equal(isLanguageModel(type, name), expected);
  });
}
