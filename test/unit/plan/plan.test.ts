/** Pairing, mismatches and layout: what planRecover makes of two state dicts that exist in memory only. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { hintText } from "../../../src/cli/output/advice.js";
import type { Job, TensorJob } from "../../../src/engine/job/job.js";
import { WeightDiffError } from "../../../src/errors.js";
import type { Dtype } from "../../../src/formats/dtype.js";
import { countNewRows } from "../../../src/plan/new-rows.js";
import { UNKNOWN_MODELS } from "../../../src/plan/pair.js";
import type { Plan } from "../../../src/plan/plan.js";
import { planRecover, type RecoverPlanOptions } from "../../../src/plan/plan-recover.js";
import { planTraffic } from "../../../src/plan/traffic.js";
import { schemeNamed } from "../../../src/scheme/families.js";
import { type ImaginedTensor, imagine, recordAt } from "../../support/checkpoints.js";
import { driverOperand, noteTexts, rawName, rawTerm } from "../../support/jobs.js";
import { refuses } from "../../support/refusal.js";

const OPTIONS: RecoverPlanOptions = {
  scheme: schemeNamed("open-instruct"),
  dtype: "F32",
  maxShardSize: 5e9,
  invFreq: "drop",
  rows: null,
  ropeTheta: 10_000,
  rawTied: null,
  diffTied: null,
};
const EMBED = "model.embed_tokens.weight";
const HEAD = "lm_head.weight";
const INV_FREQ = "model.layers.0.self_attn.rotary_emb.inv_freq";

const F = (name: string, ...shape: number[]): ImaginedTensor => ({ name, shape });
const D = (name: string, dtype: Dtype, ...shape: number[]): ImaginedTensor => ({ name, dtype, shape });

function plan(
  raw: readonly ImaginedTensor[],
  diff: readonly ImaginedTensor[],
  options: Partial<RecoverPlanOptions> = {},
): Plan {
  return planRecover(imagine("base", raw), imagine("diff", diff), { ...OPTIONS, ...options });
}

function problems(
  raw: readonly ImaginedTensor[],
  diff: readonly ImaginedTensor[],
  options: Partial<RecoverPlanOptions> = {},
): readonly string[] {
  try {
    plan(raw, diff, options);
  } catch (error) {
    assert.ok(error instanceof WeightDiffError && error.code === "MISMATCH", String(error));
    return error.problems;
  }
  return assert.fail("nothing was refused");
}

const tensorJobs = (jobs: readonly Job[]): readonly TensorJob[] => jobs.filter((job) => job.kind === "tensor");
const jobOf = (made: Plan, name: string): TensorJob =>
  tensorJobs(made.jobs).find((job) => job.name === name) ?? assert.fail(`no job for ${name}`);
const names = (made: Plan): readonly string[] => made.shards.flatMap(({ tensors }) => tensors);

// --- new rows -------------------------------------------------------------------------------------------------------

for (const [rows, mean] of [
  [0, null],
  [1, { rows: 100, columns: 8 }],
  [3, { rows: 100, columns: 8 }],
  [64, { rows: 100, columns: 8 }],
  [5000, { rows: 100, columns: 8 }],
] as const) {
  test(`pairs an embedding with ${rows} new rows`, () => {
    const made = plan([F(EMBED, 100, 8)], [F(EMBED, 100 + rows, 8)]);
    assert.deepEqual(rawTerm(made, jobOf(made, EMBED))?.mean, mean);
    assert.deepEqual([...made.newRows], rows === 0 ? [] : [[EMBED, rows]]);
    assert.equal(made.vocabSize, 100 + rows);
  });
}

test("takes 65 new rows as it takes 64, with --rows mean and without", () => {
  assert.deepEqual([...plan([F(EMBED, 100, 8)], [F(EMBED, 165, 8)]).newRows], [[EMBED, 65]]);
  const made = plan([F(EMBED, 100, 8)], [F(EMBED, 165, 8)], { rows: "mean" });
  assert.deepEqual(rawTerm(made, jobOf(made, EMBED))?.mean, { rows: 100, columns: 8 });
});

test("refuses one new row where the rule for rows is refuse", () => {
  assert.match(
    problems([F(EMBED, 9, 8)], [F(EMBED, 10, 8)], { rows: "refuse" })[0] ?? "",
    /1 new row, which you asked to refuse/,
  );
});

test("decides on each embedding by itself", () => {
  const made = plan([F(EMBED, 100, 8), F(HEAD, 100, 8)], [F(EMBED, 101, 8), F(HEAD, 100, 8)]);
  assert.deepEqual([...made.newRows], [[EMBED, 1]]);
  assert.equal(rawTerm(made, jobOf(made, HEAD))?.mean, null);
});

for (const name of [
  "lm_head.weight",
  "gpt_neox.embed_in.weight",
  "embed_out.weight",
  "transformer.wte.weight",
  "transformer.word_embeddings.weight",
]) {
  test(`lets ${name} have new rows`, () => {
    assert.deepEqual([...plan([F(name, 5, 4)], [F(name, 6, 4)]).newRows], [[name, 1]]);
  });
}

for (const [what, raw, diff] of [
  ["columns that differ", F(EMBED, 100, 8), F(EMBED, 101, 16)],
  [
    "new rows elsewhere",
    F("model.layers.0.mlp.up_proj.weight", 100, 8),
    F("model.layers.0.mlp.up_proj.weight", 101, 8),
  ],
  [
    "new rows of a tensor whose name only ends alike",
    F("xembed_tokens.weight", 100, 8),
    F("xembed_tokens.weight", 101, 8),
  ],
  ["an embedding of one dimension", F(EMBED, 100), F(EMBED, 101)],
  ["an embedding of three dimensions", F(EMBED, 100, 2, 4), F(EMBED, 101, 2, 4)],
  ["rows to average where there are none", F(EMBED, 0, 8), F(EMBED, 1, 8)],
  ["another number of dimensions", F("a", 8), F("a", 8, 1)],
] as const) {
  test(`refuses ${what}, with both shapes`, () => {
    const [problem = "", ...more] = problems([raw], [diff]);
    assert.deepEqual(more, []);
    assert.ok(problem.startsWith(`"${raw.name}": [${raw.shape.join(", ")}] in the base`), problem);
    assert.ok(problem.includes(`[${diff.shape.join(", ")}] in the diff`), problem);
  });
}

test("tells by how many rows the base is too large", () => {
  assert.match(problems([F(EMBED, 102, 8)], [F(EMBED, 100, 8)])[0] ?? "", /the base has 2 rows too many$/);
});

test("refuses to average rows that no kernel could hold", () => {
  assert.match(problems([F(EMBED, 1, 300_000)], [F(EMBED, 2, 300_000)])[0] ?? "", /at most 262144 can be averaged/);
});

test("counts new rows over all embeddings, and no other tensor's", () => {
  const raw = imagine("base", [F(EMBED, 10, 2), F(HEAD, 10, 2), F("a", 1)]);
  assert.equal(countNewRows(raw, imagine("diff", [F(EMBED, 11, 2), F(HEAD, 13, 2), F("a", 99)])), 3);
  assert.equal(countNewRows(raw, imagine("diff", [F(EMBED, 9, 2)])), 0);
});

// --- dtypes ---------------------------------------------------------------------------------------------------------

for (const dtype of ["F16", "BF16", "F32", "F64"] as const) {
  test(`adds a base in ${dtype} and writes the dtype asked for`, () => {
    const job = jobOf(plan([D("a", dtype, 2)], [F("a", 2)], { dtype: "BF16" }), "a");
    assert.deepEqual([job.rule, job.dtype], ["add", "BF16"]);
  });
}

for (const [dtype, rule] of [
  ["I64", "add-integers"],
  ["U8", "add-integers"],
  ["BOOL", "or"],
] as const) {
  test(`keeps ${dtype} as ${dtype} whatever the output dtype`, () => {
    const job = jobOf(plan([D("a", dtype, 2)], [D("a", dtype, 2)], { dtype: "F16" }), "a");
    assert.deepEqual([job.rule, job.dtype], [rule, dtype]);
  });
}

for (const [raw, diff] of [
  ["F16", "I32"],
  ["BOOL", "U8"],
  ["I64", "I32"],
  ["F8_E4M3", "F32"],
  ["F8_E4M3", "F8_E4M3"],
  ["C64", "C64"],
] as const) {
  test(`refuses ${raw} plus ${diff}: there is no arithmetic for it`, () => {
    assert.deepEqual(problems([D("a", raw, 2)], [D("a", diff, 2)]), [
      `"a": ${raw} in the base (pytorch_model-1.bin) and ${diff} in the diff (pytorch_model-1.bin): no arithmetic between these`,
    ]);
  });
}

// --- tied embeddings ------------------------------------------------------------------------------------------------

for (const rawTied of [true, null]) {
  test(`pairs the diff's head with the embedding of a base that ${rawTied === null ? "does not say whether it ties" : "ties"}`, () => {
    const made = plan([F(EMBED, 10, 4)], [F(EMBED, 11, 4), F(HEAD, 11, 4)], { rawTied });
    const job = jobOf(made, HEAD);
    assert.equal(rawName(made, job), EMBED);
    assert.deepEqual(rawTerm(made, job)?.mean, { rows: 10, columns: 4 });
    assert.deepEqual(noteTexts(made), [`"${HEAD}" is not in the base: its "${EMBED}" stands for it (tied)`]);
  });
}

test("reports the missing head of a base whose config does not tie it", () => {
  assert.deepEqual(problems([F(EMBED, 10, 4)], [F(EMBED, 10, 4), F(HEAD, 10, 4)], { rawTied: false }), [
    `"${HEAD}" [10, 4] is in the diff (pytorch_model-1.bin) and not in the base`,
  ]);
});

for (const [rawTied, diffTied, accepted] of [
  [true, true, true],
  [true, null, true],
  [true, false, false],
  [false, true, true],
  [false, null, false],
  [false, false, false],
  [null, true, true],
  [null, null, false],
  [null, false, false],
] as const) {
  test(`${accepted ? "does without" : "misses"} the diff's head where the base ties ${rawTied} and the diff ${diffTied}`, () => {
    const [raw, diff] = [[F(EMBED, 10, 4), F(HEAD, 10, 4)], [F(EMBED, 10, 4)]] as const;
    if (accepted) {
      assert.deepEqual(names(plan(raw, diff, { rawTied, diffTied })), [EMBED]);
    } else {
      assert.deepEqual(problems(raw, diff, { rawTied, diffTied }), [
        `"${HEAD}" [10, 4] is in the base (pytorch_model-1.bin) and not in the diff`,
      ]);
    }
  });
}

test("does without the diff's head where the base stores both as one run of bytes", () => {
  const shared = { ...F(HEAD, 10, 4), more: { range: { begin: 0, end: 160 } } };
  assert.deepEqual(names(plan([F(EMBED, 10, 4), shared], [F(EMBED, 10, 4)])), [EMBED]);
});

// --- buffers --------------------------------------------------------------------------------------------------------

test("sums inv_freq and does not write it", () => {
  const made = plan([F(INV_FREQ, 4), F("a", 2)], [F(INV_FREQ, 4), F("a", 2)]);
  assert.deepEqual(names(made), ["a"]);
  assert.equal(jobOf(made, INV_FREQ).output, null);
  assert.deepEqual(made.order, [INV_FREQ, "a"]);
  const [[note, advice] = []] = made.notes;
  assert.match(note ?? "", /^1 rotary_emb\.inv_freq buffer is not written: models recompute it$/);
  assert.deepEqual(advice, [{ to: "write them", option: "invFreq", value: "keep" }]);
});

test("writes inv_freq with --inv-freq keep", () => {
  const made = plan([F(INV_FREQ, 4)], [F(INV_FREQ, 4)], { invFreq: "keep" });
  assert.deepEqual(names(made), [INV_FREQ]);
  assert.deepEqual(made.notes, []);
});

for (const invFreq of ["keep", "drop"] as const) {
  test(`computes the inv_freq that the base lacks (${invFreq})`, () => {
    const made = plan([F("a", 2)], [F(INV_FREQ, 4), F("a", 2)], { invFreq, ropeTheta: 5e5 });
    assert.deepEqual(rawTerm(made, jobOf(made, INV_FREQ))?.operand, { kind: "inv-freq", count: 4, theta: 5e5 });
    assert.equal(jobOf(made, INV_FREQ).output === null, invFreq === "drop");
  });

  test(`leaves an inv_freq alone that only the base has (${invFreq})`, () => {
    const made = plan([F(INV_FREQ, 4), F("a", 2)], [F("a", 2)], { invFreq });
    assert.deepEqual(made.order, ["a"]);
  });
}

test("pairs an inv_freq of another length as any tensor", () => {
  assert.equal(problems([F(INV_FREQ, 4)], [F(INV_FREQ, 8)]).length, 1);
});

const MASKS = [
  D("gpt_neox.layers.0.attention.bias", "BOOL", 1, 1, 8, 8),
  D("gpt_neox.layers.0.attention.bias", "U8", 1, 1, 8, 8),
  D("gpt_neox.layers.0.attention.masked_bias", "F16"),
];
test("does without a mask that the two sides keep in dtypes that cannot be added", () => {
  const mask = "gpt_neox.layers.0.attention.bias";
  const made = plan([D(mask, "BOOL", 1, 1), F("a", 2)], [D(mask, "U8", 1, 1), F("a", 2)]);
  assert.deepEqual(names(made), ["a"]);
  assert.deepEqual(noteTexts(made), [
    `1 buffer ("${mask}"), which models compute, is not stored alike in base and diff: not written`,
  ]);
});

for (const mask of MASKS) {
  test(`does without the mask ${mask.name} in ${mask.dtype}, on either side`, () => {
    assert.deepEqual(names(plan([mask, F("a", 2)], [F("a", 2)])), ["a"]);
    const made = plan([F("a", 2)], [mask, F("a", 2)]);
    assert.deepEqual(names(made), ["a"]);
    assert.deepEqual(noteTexts(made), [
      `1 buffer ("${mask.name}"), which models compute, is in the diff only: not written`,
    ]);
  });
}

test("one note names the buffers that only the base has", () => {
  const masks = [0, 1, 2, 3].map((layer) => D(`h.${layer}.attn.bias`, "U8", 1, 1, 8, 8));
  const made = plan([...masks, F("a", 2)], [F("a", 2)]);
  assert.deepEqual(noteTexts(made), [
    '4 buffers ("h.0.attn.bias", "h.1.attn.bias", "h.2.attn.bias", …), which models compute, are in the base only: not needed',
  ]);
});

test("does without buffers that were made for another number of positions", () => {
  const ids = "bert.embeddings.position_ids";
  const made = plan([D(ids, "I64", 1, 512), F("a", 2)], [D(ids, "I64", 1, 1024), F("a", 2)]);
  assert.deepEqual(names(made), ["a"]);
  assert.match(noteTexts(made).join(), /not stored alike in base and diff/);
});

test("takes a float mask for one where the config names a family that has it", () => {
  const mask = F("transformer.h.0.attn.bias", 1, 1, 8, 8);
  assert.deepEqual(names(plan([mask, F("a", 2)], [F("a", 2)], { models: { ...UNKNOWN_MODELS, modelType: "gpt2" } })), [
    "a",
  ]);
  assert.deepEqual(
    problems([mask, F("a", 2)], [F("a", 2)], { models: { ...UNKNOWN_MODELS, modelType: "mymodel" } }).length,
    1,
  );
});

test("leaves out tensors that transformers does not load, with a note", () => {
  const made = plan([F("mtp.fc.weight", 2, 2), F("a", 2)], [F("a", 2)], {
    models: { ...UNKNOWN_MODELS, modelType: "qwen3_next" },
  });
  assert.deepEqual(noteTexts(made), [
    '1 tensor ("mtp.fc.weight") is in the base only, and left out: transformers does not load such tensors in this model',
  ]);
});

for (const weight of [
  F("gpt_neox.layers.0.attention.dense.bias", 8),
  F("h.0.attention.bias", 8),
  D("h.0.attention.bias2", "BOOL", 8),
  F("model.layers.0.self_attn.rotary_emb.inv_freq.weight", 8),
]) {
  test(`misses ${weight.name} ${weight.dtype ?? "F32"}: it is a weight, not a buffer`, () => {
    assert.equal(problems([weight, F("a", 2)], [F("a", 2)]).length, 1);
    assert.equal(problems([F("a", 2)], [weight, F("a", 2)]).length, 1);
  });
}

// --- mismatches -----------------------------------------------------------------------------------------------------

test("lists every mismatch of every kind at once", () => {
  const raw = [F("a", 2), F("b", 3, 4), D("c", "I32", 1), F("only.base", 9), F("same", 1)];
  const diff = [F("a", 3), F("b", 4, 3), D("c", "F32", 1), F("only.diff", 8, 7), F("same", 1)];
  const shard = "pytorch_model-1.bin";
  assert.deepEqual(problems(raw, diff), [
    `"a": [2] in the base (${shard}), [3] in the diff (${shard})`,
    `"b": [3, 4] in the base (${shard}), [4, 3] in the diff (${shard})`,
    `"c": I32 in the base (${shard}) and F32 in the diff (${shard}): no arithmetic between these`,
    `"only.diff" [8, 7] is in the diff (${shard}) and not in the base`,
    `"only.base" [9] is in the base (${shard}) and not in the diff`,
  ]);
});

test("names both checkpoints and the number of mismatches", async () => {
  await refuses(() => plan([F("a", 1)], [F("b", 1)]), "MISMATCH", /^base base and diff diff do not fit: 2 tensors: /);
  await refuses(
    () => plan([F("a", 1)], [F("a", 2)]),
    "MISMATCH",
    /do not fit: "a": \[1\] in the base .*, \[2\] in the diff/,
  );
});

const LLAMA = [F(EMBED, 10, 4), F("model.layers.0.self_attn.q_proj.weight", 4, 4), F("model.norm.weight", 4)];
const renamed = (prefix: string): readonly ImaginedTensor[] =>
  LLAMA.map((tensor) => ({ ...tensor, name: prefix + tensor.name }));

for (const [what, raw, diff, cause, remedy] of [
  [
    "another size",
    [F(EMBED, 10, 4096)],
    [F(EMBED, 10, 5120)],
    /hidden size 4096 \(as LLaMA 7B\) in the base, 5120 \(as LLaMA 13B\)/,
    /^get the base of the diff's size$/,
  ],
  [
    "a base with added tokens",
    [F(EMBED, 11, 4)],
    [F(EMBED, 10, 4)],
    /the base has 11 vocabulary rows, the diff 10/,
    /use the original base, to which no tokens were added; if the further rows are padding, the base.s tokenizer/,
  ],
  [
    "another family",
    [F("a", 1)],
    [F("b", 1)],
    /: apart from embeddings, no name is in both: the base has "a", the diff "b"/,
    /of different model families/,
  ],
  [
    "fewer layers",
    [F("layers.0.a", 1)],
    [F("layers.0.a", 1), F("layers.1.a", 1)],
    /the base has 1 layer, the diff 2 layers/,
    /^get the base of the diff's size, or all files of it$/,
  ],
  [
    "fewer layers of GPT-2",
    [F("h.0.a", 1)],
    [F("h.0.a", 1), F("h.1.a", 1)],
    /the base has 1 layers?, the diff 2/,
    /^get the base of the diff's size, or all files of it$/,
  ],
  [
    "a LLaVA delta",
    [F("a", 1)],
    [F("a", 1), F("model.mm_projector.weight", 1)],
    /LLaVA family/,
    /^recover it with --scheme llava$/,
  ],
  [
    "names that no loader brings together",
    LLAMA,
    renamed("policy."),
    /3 of the base's 3 names start with "policy\." in the diff/,
    /^give one of the two the names that the other has$/,
  ],
  [
    "names of the base that no loader brings together",
    renamed("student.net."),
    LLAMA,
    /3 of the diff's 3 names start with "student\.net\." in the base/,
    /^give one of the two the names that the other has$/,
  ],
  [
    "names that a script reads",
    LLAMA,
    renamed("language_model."),
    /3 of the base's 3 names start with "language_model\." in the diff/,
    /or read them as its script does with --scheme husky$/,
  ],
  [
    "adapters that are not merged",
    LLAMA,
    [...LLAMA, F("model.layers.0.self_attn.q_proj.lora_A.default.weight", 1, 4)],
    /the diff has adapters beside the weights that they change: "model\.layers\.0\.self_attn\.q_proj\.lora_A\.default\.weight"/,
    /merge_and_unload/,
  ],
  [
    "an adapter under a model's name",
    LLAMA,
    [F("base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight", 1, 4)],
    /the diff is an adapter \(LoRA\), not a weight diff: none of its names is in the base, and "base_model\./,
    /^merge it with peft/,
  ],
  [
    "another family, whose embeddings have the same names",
    [F("lm_head.weight", 10, 4), F("gpt_neox.layers.0.attention.dense.weight", 4, 4)],
    [F("lm_head.weight", 10, 4), F("model.layers.0.self_attn.q_proj.weight", 4, 4)],
    /apart from embeddings, no name is in both: the base has "gpt_neox\..*", the diff "model\.layers\.0\./,
    /different model families/,
  ],
  [
    "adapters of the base",
    [...LLAMA, F("score.modules_to_save.default.weight", 1, 4), F("score.original_module.weight", 1, 4)],
    LLAMA,
    /the base has adapters .*: "score\.modules_to_save\.default\.weight" and 1 more\n/,
    /merge_and_unload/,
  ],
  ["something else", [F("a", 1)], [F("a", 2)], /"a": \[1\]/, /another base, or one of the two is incomplete/],
] as const) {
  test(`explains ${what}`, () => {
    const error = (() => {
      try {
        plan(raw, diff);
      } catch (reason) {
        return reason;
      }
    })();
    assert.ok(error instanceof WeightDiffError);
    assert.match(error.message, cause);
    assert.match(hintText(error) ?? "", remedy);
  });
}

test("a name that the scheme looks for under another one is said to be missing under that", () => {
  const both = renamed("language_model.");
  assert.match(
    problems(both, both, { scheme: schemeNamed("husky") })[0] ?? "",
    /^"language_model\.model\.embed_tokens\.weight" \[10, 4\] is in the base \(.*\) and, as "language_model\.language_model\.model\.embed_tokens\.weight", not in the diff$/,
  );
});

test("escapes hostile names in a mismatch", () => {
  assert.match(
    problems([F("a", 1)], [F("a", 1), F("\u001b[2J\n", 1)])[0] ?? "",
    /^"\\u001b\[2J\\n" \[1\] is in the diff/,
  );
});

test("plans a hundred thousand heads in linear time and without running out of stack", () => {
  const many = Array.from({ length: 100_000 }, (_, i) => F(`x${i}.lm_head.weight`, 1));
  assert.equal(problems(many, [F(EMBED, 1)]).length, 100_001);
  const made = plan(many, many);
  assert.equal(made.jobs.length, 100_000);
});

// --- layout ---------------------------------------------------------------------------------------------------------

/** Sizes, limit -> shards, as huggingface_hub 1.33 `split_torch_state_dict_into_shards` gives them for float32 tensors of so many elements. */
const SPLITS: readonly (readonly [sizes: readonly number[], limit: number, shards: readonly (readonly number[])[]])[] =
  [
    [
      [4, 4, 4, 4],
      8,
      [
        [0, 1],
        [2, 3],
      ],
    ],
    [
      [4, 4, 4, 4],
      9,
      [
        [0, 1],
        [2, 3],
      ],
    ],
    [[4, 4, 4, 4], 7, [[0], [1], [2], [3]]],
    [[4, 4, 4, 4], 4, [[0], [1], [2], [3]]],
    [[4, 4, 4, 4], 3, [[0], [1], [2], [3]]],
    [[8, 4, 4, 8, 2, 2], 10, [[0], [1, 2], [3, 4], [5]]],
    [[1, 1, 1, 1, 1, 1, 1], 3, [[0, 1, 2], [3, 4, 5], [6]]],
    [
      [10, 1, 10, 1],
      11,
      [
        [0, 1],
        [2, 3],
      ],
    ],
    [[10, 1, 10, 1], 10, [[0], [1], [2], [3]]],
    [[2, 20, 2, 2], 10, [[1], [0, 2, 3]]],
    [[20, 2, 2], 10, [[0], [1, 2]]],
    [[2, 2, 20], 10, [[2], [0, 1]]],
    [[0, 4, 0, 4], 4, [[0, 1, 2], [3]]],
    [[5], 100, [[0]]],
    [[3, 3, 3], 9, [[0, 1, 2]]],
    [[6, 5, 4, 3, 2, 1], 7, [[0], [1], [2, 3], [4, 5]]],
  ];
