/** What does not run is refused by name before a weight is read; whatever a config says, nothing else comes of it than a WeightDiffError. */
import assert from "node:assert/strict";
import { truncate } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import "../../support/seed.js";
import { openCheckpoint } from "../../../src/checkpoint/checkpoint.js";
import { type ErrorCode, WeightDiffError } from "../../../src/errors.js";
import { openLanguageModel } from "../../../src/inference/forward.js";
import { BrokenModel } from "../../../src/inference/model.js";
import { safetensors, type TensorSpec, withFolder, writeFiles } from "../../support/checkpoints.js";
import { type MODELS, near, readVector, tensorsOf, withModel, writeModel } from "../../support/inference.js";
import { refuses } from "../../support/refusal.js";

type Name = (typeof MODELS)[number];
type Config = Readonly<Record<string, unknown>>;

const made = new Map<Name, readonly TensorSpec[]>();
function tensors(name: Name): readonly TensorSpec[] {
  const known = made.get(name) ?? tensorsOf(readVector(name));
  made.set(name, known);
  return known;
}

const without = (name: Name, pattern: RegExp): readonly TensorSpec[] =>
  tensors(name).filter(([tensor]) => !pattern.test(tensor));

/** With others in the place of those that are called so. */
const changed = (name: Name, pattern: RegExp, change: (spec: TensorSpec) => TensorSpec): readonly TensorSpec[] =>
  tensors(name).map((spec) => (pattern.test(spec[0]) ? change(spec) : spec));

/** Opens a model and lets it say something. */
async function run(folder: string): Promise<void> {
  await withModel(folder, { threads: 0 }, async (model) => {
    await model.pass([{ key: null, ids: [1, 2, 3], wanted: "both" }]);
  });
}

async function refusesModel(
  config: Config | string | null,
  specs: readonly TensorSpec[],
  code: ErrorCode,
  message: RegExp,
): Promise<void> {
  await withFolder(async (folder) => {
    await writeFiles(folder, {
      "model.safetensors": safetensors(...specs),
      ...(config === null ? {} : { "config.json": typeof config === "string" ? config : JSON.stringify(config) }),
    });
    await refuses(() => run(folder), code, message);
  });
}

/** Shapes of a model whose states have `width` elements; nothing else in it is large. */
const wide = (width: number): readonly (readonly [name: string, shape: readonly number[]])[] => [
  ["model.embed_tokens", [1, width]],
  ...["q", "k", "v"].map((part): [string, readonly number[]] => [`model.layers.0.self_attn.${part}_proj`, [2, width]]),
  ["model.layers.0.self_attn.o_proj", [width, 2]],
  ...["gate", "up"].map((part): [string, readonly number[]] => [`model.layers.0.mlp.${part}_proj`, [1, width]]),
  ["model.layers.0.mlp.down_proj", [width, 1]],
  ...["input_layernorm", "post_attention_layernorm"].map((part): [string, readonly number[]] => [
    `model.layers.0.${part}`,
    [width],
  ]),
  ["model.norm", [width]],
  ["lm_head", [1, width]],
];

test("states that no memory would hold are refused before any is asked for", async () => {
  const width = 2 ** 29;
  await withFolder(async (folder) => {
    const header: Record<string, object> = {};
    let end = 0;
    for (const [name, shape] of wide(width)) {
      const begin = end;
      end += 2 * shape.reduce((product, size) => product * size, 1);
      header[`${name}.weight`] = { dtype: "F16", shape, data_offsets: [begin, end] };
    }
    const text = Buffer.from(JSON.stringify(header));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(text.length));
    const config = {
      ...{ model_type: "llama", hidden_size: width, num_attention_heads: 1, num_hidden_layers: 1 },
      head_dim: 2,
      intermediate_size: 1,
    };
    await writeFiles(folder, {
      "config.json": JSON.stringify(config),
      "model.safetensors": Buffer.concat([length, text]),
    });
    // Holes: the file is as long as it says, and takes no room.
    await truncate(join(folder, "model.safetensors"), 8 + text.length + end);
    await refuses(() => run(folder), "LIMIT", /536870912 elements/);
  });
});

