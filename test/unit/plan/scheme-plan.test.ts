/** What planRecover makes of each axis of a scheme: which tensors are summed, in which arithmetic, and whose names come out. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { hintText } from "../../../src/cli/output/advice.js";
import type { TensorJob } from "../../../src/engine/job/job.js";
import { WeightDiffError } from "../../../src/errors.js";
import type { Dtype } from "../../../src/formats/dtype.js";
import type { Plan } from "../../../src/plan/plan.js";
import { planRecover, type RecoverPlanOptions } from "../../../src/plan/plan-recover.js";
import { matchesName } from "../../../src/scheme/axes.js";
import { CUSTOM_DEFAULTS, customScheme } from "../../../src/scheme/custom.js";
import { schemeNamed } from "../../../src/scheme/families.js";
import { type ImaginedTensor, imagine } from "../../support/checkpoints.js";
import { noteTexts, rawName, rawTerm } from "../../support/jobs.js";
import { refuses } from "../../support/refusal.js";

const EMBED = "model.embed_tokens.weight";
const HEAD = "lm_head.weight";
const NORM = "model.norm.weight";
const Q = "model.layers.0.self_attn.q_proj.weight";
const INV_FREQ = "model.layers.0.self_attn.rotary_emb.inv_freq";

const T = (name: string, dtype: Dtype, ...shape: number[]): ImaginedTensor => ({ name, dtype, shape });
const model = (dtype: Dtype, rows: number): readonly ImaginedTensor[] => [
  T(EMBED, dtype, rows, 8),
  T(Q, dtype, 8, 8),
  T(NORM, dtype, 8),
  T(HEAD, dtype, rows, 8),
];

function plan(
  scheme: string,
  raw: readonly ImaginedTensor[],
  diff: readonly ImaginedTensor[],
  more: Partial<RecoverPlanOptions> = {},
): Plan {
  return planRecover(imagine("base", raw), imagine("diff", diff), {
    scheme: schemeNamed(scheme),
    dtype: null,
    maxShardSize: 5e9,
    invFreq: "drop",
    rows: null,
    ropeTheta: 10_000,
    rawTied: null,
    diffTied: null,
    ...more,
  });
}

const jobs = (made: Plan): readonly TensorJob[] => made.jobs.filter((job) => job.kind === "tensor");
const jobOf = (made: Plan, name: string): TensorJob =>
  jobs(made).find((job) => job.name === name) ?? assert.fail(`no job for ${name}`);
const rulesOf = (made: Plan): Readonly<Record<string, string>> =>
  Object.fromEntries(jobs(made).map((job) => [job.name, rawTerm(made, job) === null ? "own" : job.rule]));

test("float32 schemes whose rows are plain keep the plain addition", () => {
  for (const scheme of ["open-instruct", "alpaca", "landmark", "gisting", "knowlm", "alpaca-farm"]) {
    assert.deepEqual(Object.values(rulesOf(plan(scheme, model("F16", 9), model("F32", 9)))), [
      "add",
      "add",
      "add",
      "add",
    ]);
  }
});

for (const [scheme, dtype, into] of [
  ["fastchat", "F16", "raw"],
  ["lmflow", "BF16", "raw"],
  ["llava", "F16", "driver"],
  ["yulan", "BF16", "driver"],
  ["knowlm-fp16", "F16", "driver"],
] as const) {
  test(`${scheme} rounds both sides to ${dtype}, the sum once more, and writes that`, () => {
    const made = plan(scheme, model("BF16", 9), model("F32", 9));
    assert.equal(made.dtype, dtype);
    assert.deepEqual(jobOf(made, Q).blend, {
      operation: "add",
      operands: dtype,
      result: dtype,
      rows: schemeNamed(scheme).newRows === "zero" ? "zero" : "verbatim",
    });
    assert.equal(jobOf(made, Q).start === rawTerm(made, jobOf(made, Q)), into === "raw");
    assert.equal(plan(scheme, model("F16", 9), model("F16", 9), { dtype: "F32" }).dtype, "F32");
  });
}

for (const [scheme, raw, diff, result, output] of [
  // In place, the target's dtype; out of place the wider.
  ["fastchat-low-mem", "F16", "F32", "F16", "F16"],
  ["fastchat-low-mem", "F32", "F16", "F32", "F32"],
  ["openchinesellama", "F16", "F32", "F32", "F32"],
  ["openchinesellama", "F16", "BF16", "F32", "F32"],
  ["openchinesellama", "BF16", "BF16", "BF16", "BF16"],
  ["koala", "F32", "F32", "F32", "BF16"],
] as const) {
  test(`${scheme} adds ${diff} to ${raw} in ${result} and writes ${output}`, () => {
    const job = jobOf(plan(scheme, model(raw, 9), model(diff, 9)), Q);
    assert.equal(job.dtype, output);
    assert.equal(job.blend?.result ?? "F32", result);
    assert.equal(job.blend?.operands ?? "F32", "F32");
  });
}

test("mmpretrain-llava adds embeddings into the diff's dtype and all else into the base's", () => {
  const made = plan("mmpretrain-llava", model("BF16", 9), model("F16", 11));
  assert.deepEqual([jobOf(made, EMBED).dtype, jobOf(made, HEAD).dtype, jobOf(made, Q).dtype], ["F16", "F16", "BF16"]);
  assert.equal(made.dtype, null);
});

test("arithmetic in the files' dtypes does not support F64 on either side, since torch then adds in F64", async () => {
  for (const [base, diff] of [
    ["F64", "F64"],
    ["F32", "F64"],
    ["F16", "F64"],
    ["F64", "BF16"],
  ] as const) {
    for (const scheme of ["fastchat-low-mem", "ziya-low-mem", "openchinesellama", "mmpretrain-llava", "koala"]) {
      await refuses(
        () => plan(scheme, model(base, 9), model(diff, 9)),
        "MISMATCH",
        new RegExp(`${base} in the base .* ${diff} in the diff .* no arithmetic between these`),
      );
    }
  }
});

for (const [scheme, own] of [
  ["moss-rlhf", [EMBED, NORM, HEAD]],
  ["huatuo", [EMBED, HEAD]],
  ["ziya", [EMBED, HEAD]],
  ["pandallm", [EMBED, HEAD]],
  ["billa", [Q, NORM, HEAD]],
] as const) {
  test(`${scheme} takes ${own.join(", ")} from the diff, whatever their shape`, () => {
    const diff = model("F16", 9).map((tensor) =>
      tensor.name === EMBED && scheme === "billa"
        ? T(EMBED, "F32", 12, 8)
        : tensor.name === HEAD
          ? T(HEAD, "F16", 50, 8)
          : tensor,
    );
    const made = plan(scheme, model("F16", 9), diff);
    assert.deepEqual(
      jobs(made)
        .flatMap((job) => (rawTerm(made, job) === null ? [job.name] : []))
        .sort(),
      [...own].sort(),
    );
  });
}

test("billa subtracts in F32, rounds to F16, and leaves rows of its own and other dtypes alone", () => {
  const diff = [T(EMBED, "F32", 12, 8), T(Q, "BF16", 8, 8)];
  const made = plan("billa", model("F16", 9), diff);
  assert.deepEqual(jobOf(made, EMBED).blend, {
    operation: "subtract",
    operands: "F32",
    result: "F16",
    rows: "verbatim",
  });
  assert.deepEqual([jobOf(made, EMBED).dtype, jobOf(made, Q).dtype, jobOf(made, Q).rule], ["F16", "BF16", "copy"]);
});

test("rotary buffers are rounded as they are loaded, and stay F32", () => {
  const made = plan("fastchat", [T(INV_FREQ, "F32", 4)], [T(INV_FREQ, "F32", 4)], { invFreq: "keep" });
  const { dtype, blend } = jobOf(made, INV_FREQ);
  assert.deepEqual([dtype, blend?.operands, blend?.result], ["F32", "F16", "F32"]);
});

test("fastchat takes names and order from the base, and leaves out tensors that only the diff has", () => {
  const made = plan("fastchat", model("F16", 9), [T("extra.weight", "F16", 4), ...model("F16", 9).toReversed()]);
  assert.deepEqual(made.order, [EMBED, Q, NORM, HEAD]);
  assert.ok(
    noteTexts(made).some((note) => /"extra\.weight"\) are in the diff only, and left out/.test(note)),
    noteTexts(made).join(),
  );
});

/** Tensors that a whole base would have: no script drops or keeps these, since it builds its base from the config. */
for (const scheme of ["fastchat", "fastchat-low-mem", "lmflow", "lawyer-llama", "mmpretrain-llava", "alpaca-farm"]) {
  for (const missing of [EMBED, HEAD, NORM, Q]) {
    test(`${scheme} neither drops nor keeps ${missing} where the base lacks it`, async () => {
      const layer = (n: number): readonly ImaginedTensor[] => [
        T(Q.replace(".0.", `.${n}.`), "F16", 8, 8),
        T(`model.layers.${n}.mlp.up_proj.weight`, "F16", 8, 8),
      ];
      const diff = [...model("F16", 9), ...layer(0).slice(1), ...layer(1), T("score.weight", "F16", 2, 8)];
      const raw = diff.filter(({ name }) => name !== missing && name !== "score.weight");
      await refuses(
        () => plan(scheme, raw, diff, { rawTied: false }),
        "MISMATCH",
        new RegExp(`do not fit: "${missing}" .* is in the diff .* and not in the base$`),
      );
    });
  }
}