for (const [sizes, limit, shards] of SPLITS) {
  test(`shards ${sizes.join(", ")} at ${limit} as huggingface_hub does`, () => {
    const tensors = sizes.map((size, index) => F(`t${index}`, size));
    const made = plan(tensors, tensors, { maxShardSize: 4 * limit });
    assert.deepEqual(
      made.shards.map((shard) => shard.tensors),
      shards.map((shard) => shard.map((index) => `t${index}`)),
    );
    assert.equal(
      made.totalSize,
      sizes.reduce((sum, size) => sum + 4 * size, 0),
    );
  });
}

test("names one file model.safetensors and several by number", () => {
  const tensors = [F("a", 1), F("b", 1)];
  assert.deepEqual(
    plan(tensors, tensors).shards.map(({ file }) => file),
    ["model.safetensors"],
  );
  assert.deepEqual(
    plan(tensors, tensors, { maxShardSize: 4 }).shards.map(({ file }) => file),
    ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"],
  );
});

test("counts the written bytes in the written dtype", () => {
  const tensors = [F("a", 3, 5), D("b", "I64", 2), F(INV_FREQ, 4)];
  assert.equal(plan(tensors, tensors, { dtype: "F16" }).totalSize, 30 + 16);
  assert.equal(plan(tensors, tensors, { dtype: "F32", invFreq: "keep" }).totalSize, 60 + 16 + 16);
});