const LLAMA = readVector("llama1-mha").config;
const NEOX = readVector("neox-parallel").config;

const REFUSED: readonly (readonly [what: string, change: Config, code: ErrorCode, message: RegExp])[] = [
  ["a family that does not run", { model_type: "gpt2" }, "FORMAT_UNSUPPORTED", /"gpt2"/],
  ["a mixture of experts", { model_type: "mixtral" }, "FORMAT_UNSUPPORTED", /"mixtral"/],
  ["a family with the name of a method", { model_type: "constructor" }, "FORMAT_UNSUPPORTED", /"constructor"/],
  ["no family", { model_type: null, architectures: null }, "FORMAT_UNSUPPORTED", /model_type/],
  ["another activation", { hidden_act: "gelu_new" }, "FORMAT_UNSUPPORTED", /"gelu_new"/],
  ["yarn", { rope_scaling: { type: "yarn", factor: 4 } }, "FORMAT_UNSUPPORTED", /"yarn"/],
  ["longrope", { rope_parameters: { rope_type: "longrope", factor: 4 } }, "FORMAT_UNSUPPORTED", /"longrope"/],
  ["a kind of positions that nobody knows", { rope_scaling: { type: "x\u0000y" } }, "FORMAT_UNSUPPORTED", /kind/],
  ["a kind that is a method's name", { rope_scaling: { type: "__proto__" } }, "FORMAT_UNSUPPORTED", /__proto__/],
  [
    "positions by kind of layer",
    { rope_parameters: { full_attention: { rope_type: "default" }, sliding_attention: { rope_type: "default" } } },
    "FORMAT_UNSUPPORTED",
    /layer to layer/,
  ],
  ["half of a head that turns", { partial_rotary_factor: 0.5 }, "FORMAT_UNSUPPORTED", /partial_rotary_factor/],
  ["quantised weights", { quantization_config: { quant_method: "gptq" } }, "FORMAT_UNSUPPORTED", /quantised/],
  ["heads that are null", { num_attention_heads: null }, "FORMAT_INVALID", /num_attention_heads/],
  ["zero heads", { num_attention_heads: 0 }, "FORMAT_INVALID", /num_attention_heads/],
  ["less than zero heads", { num_attention_heads: -4 }, "FORMAT_INVALID", /num_attention_heads/],
  ["half a head", { num_attention_heads: 0.5 }, "FORMAT_INVALID", /num_attention_heads/],
  ["heads in words", { num_attention_heads: "4" }, "FORMAT_INVALID", /num_attention_heads/],
  ["heads in a list", { num_attention_heads: [4] }, "FORMAT_INVALID", /num_attention_heads/],
  ["heads that do not divide", { num_attention_heads: 7 }, "FORMAT_INVALID", /hidden_size/],
  ["heads of one element", { num_attention_heads: 64 }, "FORMAT_INVALID", /even/],
  ["keys that do not divide", { num_key_value_heads: 3 }, "FORMAT_INVALID", /num_key_value_heads/],
  ["a billion layers", { num_hidden_layers: 1e9 }, "FORMAT_INVALID", /num_hidden_layers/],
  ["more layers than any number", { num_hidden_layers: 1e300 }, "FORMAT_INVALID", /num_hidden_layers/],
  ["layers that are null", { num_hidden_layers: null }, "FORMAT_INVALID", /num_hidden_layers/],
  ["more layers than there are", { num_hidden_layers: 4 }, "MISMATCH", /9 tensors are missing.*layers\.3\./],
  ["another width", { hidden_size: 128 }, "MISMATCH", /\[513, 64\], expected \[any, 128\]/],
  ["another size of heads", { head_dim: 32 }, "MISMATCH", /q_proj\.weight/],
  ["another width inside", { intermediate_size: 64 }, "MISMATCH", /gate_proj\.weight/],
  ["fewer keys", { num_key_value_heads: 2 }, "MISMATCH", /k_proj\.weight/],
  ["positions in words", { max_position_embeddings: "2048" }, "FORMAT_INVALID", /max_position_embeddings/],
  ["an eps in words", { rms_norm_eps: "1e-6" }, "FORMAT_INVALID", /rms_norm_eps/],
  ["an eps below zero", { rms_norm_eps: -1 }, "FORMAT_INVALID", /rms_norm_eps/],
  ["a base of 0", { rope_theta: 0 }, "FORMAT_INVALID", /rotary/],
  ["a factor of 0", { rope_scaling: { type: "linear", factor: 0 } }, "FORMAT_INVALID", /factor/],
  ["no factor", { rope_scaling: { type: "linear" } }, "FORMAT_INVALID", /factor/],
  ["a factor in words", { rope_scaling: { type: "linear", factor: "4" } }, "FORMAT_INVALID", /factor/],
  ["a kind that is a number", { rope_scaling: { type: 4, factor: 4 } }, "FORMAT_INVALID", /type/],
  ["positions as a list", { rope_scaling: [1, 2] }, "FORMAT_INVALID", /rope_scaling/],
  [
    "bounds the wrong way round",
    {
      rope_scaling: {
        ...{ rope_type: "llama3", factor: 8, low_freq_factor: 4, high_freq_factor: 1 },
        original_max_position_embeddings: 64,
      },
    },
    "FORMAT_INVALID",
    /high_freq_factor/,
  ],
];

