/** Names of two checkpoints brought together, as from_pretrained does it: which tensor of the base is which of the driver. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { alignNames } from "../../../src/plan/names.js";
import { imagine } from "../../support/checkpoints.js";
import { refuses } from "../../support/refusal.js";

const checkpoint = (path: string, names: readonly string[]) =>
  imagine(
    path,
    names.map((name) => ({ name, shape: [2, 2] })),
  );

const SIDES = { raw: "base", driver: "diff" };

/** What both sides are called: each name of the base with the name it has in its file, and the driver's. */
function align(raw: readonly string[], driver: readonly string[]) {
  const aligned = alignNames(checkpoint("base", raw), checkpoint("diff", driver), SIDES);
  return {
    raw: Object.fromEntries([...aligned.raw.stateDict].map(([name, tensor]) => [name, tensor.name])),
    driver: Object.fromEntries([...aligned.driver.stateDict].map(([name, tensor]) => [name, tensor.name])),
    notes: [
      ...aligned.raw.notes.map((note) => `base: ${note}`),
      ...aligned.driver.notes.map((note) => `diff: ${note}`),
    ],
  };
}

/** Every name of the driver has one of the base. */
function allMeet(raw: readonly string[], driver: readonly string[], notes: number): ReturnType<typeof align> {
  const aligned = align(raw, driver);
  assert.deepEqual(Object.keys(aligned.raw).sort(), Object.keys(aligned.driver).sort());
  assert.equal(aligned.notes.length, notes, aligned.notes.join("\n"));
  return aligned;
}

const LLAMA = ["embed_tokens.weight", "layers.0.self_attn.q_proj.weight", "layers.1.mlp.up_proj.weight", "norm.weight"];
/** A base model's tensors under each prefix, as transformers names them. */
const FAMILIES: readonly (readonly [family: string, prefix: string, names: readonly string[]])[] = [
  ["LLaMA", "model", LLAMA],
  ["OPT", "model", ["decoder.embed_tokens.weight", "decoder.layers.0.fc1.bias", "decoder.final_layer_norm.weight"]],
  ["GPT-2", "transformer", ["wte.weight", "wpe.weight", "h.0.attn.c_attn.bias", "ln_f.weight"]],
  ["Falcon", "transformer", ["word_embeddings.weight", "h.0.self_attention.query_key_value.weight", "ln_f.bias"]],
  [
    "Bloom",
    "transformer",
    ["word_embeddings.weight", "word_embeddings_layernorm.bias", "h.1.mlp.dense_h_to_4h.weight"],
  ],
  ["GPT-NeoX", "gpt_neox", ["embed_in.weight", "layers.0.attention.dense.bias", "final_layer_norm.weight"]],
  [
    "BERT",
    "bert",
    ["embeddings.word_embeddings.weight", "encoder.layer.0.attention.self.query.weight", "pooler.dense.bias"],
  ],
  ["RoBERTa", "roberta", ["embeddings.word_embeddings.weight", "encoder.layer.3.output.LayerNorm.weight"]],
  ["DistilBERT", "distilbert", ["embeddings.word_embeddings.weight", "transformer.layer.0.ffn.lin1.weight"]],
  ["ViT", "vit", ["embeddings.cls_token", "encoder.layer.0.layernorm_before.weight"]],
];

for (const [family, prefix, names] of FAMILIES) {
  const withPrefix = names.map((name) => `${prefix}.${name}`);
  test(`a ${family} base without "${prefix}." pairs with a driver that has the prefix`, () => {
    const { raw, driver, notes } = allMeet(names, withPrefix, 1);
    assert.deepEqual(raw, Object.fromEntries(names.map((name) => [`${prefix}.${name}`, name])));
    assert.deepEqual(Object.keys(driver), withPrefix);
    assert.match(notes[0] ?? "", new RegExp(`^base: ${names.length} names are read with "${prefix}\\." added`));
  });
  test(`a ${family} base with "${prefix}." pairs with a driver without the prefix, and its head is left out`, () => {
    const { raw, notes } = align([...withPrefix, "lm_head.weight", "cls.predictions.bias"], names);
    assert.deepEqual(raw, Object.fromEntries(names.map((name) => [name, `${prefix}.${name}`])));
    assert.match(notes[0] ?? "", new RegExp(`"${prefix}\\." taken off`));
    assert.match(notes[1] ?? "", /^base: its head is left out \("lm_head.weight", "cls.predictions.bias"\)/);
  });
}

test("names that are the same need no step and no note", () => {
  const names = ["model.layers.0.mlp.up_proj.weight", "lm_head.weight", "module.odd"];
  const raw = checkpoint("base", names);
  const driver = checkpoint("diff", names);
  const aligned = alignNames(raw, driver, SIDES);
  assert.equal(aligned.raw, raw);
  assert.equal(aligned.driver, driver);
});