test("orders jobs by shard, the largest first, and those that only count in the sum last", () => {
  const tensors = [F("s", 1), F(INV_FREQ, 9), F("l", 5), F("m", 2), F("n", 3), F("o", 4)];
  const made = plan(tensors, tensors, { maxShardSize: 32 });
  assert.deepEqual(
    made.jobs.map(({ name }) => name),
    ["l", "m", "s", "o", "n", INV_FREQ],
  );
  assert.deepEqual(
    made.jobs.map(({ id }) => id),
    [0, 1, 2, 3, 4, 5],
  );
});

test("keeps the diff's order for the state dict", () => {
  const made = plan([F("a", 1), F("b", 9)], [F("b", 9), F("a", 1)]);
  assert.deepEqual(made.order, ["b", "a"]);
});

test("plans a diff without tensors as one empty file", () => {
  const made = plan([], []);
  assert.deepEqual([made.shards.length, made.jobs.length, made.totalSize, made.vocabSize], [1, 0, 0, null]);
});

test("refuses a tensor that would outgrow a file as F32", async () => {
  const huge = 2 ** 51;
  await refuses(
    () => plan([D("a", "F16", huge)], [D("a", "F16", huge)]),
    "LIMIT",
    /tensor "a" .* too large to write as F32/,
  );
});