test("the scheme drops or keeps tensors that no complete base would have: a further layer, a head of its own", () => {
  const more = [T("model.layers.7.mlp.up_proj.weight", "F16", 8, 8), T("score.weight", "F16", 2, 8)];
  assert.deepEqual(plan("fastchat", model("F16", 9), [...model("F16", 9), ...more]).order, [EMBED, Q, NORM, HEAD]);
  const kept = plan("mmpretrain-llava", model("F16", 9), [...model("F16", 9), ...more]);
  assert.deepEqual(kept.order, [EMBED, Q, NORM, HEAD, ...more.map(({ name }) => name)]);
});

test("mmpretrain-llava keeps the names of both sides", () => {
  const made = plan(
    "mmpretrain-llava",
    [...model("F16", 9), T("base.only", "F32", 2)],
    [T("diff.only", "F16", 4), ...model("F16", 9)],
  );
  assert.deepEqual(made.order, [EMBED, Q, NORM, HEAD, "base.only", "diff.only"]);
  const copied = jobOf(made, "base.only");
  assert.deepEqual([copied.rule, copied.dtype, rawName(made, copied)], ["copy", "F32", "base.only"]);
});

test("llava keeps its projector and no other name of its own", async () => {
  const diff = [...model("F16", 12), T("model.mm_projector.weight", "F16", 4, 4)];
  const made = plan("llava", model("F16", 9), diff);
  assert.equal(rulesOf(made)["model.mm_projector.weight"], "own");
  assert.deepEqual(
    [...made.newRows],
    [
      [EMBED, 3],
      [HEAD, 3],
    ],
  );
  await refuses(
    () => plan("llava", model("F16", 9), [...diff, T("model.other.weight", "F16", 4)]),
    "MISMATCH",
    /"model\.other\.weight" \[4\] is in the diff .* and not in the base/,
  );
});