test("a head that the driver lacks stays with the base where both have the prefix", () => {
  const { raw, notes } = align(["model.norm.weight", "lm_head.weight"], ["model.norm.weight"]);
  assert.deepEqual(Object.keys(raw), ["model.norm.weight", "lm_head.weight"]);
  assert.deepEqual(notes, []);
});

test("a prefix that no base model has is not added", () => {
  const { raw, notes } = align(
    LLAMA,
    LLAMA.map((name) => `backbone_model.model.${name}`),
  );
  assert.deepEqual(Object.keys(raw), LLAMA);
  assert.deepEqual(notes, []);
  // Husky's: the scheme knows it.
  assert.deepEqual(
    align(
      LLAMA,
      LLAMA.map((name) => `language_model.${name}`),
    ).notes,
    [],
  );
});

test("of two prefixes that match equally many names, neither is chosen", () => {
  assert.deepEqual(align(["norm.weight"], ["model.norm.weight", "transformer.norm.weight"]).notes, []);
});

const WRAPPERS: readonly (readonly [string, (name: string) => string])[] = [
  ["module", (name) => `module.${name}`],
  ["module twice", (name) => `module.module.${name}`],
  ["_orig_mod", (name) => `_orig_mod.${name}`],
  ["_orig_mod of every layer", (name) => name.replace(/(layers\.\d+)\./, "$1._orig_mod.")],
  ["_orig_mod of the model inside", (name) => name.replace(/^model\./, "model._orig_mod.")],
  ["_fsdp_wrapped_module", (name) => `_fsdp_wrapped_module.${name}`],
  [
    "_fsdp_wrapped_module of model and layers",
    (name) => `_fsdp_wrapped_module.${name.replace(/(layers\.\d+)\./, "$1._fsdp_wrapped_module.")}`,
  ],
  [
    "_checkpoint_wrapped_module",
    (name) => name.replace(/(layers\.\d+)\./, "$1._fsdp_wrapped_module._checkpoint_wrapped_module."),
  ],
  ["_forward_module", (name) => `_forward_module.${name}`],
  ["_forward_module over module over _orig_mod", (name) => `_forward_module.module._orig_mod.${name}`],
  ["base_model.model", (name) => `base_model.model.${name}`],
  ["base_model.model and base_layer", (name) => `base_model.model.${name.replace(/(_proj)\./, "$1.base_layer.")}`],
  ["pretrained_model", (name) => `pretrained_model.${name}`],
  ["pretrained_model over base_model.model", (name) => `pretrained_model.base_model.model.${name}`],
  ["module in the middle", (name) => name.replace(/^model\./, "model.module.")],
];
const MODEL = [...LLAMA.map((name) => `model.${name}`), "lm_head.weight"];

for (const [wrapper, wrap] of WRAPPERS) {
  const wrapped = MODEL.map(wrap);
  assert.notDeepEqual(wrapped, MODEL);
  test(`${wrapper}: a wrapped driver pairs with a plain base, and the result has the plain names`, () => {
    const { raw, driver } = align(MODEL, wrapped);
    assert.deepEqual(raw, Object.fromEntries(MODEL.map((name) => [name, name])));
    assert.deepEqual(driver, Object.fromEntries(MODEL.map((name, index) => [name, wrapped[index]])));
  });
  test(`${wrapper}: a plain driver pairs with a wrapped base`, () => {
    const { raw, driver } = align(wrapped, MODEL);
    assert.deepEqual(raw, Object.fromEntries(MODEL.map((name, index) => [name, wrapped[index]])));
    assert.deepEqual(Object.keys(driver), MODEL);
  });
  test(`${wrapper}: a wrapped driver with a prefix pairs with a base without it`, () => {
    const names = MODEL.slice(0, -1);
    allMeet(LLAMA, names.map(wrap), new Set(align(names, names.map(wrap)).notes).size + 1);
  });
}

test("each side has its own wrapper", () => {
  const { driver } = align(
    MODEL.map((name) => `module.${name}`),
    MODEL.map((name) => `_orig_mod.${name}`),
  );
  assert.deepEqual(Object.keys(driver), MODEL);
});

test("a wrapper that no loader knows is removed from both sides; a part that may be the model's own stays where both have it", () => {
  assert.deepEqual(Object.keys(align(["_orig_mod.a"], ["_orig_mod.a"]).driver), ["a"]);
  assert.deepEqual(Object.keys(align(["module.a"], ["module.a"]).driver), ["module.a"]);
});