for (const [what, change, code, message] of REFUSED) {
  test(`refuses ${what}`, () => refusesModel({ ...LLAMA, ...change }, tensors("llama1-mha"), code, message));
}

for (const [what, change] of [
  ["more of a head turns than it has", { rotary_pct: 2 }],
  ["billions of elements turn", { rotary_pct: 2 ** 31 }],
  ["no number of elements turns", { rotary_pct: -1 }],
  ["heads are given a size that the joined matrix does not have", { head_dim: 2 ** 30 }],
] as const) {
  test(`refuses a config where ${what}`, () =>
    refusesModel({ ...NEOX, ...change }, tensors("neox-parallel"), "FORMAT_INVALID", /rotary|turn|head_dim/));
}

test("refuses a config where an odd number of elements turns as unsupported: transformers takes it", () =>
  refusesModel(
    { ...NEOX, rotary_pct: 3 / 16 },
    tensors("neox-parallel"),
    "FORMAT_UNSUPPORTED",
    /3 of 16 elements of a head turn/,
  ));

test("refuses a factor that is no number", () => {
  const text = JSON.stringify({ ...LLAMA, rope_scaling: { type: "linear", factor: 12345 } }).replace("12345", "NaN");
  return refusesModel(text, tensors("llama1-mha"), "FORMAT_INVALID", /factor/);
});

test("refuses weights without a config.json", () =>
  refusesModel(null, tensors("llama1-mha"), "NOT_FOUND", /no config\.json.*heads/));

for (const [what, config, code, message] of [
  ["no JSON", "{", "FORMAT_INVALID", /config\.json/],
  ["a list", "[]", "FORMAT_INVALID", /config\.json/],
  ["nothing", "", "FORMAT_INVALID", /config\.json/],
] as const) {
  test(`refuses a config.json that is ${what}`, () => refusesModel(config, tensors("llama1-mha"), code, message));
}

test("refuses a kind of attention that does not run, by name", () =>
  refusesModel(
    { ...readVector("qwen2-bias").config, num_hidden_layers: 1, layer_types: ["chunked_attention"] },
    tensors("qwen2-bias"),
    "FORMAT_UNSUPPORTED",
    /layer_types has "chunked_attention"/,
  ));

test("a value of a wrong kind is shown as the file has it", async () => {
  const { config } = readVector("qwen2-bias");
  for (const [value, shown] of [
    [null, "null"],
    ["10", '"10"'],
    [[1], "[1]"],
  ] as const) {
    const message = new RegExp(`hidden_size is ${shown.replace("[", "\\[")}, expected a whole number`);
    await refusesModel({ ...config, hidden_size: value }, tensors("qwen2-bias"), "FORMAT_INVALID", message);
  }
});