// --- records --------------------------------------------------------------------------------------------------------

const recorded = (name: string, begin: number, end: number, from: number, to: number, crc: number | null = 7) => ({
  name,
  shape: [(end - begin) / 4],
  more: { range: { begin, end }, record: recordAt(from, to, crc) },
});

test("lets a tensor that is its whole record check it", () => {
  const made = plan([F("a", 2)], [recorded("a", 0, 8, 0, 8)]);
  assert.equal(made.jobs.length, 1);
  assert.equal(driverOperand(made, jobOf(made, "a")).crc32, 7);
});

test("checks a record that two tensors share once, and on its own", () => {
  const made = plan([F("a", 1), F("b", 1)], [recorded("a", 0, 4, 0, 8), recorded("b", 4, 8, 0, 8)]);
  const digests = made.jobs.filter((job) => job.kind === "digest");
  assert.deepEqual(
    digests.map(({ source }) => [source.range, source.crc32]),
    [[{ begin: 0, end: 8 }, 7]],
  );
  assert.equal(driverOperand(made, jobOf(made, "a")).crc32, undefined);
});

test("does not check a record again that some tensor reads whole", () => {
  const made = plan([F("a", 2), F("b", 1)], [recorded("a", 0, 8, 0, 8), recorded("b", 0, 4, 0, 8)]);
  assert.deepEqual(
    made.jobs.map(({ kind }) => kind),
    ["tensor", "tensor"],
  );
});