test("a head of the driver's own keeps its name, wrapped or not", () => {
  const { driver } = align(MODEL, [...MODEL.map((name) => `pretrained_model.${name}`), "v_head.summary.weight"]);
  assert.deepEqual(Object.keys(driver), [...MODEL, "v_head.summary.weight"]);
  const wrapped = align(MODEL, [...MODEL.map((name) => `module.${name}`), "module.v_head.module.bias"]);
  assert.deepEqual(Object.keys(wrapped.driver).at(-1), "v_head.module.bias");
});

test("one note for each wrapper tells what adds it and how many names had it", () => {
  const { notes } = align(
    MODEL,
    MODEL.map((name) => `module._orig_mod.${name}`),
  );
  assert.deepEqual(notes, [
    'diff: 5 names are read without "_orig_mod.": torch.compile put it there, and loaders do not know these names',
    'diff: 5 names are read without "module.": DistributedDataParallel or DeepSpeed put it there, and loaders do not know these names',
  ]);
});

test("two names that become one are refused by name", async () => {
  await refuses(
    () => align(MODEL, [...MODEL, "_orig_mod.lm_head.weight"]),
    "MISMATCH",
    /^diff: "lm_head.weight" and "_orig_mod.lm_head.weight" of the diff both become "lm_head.weight"/,
  );
  await refuses(
    () =>
      align(
        [...LLAMA, "model.norm.weight"],
        LLAMA.map((name) => `model.${name}`),
      ),
    "MISMATCH",
    /^base: "norm.weight" and "model.norm.weight" of the base both become "model.norm.weight"/,
  );
});

const NAMES_OF_VERSIONS: readonly (readonly [string, readonly string[], readonly string[]])[] = [
  [
    "BERT's LayerNorm.gamma and beta",
    ["bert.a.LayerNorm.gamma", "bert.a.LayerNorm.beta"],
    ["bert.a.LayerNorm.weight", "bert.a.LayerNorm.bias"],
  ],
  [
    "weight_g and weight_v",
    ["wav2vec2.conv.weight_g", "wav2vec2.conv.weight_v"],
    ["wav2vec2.conv.parametrizations.weight.original0", "wav2vec2.conv.parametrizations.weight.original1"],
  ],
  [
    "GPT-NeoX's embed_out",
    ["gpt_neox.embed_in.weight", "embed_out.weight"],
    ["gpt_neox.embed_in.weight", "lm_head.weight"],
  ],
  [
    "LLaVA's towers before and after 4.52",
    [
      "language_model.model.layers.0.mlp.up_proj.weight",
      "language_model.lm_head.weight",
      "vision_tower.vision_model.post_layernorm.bias",
      "multi_modal_projector.linear_1.weight",
    ],
    [
      "model.language_model.layers.0.mlp.up_proj.weight",
      "lm_head.weight",
      "model.vision_tower.vision_model.post_layernorm.bias",
      "model.multi_modal_projector.linear_1.weight",
    ],
  ],
  [
    "Qwen2-VL's before and after 4.52",
    [
      "model.layers.0.mlp.up_proj.weight",
      "model.embed_tokens.weight",
      "lm_head.weight",
      "visual.blocks.0.attn.qkv.weight",
    ],
    [
      "model.language_model.layers.0.mlp.up_proj.weight",
      "model.language_model.embed_tokens.weight",
      "lm_head.weight",
      "model.visual.blocks.0.attn.qkv.weight",
    ],
  ],
];

for (const [what, old, now] of NAMES_OF_VERSIONS) {
  test(`${what} pair, whichever side is older`, () => {
    for (const [raw, driver] of [
      [old, now],
      [now, old],
    ] as const) {
      const aligned = allMeet(raw, driver, 1);
      assert.deepEqual(aligned.raw, Object.fromEntries(driver.map((name, index) => [name, raw[index]])));
    }
  });
}

test("an old BERT without its prefix pairs by prefix and by old names at once", () => {
  const { notes } = allMeet(["a.LayerNorm.gamma", "a.weight"], ["bert.a.LayerNorm.weight", "bert.a.weight"], 1);
  assert.match(notes[0] ?? "", /2 names are read with "bert\." added/);
});

test("a language model is not taken for the tower of a vision model", () => {
  const { notes } = align(MODEL, [...MODEL.map((name) => `language_model.${name}`), "vision_tower.a.weight"]);
  assert.deepEqual(notes, []);
});

test("names of any kind are no trouble", () => {
  for (const name of [
    "",
    ".",
    "..",
    "module",
    "module.",
    ".module.",
    "_orig_mod",
    "_orig_mod.",
    "__proto__",
    "constructor.prototype",
  ]) {
    align([name], [name]);
    align([name], ["a"]);
    align(["a"], [name]);
  }
});
