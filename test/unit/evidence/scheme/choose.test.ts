/** --scheme auto: what is chosen by which evidence, what contradicts it, and what is refused with what words. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { WeightDiffError } from "../../../../src/errors.js";
import type { Evidence, SchemeChoice } from "../../../../src/evidence/scheme/choice.js";
import { chooseScheme } from "../../../../src/evidence/scheme/choose.js";
import type { Dtype } from "../../../../src/formats/dtype.js";
import { countNewRows } from "../../../../src/plan/new-rows.js";
import { type ImaginedTensor, imagine } from "../../../support/checkpoints.js";
import { hintOf, refuses, undecided } from "../../../support/refusal.js";

const EMBED = "model.embed_tokens.weight";
const Q = "model.layers.0.self_attn.q_proj.weight";

const model = (dtype: Dtype, rows: number, ...more: readonly ImaginedTensor[]): readonly ImaginedTensor[] => [
  { name: EMBED, dtype, shape: [rows, 8] },
  { name: Q, dtype, shape: [8, 8] },
  ...more,
];

function choose(
  dtype: Dtype,
  rows: number,
  more: Partial<Evidence> = {},
  extra: readonly ImaginedTensor[] = [],
): SchemeChoice {
  return chooseScheme({
    raw: imagine("base", model("F16", 100)),
    diff: imagine("diff", model(dtype, rows, ...extra)),
    config: null,
    files: [],
    tokens: [],
    own: [],
    said: { rawTied: false, diffTied: false },
    newRows: rows - 100,
    line: null,
    ...more,
  });
}

const OWN = [{ name: EMBED, cosine: 0.9, scale: 1, kind: "own" }] as const;
const DIFFERENCE = [{ name: EMBED, cosine: 0, scale: 0, kind: "difference" }] as const;

for (const [folder, scheme] of [
  ["vicuna-7b-delta-v1.1", "fastchat"],
  ["Vicuna-13B-Delta-V0", "fastchat-v0"],
  ["alpaca-farm-ppo-human-wdiff", "alpaca-farm"],
  ["LLaVA-13b-delta-v0-science_qa", "llava"],
  ["zhixi-13b-diff-fp16", "knowlm-fp16"],
  ["tulu-65b", "open-instruct"],
  ["robin-33b-v2-delta", "lmflow"],
  ["Ziya-LLaMA-13B-v1.1", "ziya"],
] as const) {
  test(`knows ${folder} by its name, and a renamed copy by the name in its config`, () => {
    const diff = (directory: string) => imagine("x", model("F16", 100), { directory });
    const here = choose("F16", 100, { diff: diff(`/models/${folder}`) });
    assert.deepEqual([here.scheme.name, here.reason], [scheme, `the diff is ${folder}`]);
    for (const nameOrPath of [folder, `org/${folder}`, `/home/me/${folder}/`, `C:\\models\\${folder}`]) {
      const renamed = choose("F16", 100, { diff: diff("/models/mine"), config: { nameOrPath } });
      assert.deepEqual([renamed.scheme.name, renamed.reason], [scheme, `its config.json was written as ${folder}`]);
    }
  });
}

for (const name of ["vicuna-7b-v1.5", "tulu-2-7b", "x-vicuna-7b-delta-v1.1-x", "open-instruct-pythia-6.9b-tulu"]) {
  test(`does not take ${name} for a diff that it knows`, () => {
    assert.doesNotMatch(choose("F32", 100, { config: { nameOrPath: name } }).reason, /written as/);
  });
}

for (const [what, more, extra, scheme, reason] of [
  ["model_sum.txt", { files: ["model_sum.txt"] }, [], "alpaca-farm", "model_sum.txt lies beside it"],
  ["checksum_psum.txt", { files: ["checksum_psum.txt"] }, [], "landmark", "checksum_psum.txt lies beside it"],
  [
    "patch_history.json",
    { files: ["patch_history.json"] },
    [],
    "openchinesellama",
    "patch_history.json lies beside it",
  ],
  ["<GIST>", { tokens: ["<GIST>"] }, [], "gisting", 'its tokenizer has the token "<GIST>"'],
  [
    "mm_projector",
    {},
    [{ name: "model.mm_projector.weight", shape: [4, 4] }],
    "llava",
    'it has a tensor "model.mm_projector.weight"',
  ],
  [
    "spi_module",
    {},
    [{ name: "model.spi_module.x.weight", shape: [4] }],
    "llava",
    'it has a tensor "model.spi_module.x.weight"',
  ],
] as const) {
  test(`knows a family by ${what}`, () => {
    const choice = choose("F32", 101, more, extra);
    assert.deepEqual([choice.scheme.name, choice.reason], [scheme, reason]);
  });
}

test("tells AlpacaFarm's reward models from MOSS-RLHF's, though both have a reward head", () => {
  const head = { name: "reward_head.weight", shape: [1, 8] };
  const prefixed = model("F32", 100).map((tensor) => ({ ...tensor, name: `backbone_model.${tensor.name}` }));
  assert.equal(choose("F32", 100, { diff: imagine("diff", [...prefixed, head]) }).scheme.name, "alpaca-farm");
  assert.equal(choose("F32", 100, {}, [head]).scheme.name, "moss-rlhf");
});

/** The candidates of a refusal: each with the schemes that give the same bits. */
const candidates = (error: WeightDiffError): readonly string[] =>
  hintOf(error)
    .split("\n")
    .slice(1)
    .map((line) => {
      const [, name = "", same = ""] =
        /^ {2}--scheme (\S+) {2}\(.+?(?:; the same bits here: (.+))?\)$/.exec(line) ?? [];
      return [name, ...same.split(", ").filter((other) => other !== "")].join(" ");
    });