test("refuses a model without a head, as reward models are, and takes the embedding only where the config says so", async () => {
  const headless = without("llama1-mha", /^lm_head/);
  await refusesModel(LLAMA, headless, "MISMATCH", /no output head/);
  const reward: TensorSpec = ["v_head.weight", "F32", [1, 64], new Float32Array(64)];
  await refusesModel(LLAMA, [...headless, reward], "MISMATCH", /no output head/);
  await withFolder(async (folder) => {
    await writeModel(folder, { ...LLAMA, tie_word_embeddings: true }, headless);
    await run(folder);
  });
});

test("lists all that is missing, and all that has another shape", async () => {
  await refusesModel(
    LLAMA,
    without("llama1-mha", /layers\.1\.mlp\.(gate|down)|layers\.2\.input|^model\.norm/),
    "MISMATCH",
    /4 tensors are missing: "model\.layers\.1\.mlp\.gate_proj\.weight".*"model\.layers\.1\.mlp\.down_proj\.weight".*"model\.layers\.2\.input_layernorm\.weight".*"model\.norm\.weight"/,
  );
  const turned = changed("llama1-mha", /down/, ([name, dtype]) => [name, dtype, [64, 173]]);
  await refusesModel(LLAMA, turned, "MISMATCH", /3 tensors have other shapes.*\[64, 173\], expected \[64, 172\]/);
  await refusesModel(
    { ...NEOX },
    without("neox-parallel", /input_layernorm\.bias/),
    "MISMATCH",
    /2 tensors are missing/,
  );
});

for (const dtype of ["I8", "U8", "F8_E4M3", "F64", "I32"] as const) {
  test(`refuses ${dtype}, and says what runs`, () =>
    refusesModel(
      LLAMA,
      changed("llama1-mha", /layers\.1\.self_attn\.v/, ([name, , shape]) => [name, dtype, shape]),
      "FORMAT_UNSUPPORTED",
      new RegExp(`v_proj.*${dtype}`),
    ));
}

test("a head that is stored beside a tied embedding is used, as transformers 5 does, and said", async () => {
  await withFolder(async (folder) => {
    const vector = readVector("llama1-mha");
    await writeModel(folder, { ...LLAMA, tie_word_embeddings: true }, tensors("llama1-mha"));
    await withModel(folder, { threads: 0 }, async (model) => {
      assert.match(model.notes.join(), /head is stored/);
      const [said] = await model.pass([{ key: null, ids: vector.prompt, wanted: "last" }]);
      near(said?.last, vector.logits_last, 1e-4, "logits");
    });
  });
});

test("buffers are skipped, and a note names tensors that are not used", async () => {
  await withFolder(async (folder) => {
    const buffer: TensorSpec = ["model.layers.0.self_attn.rotary_emb.inv_freq", "F32", [8], new Float32Array(8)];
    const stray: TensorSpec = ["model.extra.weight", "F32", [8], new Float32Array(8)];
    await writeModel(folder, LLAMA, [...tensors("llama1-mha"), buffer, stray]);
    await withModel(folder, { threads: 0 }, async ({ notes }) => {
      assert.equal(notes.length, 1);
      assert.match(notes[0] ?? "", /"model\.extra\.weight"/);
    });
  });
});

/** Weights of which one is another, or all are. */
const broken = (pattern: RegExp, value: number, at: number | "all"): readonly TensorSpec[] =>
  changed("llama1-mha", pattern, ([name, dtype, shape, data]) => {
    const weights = new Float32Array((data as Uint32Array<ArrayBuffer>).slice().buffer);
    weights.fill(value, ...(at === "all" ? [] : [at, at + 1]));
    return [name, dtype, shape, weights];
  });

