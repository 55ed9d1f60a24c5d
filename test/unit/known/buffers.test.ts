/** Which tensors are buffers that a model computes: a name alone never tells. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Dtype } from "../../../src/formats/dtype.js";
import { isComputedBuffer, isUnused } from "../../../src/known/buffers.js";

type Case = readonly [name: string, dtype: Dtype, shape: readonly number[], modelType: string | null];

const BUFFERS: readonly Case[] = [
  // Causal masks: booleans anywhere, floats where the family or GPT-2's own way to name a layer says so.
  ["transformer.h.0.attn.bias", "BOOL", [1, 1, 32, 32], null],
  ["transformer.h.0.attn.bias", "U8", [1, 1, 32, 32], "gpt2"],
  ["h.11.attn.bias", "F32", [1, 1, 1024, 1024], "gpt2"],
  ["h.11.attn.bias", "F32", [1, 1, 1024, 1024], null],
  ["h.0.attn.bias", "F16", [1, 1, 8, 8], "openai-gpt"],
  ["transformer.h.0.crossattention.bias", "BOOL", [1, 1, 8, 8], "gpt2"],
  ["transformer.h.3.attn.attention.bias", "U8", [1, 1, 8, 8], "gpt_neo"],
  ["gpt_neox.layers.0.attention.bias", "BOOL", [1, 1, 8, 8], "gpt_neox"],
  ["gpt_neox.layers.0.attention.bias", "F16", [1, 1, 8, 8], "gpt_neox"],
  ["transformer.h.0.attn.bias", "BOOL", [8, 8], "gpt_bigcode"],
  ["transformer.h.0.attn.causal_mask", "U8", [1, 1, 8, 8], "codegen"],
  ["transformer.h.0.self_attention.scale_mask_softmax.causal_mask", "BOOL", [1, 1, 8, 8], "bloom"],
  ["transformer.h.0.attn.masked_bias", "F32", [], "gpt2"],
  ["gpt_neox.layers.0.attention.masked_bias", "F16", [], null],
  ["transformer.h.0.attn.attention.masked_bias", "F32", [1], "gpt_neo"],
  // Numbers of positions.
  ["bert.embeddings.position_ids", "I64", [1, 512], "bert"],
  ["roberta.embeddings.token_type_ids", "I64", [1, 514], "roberta"],
  ["text_model.embeddings.position_ids", "I64", [1, 77], "clip"],
  ["vision_tower.vision_model.embeddings.position_ids", "I64", [1, 577], null],
  ["swin.encoder.layers.0.blocks.0.attention.self.relative_position_index", "I64", [49, 49], "swin"],
  // Rotary buffers of every name.
  ["model.layers.0.self_attn.rotary_emb.inv_freq", "F32", [64], "llama"],
  ["model.rotary_emb.inv_freq", "BF16", [64], "qwen2"],
  ["model.rotary_emb.original_inv_freq", "F32", [64], "llama"],
  ["model.rotary_emb_local.inv_freq", "F32", [64], "gemma3_text"],
  ["model.rotary_emb.full_attention_inv_freq", "F32", [64], "gemma3_text"],
  ["gpt_neox.layers.0.attention.rotary_emb.inv_freq", "F16", [10], "gpt_neox"],
  ["transformer.rotary_pos_emb.inv_freq", "F16", [32], "chatglm"],
  ["esm.encoder.layer.0.attention.self.rotary_embeddings.inv_freq", "F32", [8], "esm"],
  ["model.layers.0.self_attn.rotary_emb.cos_cached", "F32", [1, 1, 2048, 128], "llama"],
  ["model.layers.0.self_attn.rotary_emb.sin_cached", "F16", [2048, 128], null],
  // Sinusoids, and what fairseq left behind.
  ["model.encoder.embed_positions.weights", "F32", [1026, 16], "m2m_100"],
  ["model.decoder.embed_positions.weight", "F32", [512, 16], "marian"],
  ["model.decoder.embed_positions._float_tensor", "F32", [1], "trocr"],
  ["decoder.version", "F32", [1], "opt"],
  ["model.layers.0.self_attn.slope_rate", "F32", [8, 1, 1], "minimax"],
];

for (const [name, dtype, shape, modelType] of BUFFERS) {
  test(`${name} ${dtype} [${shape}] of ${modelType ?? "an unknown model"} is a buffer`, () => {
    assert.equal(isComputedBuffer(name, { dtype, shape }, modelType), true);
  });
}

const PARAMETERS: readonly Case[] = [
  // A learned bias that is called as GPT-2's mask is.
  ["model.layers.0.attn.bias", "F32", [64], "gpt2"],
  ["h.0.attn.bias", "F32", [64], null],
  ["h.0.attn.bias", "F32", [1, 12, 32, 32], "gpt2"],
  ["h.0.attn.bias", "F32", [1, 1, 32, 33], "gpt2"],
  ["h.0.attn.bias", "F32", [1, 1, 32, 32], "mymodel"],
  ["blocks.0.attn.bias", "F32", [1, 1, 32, 32], null],
  ["transformer.h.0.attn.c_attn.bias", "F32", [96], "gpt2"],
  ["gpt_neox.layers.0.attention.dense.bias", "F16", [8], "gpt_neox"],
  ["model.layers.0.attn.masked_bias", "F32", [16], null],
  ["embeddings.position_ids", "F32", [1, 32], "bert"],
  ["bert.embeddings.position_embeddings.weight", "F32", [32, 16], "bert"],
  ["model.decoder.embed_positions.weight", "F32", [2050, 16], "opt"],
  ["model.embed_positions.weights.bias", "F32", [16], null],
  ["model.layers.0.rotary.inv_freq", "F32", [4, 4], null],
  ["model.layers.0.self_attn.rotary_emb.inv_freq.weight", "F32", [4], null],
  ["model.myinv_freqs", "F32", [4], null],
  ["decoder.version", "F32", [16], null],
  ["model.layers.0.self_attn.slope_rate", "F32", [8], "llama"],
];

for (const [name, dtype, shape, modelType] of PARAMETERS) {
  test(`${name} ${dtype} [${shape}] of ${modelType ?? "an unknown model"} is a parameter`, () => {
    assert.equal(isComputedBuffer(name, { dtype, shape }, modelType), false);
  });
}

test("the type of the model tells which tensors transformers does not load", () => {
  const bias = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight";
  assert.equal(isUnused(bias, "t5"), true);
  assert.equal(isUnused(bias.replace("block.0", "block.1"), "t5"), false);
  assert.equal(isUnused(bias, "llama"), false);
  assert.equal(isUnused(bias, null), false);
  assert.equal(isUnused("model.layers.61.mlp.gate.weight", "deepseek_v3"), true);
  assert.equal(isUnused("model.layers.60.mlp.gate.weight", "deepseek_v3"), false);
  assert.equal(isUnused("mtp.layers.0.mlp.gate.weight", "qwen3_next"), true);
});