test("refuses a float16 diff by its dtype alone, with one line for each result, likeliest first", () => {
  const error = undecided(() => choose("F16", 100));
  assert.match(error.message, /^diff: tensor "model\.embed_tokens\.weight" in pytorch_model-1\.bin is F16: /);
  assert.equal(
    hintOf(error),
    [
      "say which script made it, likeliest first (a script that publishes float16 mostly adds in float16):",
      "  --scheme fastchat  (Vicuna v1.1, StableBeluga1, Gorilla, K2, BayLing: adds in float16; the same bits here: fastchat-v0, knowlm-fp16)",
      "  --scheme huatuo  (HuatuoGPT, Patent-LLaMA: adds in float16, embed_tokens, lm_head.weight as in the diff; the same bits here: ziya)",
      "  --scheme fastchat-low-mem  (Vicuna v1.1, StableBeluga1, Gorilla, K2, BayLing, with --low_cpu_mem: adds in the files' own dtypes, saves float16; the same bits here: lmflow-low-mem)",
      "  --scheme ziya-low-mem  (Ziya-LLaMA, with --low_cpu_mem: adds in the files' own dtypes, saves float16, embed_tokens, lm_head.weight as in the diff; the same bits here: pandallm-low-mem)",
      "  --scheme open-instruct  (Tulu, Open-Instruct: adds in float32; the same bits here: alpaca, gisting, knowlm, landmark, lawyer-llama, yulan-f32)",
      "  --scheme moss-rlhf  (MOSS-RLHF: adds in float32, all but layers as in the diff; the same bits here: pandallm)",
      "  --scheme lmflow  (LMFlow (Robin): adds in bfloat16; the same bits here: yulan)",
    ].join("\n"),
  );
});