for (const [what, pattern, value, at, first] of [
  ["NaN in a matrix", /layers\.1\.mlp\.up_proj/, Number.NaN, 5000, "model.layers.1.mlp.up_proj.weight"],
  [
    "an infinity in a matrix",
    /layers\.2\.self_attn\.q/,
    Number.NEGATIVE_INFINITY,
    0,
    "model.layers.2.self_attn.q_proj.weight",
  ],
  ["NaN in the head", /^lm_head/, Number.NaN, 512 * 64, "lm_head.weight"],
  ["NaN in a norm", /layers\.0\.post_attention/, Number.NaN, 3, "model.layers.0.post_attention_layernorm.weight"],
  ["NaN in the embedding", /embed_tokens/, Number.NaN, 2 * 64 + 1, "model.embed_tokens.weight"],
  ["products too large", /layers\.1\.mlp\.down/, 3e38, "all", "model.layers.1.mlp.down_proj.weight"],
] as const) {
  for (const threads of [0, 2]) {
    test(`${what} is said by the name of the tensor, with ${threads} threads`, async () => {
      await withFolder(async (folder) => {
        await writeModel(folder, LLAMA, broken(pattern, value, at));
        await assert.rejects(
          withModel(folder, { threads }, (model) => model.pass([{ key: null, ids: [1, 2, 3], wanted: "last" }])),
          (error) => {
            assert.ok(error instanceof BrokenModel, String(error));
            assert.equal(error.tensor, first);
            assert.equal(error.weights, at !== "all");
            return true;
          },
        );
      });
    });
  }
}

test("a NaN in a row of the embedding that no text has does no harm", async () => {
  await withFolder(async (folder) => {
    await writeModel(folder, LLAMA, broken(/embed_tokens/, Number.NaN, 500 * 64));
    await run(folder);
  });
});

/** Any JSON, and values near those that a config has. */
const values = fc.oneof(
  fc.jsonValue(),
  fc.constantFrom(
    0,
    -1,
    1,
    2,
    3,
    4,
    8,
    16,
    64,
    172,
    513,
    1e9,
    2 ** 31,
    2 ** 53,
    1e300,
    0.5,
    "",
    "4",
    true,
    null,
    [],
    {},
  ),
  fc.record({ rope_type: fc.constantFrom("linear", "llama3", "default", "dynamic", "x"), factor: fc.jsonValue() }),
);
const KEYS = [
  ...["model_type", "architectures", "hidden_size", "num_attention_heads", "num_key_value_heads", "head_dim"],
  ...["num_hidden_layers", "intermediate_size", "vocab_size", "rms_norm_eps", "layer_norm_eps", "rope_theta"],
  ...["rope_scaling", "rope_parameters", "rotary_pct", "rotary_emb_base", "partial_rotary_factor", "hidden_act"],
  ...["sliding_window", "use_sliding_window", "use_parallel_residual", "max_position_embeddings"],
  ...["max_window_layers", "layer_types"],
  ...["tie_word_embeddings", "quantization_config", "attention_bias"],
];

for (const name of ["llama1-mha", "neox-parallel", "mistral-window"] as const) {
  test(`whatever the config of ${name} says, it runs, is refused, or is said to be broken`, async () => {
    await withFolder(async (folder) => {
      const { config } = readVector(name);
      await writeModel(folder, config, tensors(name));
      const runs = Number(process.env.WEIGHT_DIFF_CONFIGS ?? 60);
      await fc.assert(
        fc.asyncProperty(
          fc.dictionary(fc.constantFrom(...KEYS), values, { minKeys: 1, maxKeys: 3 }),
          async (change) => {
            await writeFiles(folder, { "config.json": JSON.stringify({ ...config, ...change }) });
            const started = performance.now();
            try {
              await run(folder);
            } catch (error) {
              assert.ok(
                error instanceof WeightDiffError || error instanceof BrokenModel,
                String((error as Error).stack),
              );
            }
            assert.ok(performance.now() - started < 5000, JSON.stringify(change));
          },
        ),
        { numRuns: runs, interruptAfterTimeLimit: 120_000 },
      );
    });
  });
}

/** Threads that live, and files that are open. */
function held(): readonly string[] {
  return process.getActiveResourcesInfo().filter((kind) => /^(MessagePort|Worker|FileHandle|FSReq)/.test(kind));
}

test("a model that is closed without a question leaves nothing open, and can be closed twice", async () => {
  await withFolder(async (folder) => {
    await writeModel(folder, LLAMA, tensors("llama1-mha"));
    for (const threads of [0, 2]) {
      const before = held();
      const model = await openLanguageModel(await openCheckpoint(folder), { threads });
      await model.close();
      await model.close();
      assert.deepEqual(held(), before, `with ${threads} threads`);
    }
  });
});