test("overlap takes the base as the top left block, and refuses one that is larger in any direction", async () => {
  const made = plan("llava", [T(EMBED, "F16", 9, 6)], [T(EMBED, "F16", 12, 8)]);
  assert.equal(jobOf(made, EMBED).blend?.rows, "verbatim");
  for (const shape of [
    [13, 8],
    [9, 9],
  ] as const) {
    await refuses(
      () => plan("llava", [T(EMBED, "F16", ...shape)], [T(EMBED, "F16", 12, 8)]),
      "MISMATCH",
      /in the base/,
    );
  }
  // Only husky lets any matrix differ.
  const [raw, diff] = [[T(Q, "F16", 8, 8)], [T(`language_model.${Q}`, "F16", 9, 8)]];
  assert.equal(rulesOf(plan("husky", raw, diff))[`language_model.${Q}`], "blend");
  await refuses(() => plan("llava", raw, [T(Q, "F16", 9, 8)]), "MISMATCH", /in the base/);
});

test("zero takes any number of new rows, and a scheme without new rows takes none", async () => {
  assert.deepEqual(
    [...plan("yulan", model("F16", 9), model("F16", 900)).newRows],
    [
      [EMBED, 891],
      [HEAD, 891],
    ],
  );
  assert.equal(jobOf(plan("gisting", model("F16", 9), model("F32", 10)), EMBED).blend?.rows, "zero");
  await refuses(
    () => plan("fastchat", model("F16", 9), model("F16", 10)),
    "MISMATCH",
    /1 new row, which the scheme does not know/,
  );
  assert.equal(jobOf(plan("fastchat", model("F16", 9), model("F16", 10), { rows: "zero" }), EMBED).blend?.rows, "zero");
});