test("values that show whether embeddings are the model's own leave fewer candidates, and decide if one is left", () => {
  const shared = candidates(undecided(() => choose("F16", 100, { own: DIFFERENCE })));
  assert.equal(shared[0], "fastchat fastchat-v0 knowlm-fp16");
  assert.ok(shared.every((line) => !/huatuo|ziya|panda|moss/.test(line)));
  const own = candidates(undecided(() => choose("F16", 100, { own: OWN })));
  assert.deepEqual(own, ["huatuo ziya", "ziya-low-mem pandallm-low-mem", "moss-rlhf pandallm"]);
  const norm = (kind: "own" | "difference") => ({ name: "model.norm.weight", cosine: 1, scale: 1, kind });
  const several = undecided(() => choose("F32", 100, { own: [...OWN, norm("difference")] }));
  assert.match(several.message, /^diff: its "model\.embed_tokens\.weight" is the model's own: several scripts /);
  assert.equal(candidates(several)[0], "pandallm");
  const { scheme, reason } = choose("F32", 100, { own: [...OWN, norm("own")] });
  assert.equal(scheme.name, "moss-rlhf");
  assert.equal(
    reason,
    `the diff is F32, and its "${EMBED}", "model.norm.weight" are the model's own, as moss-rlhf makes them`,
  );
});

test("refuses a bfloat16 diff too, with new rows or without: other scripts load it in float32 or as it is", () => {
  assert.deepEqual(candidates(undecided(() => choose("BF16", 100, { own: DIFFERENCE }))), [
    "lmflow yulan",
    "koala",
    "fastchat-low-mem lmflow-low-mem",
    "open-instruct alpaca gisting knowlm landmark lawyer-llama yulan-f32",
    "fastchat fastchat-v0 knowlm-fp16",
  ]);
  assert.deepEqual(candidates(undecided(() => choose("BF16", 102, { own: DIFFERENCE }))), [
    "yulan",
    "open-instruct alpaca landmark lawyer-llama",
    "gisting yulan-f32",
    "fastchat-v0",
  ]);
});

test("refuses three new rows in float32: a mean to one script, nothing to another", () => {
  const error = undecided(() => choose("F32", 103, { own: DIFFERENCE }));
  assert.match(error.message, /^diff: has 3 vocabulary rows more than the base: /);
  assert.deepEqual(hintOf(error).split("\n"), [
    "say which script made it:",
    "  --scheme open-instruct  (Tulu, Open-Instruct: adds in float32, new rows get the mean of the base's; the same bits here: alpaca, landmark, lawyer-llama)",
    "  --scheme gisting  (Gisting: adds in float32, new rows are the diff's own; the same bits here: yulan-f32)",
  ]);
});

for (const rows of [2, 3, 64, 65, 92, 7_410, 100_000]) {
  test(`asks for ${rows} new rows in float32 as for any other count`, () => {
    assert.deepEqual(candidates(undecided(() => choose("F32", 100 + rows, { own: DIFFERENCE }))), [
      "open-instruct alpaca landmark lawyer-llama",
      "gisting yulan-f32",
    ]);
  });
}

test("asks for a scheme if only one is left because this tool cannot do what the others do", () => {
  const wide = (rows: number) => [{ name: EMBED, shape: [rows, 300_000] }];
  const error = undecided(() =>
    choose("F32", 103, { raw: imagine("base", wide(100)), diff: imagine("diff", wide(103)), own: DIFFERENCE }),
  );
  assert.deepEqual(candidates(error), ["gisting yulan-f32"]);
});

const HEAD = "lm_head.weight";
const LAST_NORM = "model.norm.weight";
const whole = (dtype: Dtype, rows: number): readonly ImaginedTensor[] =>
  model(dtype, rows, { name: LAST_NORM, dtype, shape: [8] }, { name: HEAD, dtype, shape: [rows, 8] });

/** What no scheme may be chosen for, whichever tensor is missing and whoever lacks it. */
for (const missing of [EMBED, HEAD, LAST_NORM, Q]) {
  for (const [side, other] of [
    ["base", "diff"],
    ["diff", "base"],
  ] as const) {
    for (const [dtype, rows] of [
      ["F32", 102],
      ["F32", 192],
      ["F16", 100],
      ["F16", 101],
      ["BF16", 100],
      ["F64", 100],
    ] as const) {
      test(`chooses nothing where the ${side} lacks ${missing}: a diff in ${dtype} with ${rows - 100} new rows`, async () => {
        const all = { base: whole("F16", 100), diff: whole(dtype, rows) };
        const part = { ...all, [side]: all[side].filter(({ name }) => name !== missing) };
        const [raw, diff] = [imagine("base", part.base), imagine("diff", part.diff)];
        await refuses(
          () => choose(dtype, rows, { raw, diff, newRows: countNewRows(raw, diff) }),
          "MISMATCH",
          new RegExp(`do not fit: "${missing}" .* is in the ${other} .* and not in the ${side}$`),
        );
      });
    }
  }
}

test("values that show a tensor of the diff to be the model's own excuse it, and no other", async () => {
  const raw = imagine("base", whole("F16", 100));
  const diff = imagine(
    "diff",
    whole("F32", 100).map((tensor) => (tensor.name === EMBED ? { ...tensor, shape: [40, 8] } : tensor)),
  );
  const seen = (name: string) => ({ name, cosine: 0.9, scale: 1, kind: "own" }) as const;
  await refuses(() => choose("F32", 100, { raw, diff, own: [seen(HEAD)] }), "MISMATCH", /60 rows too many/);
  const all = [EMBED, HEAD, LAST_NORM].map(seen);
  assert.equal(choose("F32", 100, { raw, diff, own: all }).scheme.name, "moss-rlhf");
  // The head is left alone, and nothing tells whether that is right.
  assert.deepEqual(
    candidates(undecided(() => choose("F32", 100, { raw, diff, own: [seen(EMBED), seen(LAST_NORM)] }))),
    ["moss-rlhf"],
  );
});

/** Names that mark a family are its base's own where the base has them too. */
for (const [what, prefix, extra, alone] of [
  ["language_model.", "language_model.", [], "husky"],
  ["a projector", "", [{ name: "model.mm_projector.weight", shape: [4, 4] }], "llava"],
  ["a reward head", "", [{ name: "reward_head.weight", shape: [1, 8] }], "moss-rlhf"],
  ["backbone_model.", "backbone_model.", [], "alpaca-farm"],
] as const) {
  const marked = (dtype: Dtype): readonly ImaginedTensor[] => [
    ...model(dtype, 100).map((tensor) => ({ ...tensor, name: prefix + tensor.name })),
    ...extra.map((tensor) => ({ ...tensor, dtype })),
  ];

  test(`${what} in the diff alone is ${alone}'s; on both sides it marks nothing`, () => {
    for (const dtype of ["F32", "F16"] as const) {
      assert.equal(choose(dtype, 100, { diff: imagine("diff", marked(dtype)) }).scheme.name, alone);
    }
    const both = (dtype: Dtype) => ({ raw: imagine("base", marked("F16")), diff: imagine("diff", marked(dtype)) });
    assert.equal(choose("F32", 100, both("F32")).scheme.name, "open-instruct");
    assert.equal(candidates(undecided(() => choose("F16", 100, both("F16"))))[0], "fastchat fastchat-v0 knowlm-fp16");
  });
}

test("a prefix marks a family only where the base has the names behind it", () => {
  const renamed = model("F32", 100).map((tensor) => ({ ...tensor, name: `language_model.decoder.${tensor.name}` }));
  assert.equal(choose("F32", 100, { diff: imagine("diff", renamed) }).scheme.name, "open-instruct");
});

test("suggests no float16 script for a float32 diff: it would drop half of the published bits", () => {
  const names = candidates(undecided(() => choose("F32", 103))).join(" ");
  assert.doesNotMatch(names, /huatuo|fastchat|lmflow|yulan(?!-f32)|koala|fp16/);
});

for (const [what, embedding, head, isBilla] of [
  ["twice the base's embedding beside the model's own head", 1.97, 1, true],
  ["an ordinary full model", 1, 1, false],
  ["a model tuned to ruin", 0.66, 0.7, false],
  ["a head that is doubled as well", 2, 2, false],
  ["an embedding three times the base's", 3, 1, false],
] as const) {
  test(`${isBilla ? "takes" : "does not take"} ${what} for BiLLa's`, () => {
    const own = [
      { name: EMBED, cosine: 0.99, scale: embedding, kind: "own" },
      { name: "lm_head.weight", cosine: 0.99, scale: head, kind: "own" },
    ] as const;
    const extra = [{ name: "lm_head.weight", dtype: "F16", shape: [100, 8] }] as const;
    if (isBilla) {
      const { scheme, reason } = choose("F16", 103, { own }, extra);
      assert.equal(scheme.name, "billa");
      assert.match(reason, /^its "model\.embed_tokens\.weight" is 1\.97 times the base's, its "lm_head\.weight" is /);
    } else {
      const raw = imagine("base", model("F16", 100, ...extra));
      assert.ok(!candidates(undecided(() => choose("F16", 100, { own, raw }, extra))).includes("billa"));
    }
  });
}

test("does not take an embedding alone for BiLLa's: nothing shows that the rest is a model", () => {
  const own = [{ name: EMBED, cosine: 0.99, scale: 2, kind: "own" }] as const;
  undecided(() => choose("F16", 100, { own }));
});

test("stays with open-instruct for float32 and one new row where nothing contradicts it", () => {
  assert.equal(choose("F32", 101, { own: DIFFERENCE }).scheme.name, "open-instruct");
  assert.equal(choose("F32", 100).scheme.name, "open-instruct");
});