test("tells the records of base and diff at the same offset apart", () => {
  const tensor = recorded("a", 0, 4, 0, 8);
  assert.equal(plan([tensor], [tensor]).jobs.filter(({ kind }) => kind === "digest").length, 2);
});

test("checks no record that states no checksum or has no bytes", () => {
  const made = plan([F("a", 1), F("b", 0)], [recorded("a", 0, 4, 0, 8, null), recorded("b", 8, 8, 8, 8)]);
  assert.deepEqual(
    made.jobs.map(({ kind }) => kind),
    ["tensor", "tensor"],
  );
});

test("does not take a strided view for its whole record", () => {
  const view = {
    name: "a",
    shape: [2, 2],
    more: { range: { begin: 0, end: 16 }, strides: [1, 2], record: recordAt(0, 16) },
  };
  const made = plan([F("a", 2, 2)], [view]);
  assert.equal(driverOperand(made, jobOf(made, "a")).crc32, undefined);
  assert.deepEqual(driverOperand(made, jobOf(made, "a")).strides, [1, 2]);
  assert.equal(made.jobs.filter(({ kind }) => kind === "digest").length, 1);
});

test("counts the records that are read, each once, by whether they state a checksum", () => {
  const made = plan(
    [F("a", 1), F("b", 1), F("c", 1), F("d", 1)],
    [
      recorded("a", 0, 4, 0, 8),
      recorded("b", 4, 8, 0, 8),
      recorded("c", 8, 12, 8, 12, null),
      recorded("d", 12, 16, 12, 16),
    ],
  );
  assert.deepEqual(made.records, { checked: 2, unchecked: 1 });
  assert.deepEqual(plan([F("a", 1)], [F("a", 1)]).records, { checked: 0, unchecked: 0 });
});

test("counts the traffic of operands, records and output", () => {
  const made = plan([D("a", "F16", 2)], [recorded("a", 0, 8, 0, 12)]);
  assert.deepEqual(planTraffic(made), { read: 4 + 8 + 12, write: 8 });
});

test("passes the notes of both checkpoints on, each with its side", () => {
  const made = planRecover(
    imagine("b", [F("a", 1)], { notes: ["x"] }),
    imagine("d", [F("a", 1)], { notes: ["y"] }),
    OPTIONS,
  );
  assert.deepEqual(noteTexts(made), ["base: x", "diff: y"]);
});