for (const scheme of ["fastchat", "fastchat-low-mem", "knowlm", "koala"]) {
  test(`new rows that ${scheme} does not know are not blamed on the base`, () => {
    assert.throws(
      () => plan(scheme, model("F16", 9), model("F16", 11)),
      (error) => {
        assert.ok(error instanceof WeightDiffError && error.code === "MISMATCH", String(error));
        assert.match(error.message, /2 new rows, which the scheme does not know/);
        assert.equal(
          hintText(error),
          "follow the script that made the diff with --scheme, or take the rows as the diff has them with --rows zero",
        );
        return true;
      },
    );
  });
}

test("rows that are refused as asked are not blamed on the base; another width is", () => {
  const hint = (diff: readonly ImaginedTensor[], options: Partial<RecoverPlanOptions> = {}): string => {
    try {
      plan("open-instruct", model("F16", 9), diff, options);
    } catch (error) {
      assert.ok(error instanceof WeightDiffError, String(error));
      return hintText(error) ?? "";
    }
    return assert.fail("was not refused");
  };
  assert.equal(hint(model("F32", 10), { rows: "refuse" }), "allow them with --rows mean");
  const odd = model("F32", 10).map((tensor) => (tensor.name === Q ? { ...tensor, shape: [3, 3] } : tensor));
  assert.match(hint(odd, { rows: "refuse" }), /^the diff was made against another base/);
});

test("a head's bias grows with the head: a script that resizes the base gives new values a zero, whatever new rows get", async () => {
  const biased = (rows: number): readonly ImaginedTensor[] => [
    ...model("F32", rows),
    T("lm_head.bias", "F32", rows),
    T("final_logits_bias", "F32", 1, rows),
    T("lm_head.decoder.bias", "F32", rows),
  ];
  for (const [scheme, into] of [
    ["open-instruct", "diff"],
    ["alpaca-farm", "diff"],
    ["gisting", "diff"],
    ["fastchat-v0", "raw"],
    ["lawyer-llama", "raw"],
  ] as const) {
    const made = plan(scheme, biased(10), biased(11));
    for (const name of ["lm_head.bias", "final_logits_bias", "lm_head.decoder.bias"]) {
      const job = jobOf(made, name);
      assert.equal(made.newRows.get(name), 1, `${scheme} ${name}`);
      assert.equal(job.blend?.rows, "zero", `${scheme} ${name}`);
      assert.equal(job.start === rawTerm(made, job), into === "raw", `${scheme} ${name}`);
      assert.ok(job.terms.every(({ mean }) => mean === null));
    }
  }
  for (const scheme of ["fastchat", "llava", "knowlm"]) {
    await refuses(() => plan(scheme, biased(10), biased(11)), "MISMATCH", /"lm_head\.bias": \[10\] in the base/);
  }
  // Fewer values than the base's, and values of another tensor's bias, are no new ones.
  await refuses(() => plan("open-instruct", biased(11), biased(10)), "MISMATCH", /"lm_head\.bias": \[11\] in the base/);
  const other = [T(Q.replace("weight", "bias"), "F32", 8)];
  const grown = [T(Q.replace("weight", "bias"), "F32", 9)];
  await refuses(
    () => plan("open-instruct", [...model("F32", 9), ...other], [...model("F32", 9), ...grown]),
    "MISMATCH",
    /q_proj\.bias": \[8\] in the base/,
  );
});

test("lawyer-llama adds the mean in F32 into the base's rows", () => {
  const made = plan("lawyer-llama", model("F16", 9), model("F32", 12));
  const { blend, start } = jobOf(made, EMBED);
  assert.deepEqual([blend?.rows, blend?.operands], ["mean", "F32"]);
  assert.equal(start, rawTerm(made, jobOf(made, EMBED)));
  assert.deepEqual(start.mean, { rows: 9, columns: 8 });
});

test("alpaca-farm adds the mean to one new row, and takes any other shape as it is", () => {
  const one = plan("alpaca-farm", model("F16", 9), model("F32", 10));
  assert.deepEqual(rawTerm(one, jobOf(one, EMBED))?.mean, { rows: 9, columns: 8 });
  const other = plan("alpaca-farm", model("F16", 9), [
    T(EMBED, "F32", 12, 8),
    T(HEAD, "F32", 7, 8),
    ...model("F32", 9).slice(1, 3),
  ]);
  assert.deepEqual(rulesOf(other), { [EMBED]: "own", [HEAD]: "own", [Q]: "add", [NORM]: "add" });
});

