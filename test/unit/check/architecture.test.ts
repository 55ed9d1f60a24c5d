/**
 * Names and shapes against config.json: what transformers saves is found sound, and every tensor that is missing, cut, empty or flat
 * is found. Names, shapes and configs are those of transformers itself (fixtures/architectures/make.py).
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { checkArchitecture } from "../../../src/check/architecture.js";
import { type ModelConfig, readConfig } from "../../../src/checkpoint/config.js";
import { knownParts, plainNames } from "../../../src/evidence/architecture.js";
import { type Finding, reporter } from "../../../src/finding.js";
import { ARCHITECTURES, COMPOSITES } from "../../../src/known/architectures.js";
import { imagine, withFolder, writeFiles } from "../../support/checkpoints.js";
import { FIXTURES } from "../../support/fixtures.js";

type Shapes = Readonly<Record<string, readonly number[]>>;
interface Case {
  readonly config: Readonly<Record<string, unknown>>;
  readonly shapes: Shapes;
}

const CASES: Readonly<Record<string, Case>> = JSON.parse(
  readFileSync(join(FIXTURES, "architectures", "shapes.json"), "utf8"),
);
/** What is left to the model: its projector, a head of its own, a tower that is not known, and experts that are stored in one. */
const UNJUDGED =
  /(^|\.)(multi_modal_projector|image_newline|score|classifier|lm_head\.bias)(\.|$)|\.mlp\.experts\.(gate_up|down)_proj$/;
const PIXTRAL = /(^|\.)vision_tower\.(?!.*(embeddings|encoder|post_layernorm|pre_layrnorm))/;

async function configOf(values: object): Promise<ModelConfig | null> {
  return withFolder(async (folder) => readConfig(await writeFiles(folder, { "config.json": JSON.stringify(values) })));
}

function found(shapes: Shapes, config: ModelConfig | null): readonly Finding[] {
  const findings: Finding[] = [];
  const { stateDict } = imagine(
    "model",
    Object.entries(shapes).map(([name, shape]) => ({ name, shape })),
  );
  checkArchitecture(stateDict, config, reporter(findings, "structure"));
  return findings;
}

const errors = (findings: readonly Finding[]): readonly string[] =>
  findings.filter(({ level }) => level === "error").map(({ tensor, message }) => `${tensor ?? ""}: ${message}`);

const isJudged = (name: string, what: string): boolean =>
  !UNJUDGED.test(name) &&
  !PIXTRAL.test(name) &&
  !(what.startsWith("mixtral, names") && name.endsWith("mlp.gate.weight"));

for (const [what, { config: values, shapes }] of Object.entries(CASES)) {
  test(`${what}: sound as saved, and no tensor may be missing`, async () => {
    const config = await configOf(values);
    assert.deepEqual(found(shapes, config), []);
    const names = plainNames(
      imagine(
        "model",
        Object.entries(shapes).map(([name, shape]) => ({ name, shape })),
      ).stateDict,
    );
    assert.ok(knownParts(names, config).length > 0);
    for (const name of Object.keys(shapes)) {
      const { [name]: _, ...rest } = shapes;
      assert.equal(errors(found(rest, config)).length > 0, isJudged(name, what), `without ${name}`);
    }
  });

  test(`${what}: no dimension may be another, no weight empty or flat`, async () => {
    const config = await configOf(values);
    for (const [name, shape] of Object.entries(shapes).filter(([name]) => isJudged(name, what))) {
      for (const index of shape.keys()) {
        const other = shape.with(index, (shape[index] ?? 0) + 1);
        const said = errors(found({ ...shapes, [name]: other }, config));
        assert.ok(said.length > 0, `${name} of ${other}`);
      }
      for (const cut of [[0], [shape.reduce((product, size) => product * size, 1)]]) {
        const findings = found({ ...shapes, [name]: cut }, config);
        const sound = cut.join() === shape.join();
        assert.equal(errors(findings).length === 0, sound, `${name} of ${cut}`);
        if (!sound && /weight$/.test(name)) {
          assert.equal(findings[0]?.code, "ungathered", `${name} of ${cut}`);
          assert.match(
            findings[0]?.message ?? "",
            cut[0] === 0 ? /zero_to_fp32\.py.*stage3_gather_16bit_weights_on_model_save/ : /FULL_STATE_DICT/,
          );
        }
      }
    }
  });
}

test("every architecture and composite of the table is among the cases", () => {
  const types = Object.values(CASES).flatMap(({ config }) =>
    [config, config.text_config, config.vision_config].flatMap((part) => {
      const type = (part as { readonly model_type?: string } | undefined)?.model_type;
      return type === undefined ? [] : [type];
    }),
  );
  assert.deepEqual(
    [...ARCHITECTURES.keys(), ...COMPOSITES].filter((type) => !types.includes(type)),
    [],
  );
});

const LLAMA = CASES.llama ?? { config: {}, shapes: {} };
const renamed = (name: (name: string) => string): Shapes =>
  Object.fromEntries(Object.entries(LLAMA.shapes).map(([key, shape]) => [name(key), shape]));

test("is silent on what it does not know: another class, code beside the weights, quantised weights, no config", async () => {
  const { "model.norm.weight": _, ...rest } = LLAMA.shapes;
  for (const change of [
    { architectures: ["LlamaRewardModel"] },
    { architectures: ["LlamaForCausalLM", "AnotherModel"] },
    { model_type: "llama_of_next_year" },
    { model_type: "llava", architectures: ["LlavaLlamaForCausalLM"] },
    { auto_map: { AutoModelForCausalLM: "modeling.Llama" } },
    { quantization_config: { quant_method: "fp8" } },
  ]) {
    assert.deepEqual(found(rest, await configOf({ ...LLAMA.config, ...change })), [], JSON.stringify(change));
  }
  assert.deepEqual(found(rest, null), []);
});

