/** Which tensors are of a head, and which models do without which. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { doesWithoutHead, isHead, kindOfClass } from "../../../src/known/heads.js";

test("a head is known by the word that stands first, or after the base model's prefix", () => {
  for (const name of [
    ...["lm_head.weight", "score.weight", "v_head.summary.weight", "value_head.0.bias", "reward_head.weight"],
    ...["classifier.out_proj.weight", "qa_outputs.bias", "cls.predictions.decoder.weight", "vocab_projector.bias"],
    ...[
      "bert.pooler.dense.weight",
      "pooler.dense.bias",
      "embed_out.weight",
      "final_logits_bias",
      "my_head.0.weight",
      "head",
      "heads.1.bias",
    ],
  ]) {
    assert.equal(isHead(name), true, name);
  }
  for (const name of [
    ...["model.layers.0.mlp.gate.weight", "model.embed_tokens.weight", "transformer.h.0.attn.c_attn.weight"],
    ...[
      "bert.encoder.layer.0.output.dense.weight",
      "model.layers.0.score.weight",
      "scores.weight",
      "",
      "ahead.weight",
      "vision_tower.a",
    ],
  ]) {
    assert.equal(isHead(name), false, name);
  }
});

test("the kind of a class is the end of its name", () => {
  const kinds = {
    LlamaForCausalLM: "ForCausalLM",
    GPT2LMHeadModel: "LMHeadModel",
    GPT2DoubleHeadsModel: "DoubleHeadsModel",
    BertModel: "Model",
    LongformerForMaskedLM: "ForMaskedLM",
    LlamaModelForScore: "ForScore",
    XLMRobertaForSequenceClassification: "ForSequenceClassification",
  };
  for (const [architecture, kind] of Object.entries(kinds)) {
    assert.equal(kindOfClass(architecture), kind);
  }
  assert.equal(kindOfClass("MyNet"), null);
  assert.equal(kindOfClass(null), null);
});

const CASES: readonly (readonly [name: string, raw: string | null, driver: string | null, without: boolean])[] = [
  ["lm_head.weight", "LlamaForCausalLM", "LlamaForSequenceClassification", true],
  ["lm_head.weight", "LlamaForCausalLM", "LlamaModel", true],
  ["lm_head.weight", null, "LlamaForTokenClassification", true],
  ["lm_head.weight", "LlamaForCausalLM", "LlamaForCausalLM", false],
  ["lm_head.weight", "LlamaForCausalLM", "MistralForCausalLM", false],
  ["lm_head.weight", "LlamaForCausalLM", "LlavaForConditionalGeneration", false],
  ["lm_head.weight", "XLMWithLMHeadModel", "XLMForSequenceClassification", true],
  ["lm_head.weight", "LlamaForCausalLM", null, false],
  ["cls.predictions.bias", "BertForPreTraining", "BertForMaskedLM", false],
  ["cls.seq_relationship.weight", "BertForPreTraining", "BertForMaskedLM", true],
  ["cls.seq_relationship.weight", "BertForMaskedLM", "BertForMaskedLM", true],
  ["bert.pooler.dense.weight", "BertForMaskedLM", "BertForMaskedLM", true],
  ["bert.pooler.dense.weight", "BertModel", "BertForTokenClassification", true],
  ["bert.pooler.dense.weight", "BertForMaskedLM", "BertForSequenceClassification", false],
  ["score.weight", "LlamaForSequenceClassification", "LlamaForCausalLM", true],
  ["score.weight", "LlamaForSequenceClassification", "LlamaForSequenceClassification", false],
  ["score.weight", null, "LlamaForCausalLM", false],
];

for (const [name, raw, driver, without] of CASES) {
  test(`${driver} made from ${raw} ${without ? "does without" : "needs"} ${name}`, () => {
    assert.equal(doesWithoutHead(name, raw, driver), without);
  });
}