test("alpaca-farm's reward models have the base's names after a prefix, and a head of their own", () => {
  const diff = [
    ...model("F32", 10).map((tensor) => ({ ...tensor, name: `backbone_model.${tensor.name}` })),
    T("reward_head.bias", "F32", 1),
  ];
  const made = plan("alpaca-farm", model("F16", 9), diff);
  assert.equal(rulesOf(made)["reward_head.bias"], "own");
  const job = jobOf(made, `backbone_model.${EMBED}`);
  assert.deepEqual([rawName(made, job), rawTerm(made, job)?.mean?.rows], [EMBED, 9]);
});

test("husky keeps everything without its prefix, float16 like the rest", () => {
  const made = plan("husky", model("F16", 9), [
    ...model("F16", 9).map((tensor) => ({ ...tensor, name: `language_model.${tensor.name}` })),
    T("vision_model.a", "F32", 4),
    T("vision_model.b", "F16", 4),
    T("vision_model.ids", "I64", 4),
  ]);
  assert.deepEqual(
    ["a", "b", "ids"].map((name) => jobOf(made, `vision_model.${name}`)).map(({ rule, dtype }) => [rule, dtype]),
    [
      ["blend", "F16"],
      ["copy", "F16"],
      ["copy", "I64"],
    ],
  );
});

test("a tensor that no script would miss in the diff is still missed where it is summed", async () => {
  await refuses(
    () => plan("fastchat", model("F16", 9), model("F16", 9).slice(1)),
    "MISMATCH",
    /"model\.embed_tokens\.weight" .* is in the base .* and not in the diff/,
  );
  assert.equal(plan("moss-rlhf", model("F16", 9), model("F16", 9).slice(1)).order.length, 3);
});

test("a custom scheme has the axes it is given and states them in its name", async () => {
  const scheme = customScheme({
    ...CUSTOM_DEFAULTS,
    operation: "subtract",
    arithmetic: "BF16",
    newRows: "zero",
    verbatim: ["lm_head"],
    driver: "raw",
  });
  assert.equal(scheme.name, "custom --op subtract --arith bfloat16 --rows zero --verbatim lm_head --driver raw");
  const made = plan("exact", model("F16", 9), [...model("F16", 11), T("extra", "F16", 1)], { scheme });
  assert.deepEqual(made.order, [EMBED, Q, NORM, HEAD]);
  assert.deepEqual(jobOf(made, EMBED).blend, {
    operation: "subtract",
    operands: "BF16",
    result: "BF16",
    rows: "zero",
  });
  assert.equal(rulesOf(made)[HEAD], "own");
  await refuses(
    () => customScheme({ ...CUSTOM_DEFAULTS, arithmetic: "F16", newRows: "mean" }),
    "USAGE",
    /float32 only/,
  );
});

for (const [pattern, yes, no] of [
  ["layers", ["model.layers.0.x"], ["model.norm.weight", "layer"]],
  ["*inv_freq", ["a.inv_freq"], ["inv_freq.a"]],
  ["model.*.weight", ["model.a.weight", "model.a.b.weight"], ["model.weight", "xmodel.a.weight"]],
  ["a*a", ["aa", "aba"], ["a", "ab"]],
  ["*a*b*", ["xaxbx", "ab"], ["ba"]],
  ["a.b", ["xa.by"], ["axb"]],
] as const) {
  test(`the pattern ${pattern} finds ${yes.join(", ")} and not ${no.join(", ")}`, () => {
    assert.deepEqual(
      yes.filter((name) => !matchesName(pattern, name)),
      [],
    );
    assert.deepEqual(
      no.filter((name) => matchesName(pattern, name)),
      [],
    );
  });
}

test("no pattern takes long", () => {
  assert.equal(matchesName(`${"a*".repeat(500)}b`, "a".repeat(100_000)), false);
});

test("husky with a base that has the prefix itself: the scheme is named as the cause, not the base", () => {
  const prefixed = (dtype: Dtype) =>
    model(dtype, 9).map((tensor) => ({ ...tensor, name: `language_model.${tensor.name}` }));
  assert.throws(
    () => plan("husky", prefixed("F16"), prefixed("F16")),
    (error) => {
      assert.ok(error instanceof WeightDiffError && error.code === "MISMATCH", String(error));
      assert.match(
        error.message,
        /: the base's own names begin with "language_model\.", which the scheme removes from the diff's$/m,
      );
      assert.equal(hintText(error), "follow the script that made the diff with --scheme");
      return true;
    },
  );
});