test("goes by the shapes that all tensors share where the config says nothing of them", async () => {
  const { model_type, architectures } = LLAMA.config;
  const config = await configOf({ model_type, architectures });
  assert.deepEqual(found(LLAMA.shapes, config), []);
  assert.deepEqual(errors(found({ ...LLAMA.shapes, "model.norm.weight": [15] }, config)), [
    "model.norm.weight: is [15]: in LlamaForCausalLM it is [16]",
  ]);
});

test("takes the base model's prefix or none, and tells of wrappers that no loader knows", async () => {
  const config = await configOf(LLAMA.config);
  assert.deepEqual(
    found(
      renamed((name) => name.replace(/^model\./, "")),
      config,
    ),
    [],
  );
  for (const [before, who] of [
    ["module.", "DistributedDataParallel"],
    ["_orig_mod.", "torch.compile"],
    ["base_model.model.", "PEFT"],
    ["pretrained_model.", "TRL"],
  ]) {
    const findings = found(
      renamed((name) => before + name),
      config,
    );
    assert.deepEqual(
      findings.map(({ level }) => level),
      ["warning"],
    );
    assert.match(findings[0]?.message ?? "", new RegExp(`"${before?.replaceAll(".", "\\.")}".*${who}`));
  }
  const inside = found(
    renamed((name) => name.replace(".self_attn.", "._fsdp_wrapped_module.self_attn.")),
    config,
  );
  assert.deepEqual(
    inside.map(({ level }) => level),
    ["warning"],
  );
  const elsewhere = found(
    renamed((name) => `language_model.${name}`),
    config,
  );
  assert.deepEqual(
    elsewhere.map(({ level, message }) => [level, message]),
    [["warning", 'names begin with "language_model.model.": loaders do not look for LlamaForCausalLM\'s there']],
  );
});

test("a head of a reward model stands in the place of the output embedding", async () => {
  const config = await configOf(LLAMA.config);
  const { "lm_head.weight": _, ...body } = LLAMA.shapes;
  assert.deepEqual(errors(found(body, config)), [": tie_word_embeddings is false, and there is no output embedding"]);
  for (const name of ["v_head.summary.weight", "score.weight", "value_head.weight", "rm_head.0.weight"]) {
    assert.deepEqual(found({ ...body, [name]: [1, 16] }, config), [], name);
  }
});

test("a tied model may be saved with either of its embeddings", async () => {
  const tied = CASES["llama, tied, wide heads"] ?? LLAMA;
  const config = await configOf(tied.config);
  const { "model.embed_tokens.weight": embedding = [], ...rest } = tied.shapes;
  assert.deepEqual(found({ ...tied.shapes, "lm_head.weight": embedding }, config), []);
  assert.deepEqual(found({ ...rest, "lm_head.weight": embedding }, config), []);
  assert.equal(errors(found(rest, config)).length, 1);
});

test("counts layers, and names the ones that lack a tensor", async () => {
  const config = await configOf(LLAMA.config);
  const without = (pattern: RegExp): Shapes =>
    Object.fromEntries(Object.entries(LLAMA.shapes).filter(([name]) => !pattern.test(name)));
  assert.deepEqual(errors(found(without(/layers\.1\./), config)), [
    ": num_hidden_layers is 2, the number of layers among the tensors is 1",
  ]);
  assert.deepEqual(errors(found(without(/layers\.1\..*q_proj/), config)), [
    "model.layers.*.self_attn.q_proj.weight: missing in layer 1: LlamaForCausalLM has it",
  ]);
  assert.deepEqual(errors(found(without(/q_proj/), config)), [
    "model.layers.*.self_attn.q_proj.weight: missing in every layer: LlamaForCausalLM has it",
  ]);
  assert.deepEqual(errors(found(without(/./), config)), [": not one tensor has a name of LlamaForCausalLM's"]);
  const elsewhere = renamed((name) => name.replace("layers.1.", "layers.2."));
  assert.deepEqual(errors(found(elsewhere, config)), [": the 2 layers among the tensors are not 0 to 1"]);
});

test("what every tensor says otherwise than the config is one fault of the config", async () => {
  const config = await configOf({ ...LLAMA.config, hidden_size: 20, vocab_size: 41 });
  assert.deepEqual(errors(found(LLAMA.shapes, config)), [
    ': vocab_size is 41, the tensors have 40: "model.embed_tokens.weight" is [40, 16]',
    ': hidden_size is 20, the tensors have 16: "model.embed_tokens.weight" is [40, 16]',
  ]);
});

test("numbers that no model has make no work: layers, experts, and names of many parts", {
  timeout: 20_000,
}, async () => {
  const mixtral = CASES.mixtral ?? LLAMA;
  const huge = { ...mixtral.config, num_local_experts: 2 ** 50, num_hidden_layers: 2 ** 50, vocab_size: 1e300 };
  assert.ok(errors(found(mixtral.shapes, await configOf(huge))).length > 0);
  const deep = { ...LLAMA.shapes, ["a.".repeat(100_000)]: [1], "model.layers.999999.x": [1] };
  assert.ok(errors(found(deep, await configOf(LLAMA.config))).length > 0);
});
