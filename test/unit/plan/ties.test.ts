/** Head and embedding that are one matrix: what a script adds to it, by what config and files say of either side. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Term } from "../../../src/engine/job/job.js";
import { WeightDiffError } from "../../../src/errors.js";
import type { Dtype } from "../../../src/formats/dtype.js";
import type { Plan } from "../../../src/plan/plan.js";
import { type DiffPlanOptions, planDiff } from "../../../src/plan/plan-diff.js";
import { planRecover } from "../../../src/plan/plan-recover.js";
import { planTraffic } from "../../../src/plan/traffic.js";
import { CUSTOM_DEFAULTS, customScheme } from "../../../src/scheme/custom.js";
import { schemeNamed } from "../../../src/scheme/families.js";
import { type ImaginedTensor, imagine } from "../../support/checkpoints.js";
import { noteTexts } from "../../support/jobs.js";

const E = "model.embed_tokens.weight";
const H = "lm_head.weight";
const Q = "model.layers.0.self_attn.q_proj.weight";

type Form = "E" | "H" | "EH" | "one storage";
type Tie = boolean | null;

function side(form: Form, dtype: Dtype, rows = 10): readonly ImaginedTensor[] {
  const bytes = rows * 4 * (dtype === "F32" ? 4 : 2);
  // Stored one after the other, or as one run of bytes.
  const at = (index: number) => ({ range: { begin: index * bytes, end: (index + 1) * bytes } });
  const embedding = { name: E, dtype, shape: [rows, 4], more: at(0) };
  const head = { name: H, dtype, shape: [rows, 4], more: at(form === "one storage" ? 0 : 1) };
  const own = form === "E" ? [embedding] : form === "H" ? [head] : [embedding, head];
  return [...own, { name: Q, dtype, shape: [4, 4], more: { range: { begin: 2 * bytes, end: 2 * bytes + 64 } } }];
}

/** Each output tensor: "base:name" or "diff:name" of what is added into, and of what is added, in order. */
function meetings({ jobs, inputs }: Plan): Readonly<Record<string, string>> {
  const text = ({ operand }: Term): string => {
    assert.equal(operand.kind, "stored");
    const { input, name } = operand.kind === "stored" ? operand : assert.fail();
    return `${inputs[input]?.role === "raw" ? "base" : "diff"}:${name === E ? "E" : name === H ? "H" : name}`;
  };
  return Object.fromEntries(
    jobs.flatMap((job) =>
      job.kind === "tensor" && job.name !== Q
        ? [[job.name === E ? "E" : job.name === H ? "H" : job.name, [job.start, ...job.terms].map(text).join(" + ")]]
        : [],
    ),
  );
}

interface Case {
  readonly scheme: string;
  readonly raw: readonly [form: Form, tied: Tie];
  readonly diff: readonly [form: Form, tied: Tie, dtype?: Dtype];
  readonly becomes: Readonly<Record<string, string>>;
}

const TWICE = { E: "diff:E + base:E + base:E" };
const APART = { E: "diff:E + base:E", H: "diff:H + base:H" };
const DELTA_TWICE = { E: "base:E + diff:E + diff:E" };
const DELTA_APART = { E: "base:E + diff:E", H: "base:H + diff:H" };

// As fixtures/ties/make.py measured with the scripts themselves.
const CASES: readonly Case[] = [
  { scheme: "alpaca", raw: ["E", true], diff: ["E", true], becomes: TWICE },
  { scheme: "open-instruct", raw: ["E", true], diff: ["E", true], becomes: TWICE },
  { scheme: "alpaca", raw: ["EH", false], diff: ["EH", false], becomes: APART },
  { scheme: "alpaca", raw: ["EH", false], diff: ["E", true], becomes: { E: "diff:E + base:E + base:H" } },
  { scheme: "alpaca", raw: ["E", true], diff: ["EH", false], becomes: { E: "diff:E + base:E", H: "diff:H + base:E" } },
  { scheme: "alpaca", raw: ["H", true], diff: ["E", true], becomes: { E: "diff:E + base:H + base:H" } },
  { scheme: "alpaca", raw: ["E", true], diff: ["H", true], becomes: { H: "diff:H + base:E + base:E" } },
  { scheme: "alpaca", raw: ["EH", false], diff: ["H", true], becomes: { H: "diff:H + base:E + base:H" } },
  // Both stored, and equal: else they would not be said to be tied.
  {
    scheme: "alpaca",
    raw: ["EH", true],
    diff: ["EH", true],
    becomes: { E: "diff:E + base:E + base:H", H: "diff:H + base:E + base:H" },
  },
  // A tensor that has the dtype already is not copied on loading: one storage stays one, whatever the config says.
  {
    scheme: "alpaca",
    raw: ["EH", false],
    diff: ["one storage", false, "F32"],
    becomes: { E: "diff:E + base:E + base:H", H: "diff:H + base:E + base:H" },
  },
  { scheme: "alpaca", raw: ["EH", false], diff: ["one storage", false, "F16"], becomes: APART },
  // Nothing tells, and a language model without a head has it tied.
  { scheme: "alpaca", raw: ["E", null], diff: ["E", null], becomes: TWICE },
  { scheme: "alpaca", raw: ["EH", null], diff: ["EH", null], becomes: APART },
  { scheme: "alpaca", raw: ["E", false], diff: ["E", false], becomes: { E: "diff:E + base:E" } },
  { scheme: "fastchat", raw: ["E", true], diff: ["E", true], becomes: DELTA_TWICE },
  { scheme: "lmflow", raw: ["E", true], diff: ["E", true], becomes: DELTA_TWICE },
  { scheme: "fastchat", raw: ["EH", false], diff: ["EH", false], becomes: DELTA_APART },
  { scheme: "fastchat", raw: ["E", true], diff: ["EH", false], becomes: { E: "base:E + diff:E + diff:H" } },
  {
    scheme: "fastchat",
    raw: ["EH", false],
    diff: ["E", true],
    becomes: { E: "base:E + diff:E", H: "base:H + diff:E" },
  },
  { scheme: "fastchat", raw: ["H", true], diff: ["E", true], becomes: { H: "base:H + diff:E + diff:E" } },
  // Files are dictionaries: nothing is tied in them but what lies in one storage.
  { scheme: "fastchat-low-mem", raw: ["E", true], diff: ["E", true], becomes: { E: "base:E + diff:E" } },
  {
    scheme: "fastchat-low-mem",
    raw: ["one storage", true],
    diff: ["EH", true],
    becomes: { E: "base:E + diff:E + diff:H", H: "base:H + diff:E + diff:H" },
  },
  { scheme: "fastchat-low-mem", raw: ["E", true], diff: ["EH", true], becomes: { E: "base:E + diff:E" } },
  // What the script leaves alone, it leaves alone under both names.
  { scheme: "huatuo", raw: ["E", true], diff: ["E", true], becomes: { E: "diff:E" } },
  { scheme: "moss-rlhf", raw: ["E", true], diff: ["E", true], becomes: { E: "diff:E" } },
];

for (const { scheme, raw, diff, becomes } of CASES) {
  const said = ([form, tied]: readonly [Form, Tie, Dtype?]): string => `${form}, tied ${tied}`;
  test(`${scheme}: base (${said(raw)}) and diff (${said(diff)}${diff[2] === undefined ? "" : `, ${diff[2]}`})`, () => {
    const made = planRecover(
      imagine("base", side(raw[0], scheme.startsWith("fastchat") ? "F16" : "BF16")),
      imagine("diff", side(diff[0], diff[2] ?? (scheme === "alpaca" ? "F32" : "F16"))),
      { ...OPTIONS, scheme: schemeNamed(scheme), rawTied: raw[1], diffTied: diff[1] },
    );
    assert.deepEqual(meetings(made), becomes);
  });
}

const OPTIONS = { dtype: null, maxShardSize: 5e9, invFreq: "drop", rows: null, ropeTheta: 10_000 } as const;

function recoverTied(
  raw: readonly ImaginedTensor[],
  diff: readonly ImaginedTensor[],
  more: Partial<Parameters<typeof planRecover>[2]> = {},
): Plan {
  return planRecover(imagine("base", raw), imagine("diff", diff), {
    ...OPTIONS,
    scheme: schemeNamed("open-instruct"),
    rawTied: true,
    diffTied: true,
    ...more,
  });
}

test("one note tells that the script meets a matrix twice, and what it adds", () => {
  assert.deepEqual(noteTexts(recoverTied(side("E", "F16"), side("E", "F32"))), [
    `"${E}" has two names in the model: the script meets it under both and adds the base's twice ("${E}")`,
  ]);
  const half = recoverTied(side("EH", "F16"), side("E", "F32"), { rawTied: false });
  assert.match(
    noteTexts(half).join(),
    /adds the base's twice \("model\.embed_tokens\.weight", then "lm_head\.weight"\)/,
  );
});

test("a model that is not a language model has no head to pair", () => {
  const models = { modelType: "qwen2", raw: "Qwen2ForCausalLM", driver: "Qwen2ForSequenceClassification" };
  const made = recoverTied(side("E", "F16"), side("E", "F32"), { models });
  assert.deepEqual(meetings(made), { E: "diff:E + base:E" });
  assert.deepEqual([...made.twins], []);
});

test("new rows get the mean twice as well", () => {
  const made = recoverTied(side("E", "F16"), side("E", "F32", 11));
  const job = made.jobs.find(({ name }) => name === E);
  assert.ok(job?.kind === "tensor");
  assert.deepEqual(
    job.terms.map(({ mean }) => mean),
    [
      { rows: 10, columns: 4 },
      { rows: 10, columns: 4 },
    ],
  );
});

test("one read serves both terms of one matrix", () => {
  const made = recoverTied(side("E", "F16"), side("E", "F32"));
  assert.equal(planTraffic(made).read, 10 * 4 * (2 + 4) + 16 * (2 + 4));
});

test("refuses an embedding and a head of the base that have different shapes and meet one matrix", () => {
  const raw = [...side("E", "F16"), { name: H, dtype: "F16" as const, shape: [9, 4] }];
  assert.throws(
    () => recoverTied(raw, side("E", "F32"), { rawTied: false }),
    (error) =>
      error instanceof WeightDiffError &&
      /is tied to two tensors of different shapes: "model\.embed_tokens\.weight" \[10, 4\], "lm_head\.weight" \[9, 4\]/.test(
        error.message,
      ),
  );
});

test("the sums know the names that a state dict lists beyond the file's", () => {
  assert.deepEqual([...recoverTied(side("E", "F16"), side("E", "F32")).twins], [[E, H]]);
  assert.deepEqual([...recoverTied(side("E", "F16"), side("H", "F32")).twins], [[H, E]]);
  assert.deepEqual([...recoverTied(side("E", "F16"), side("EH", "F32"), { diffTied: false }).twins], []);
});

test("the result of apply_delta ties as the base does, whose model it saves", () => {
  const fastchat = { scheme: schemeNamed("fastchat") };
  assert.equal(recoverTied(side("E", "F16"), side("EH", "F16"), { ...fastchat, diffTied: false }).tied, true);
  assert.equal(recoverTied(side("EH", "F16"), side("E", "F16"), { ...fastchat, rawTied: false }).tied, false);
  assert.equal(recoverTied(side("E", "F16"), side("E", "F16"), fastchat).tied, null);
});

test("BERT's bias is met twice with its matrix, and no other family's", () => {
  const more = (input: string, bias: string): readonly ImaginedTensor[] => [
    { name: input, dtype: "F32", shape: [10, 4] },
    { name: bias, dtype: "F32", shape: [10] },
  ];
  const times = (input: string, bias: string): number => {
    const made = recoverTied(more(input, bias), more(input, bias));
    const job = made.jobs.find(({ name }) => name === bias);
    return job?.kind === "tensor" ? job.terms.length : 0;
  };
  assert.equal(times("bert.embeddings.word_embeddings.weight", "cls.predictions.bias"), 2);
  assert.equal(times("albert.embeddings.word_embeddings.weight", "predictions.bias"), 2);
  assert.equal(times("roberta.embeddings.word_embeddings.weight", "lm_head.bias"), 2);
  assert.equal(times("transformer.wte.weight", "lm_head.bias"), 1);
  assert.equal(times("bert.embeddings.word_embeddings.weight", "cls.predictions.transform.dense.bias"), 1);
});

test("a bias that the base stores under both of its names pairs with a diff that has one", () => {
  const input: ImaginedTensor = { name: "albert.embeddings.word_embeddings.weight", dtype: "F32", shape: [10, 4] };
  const bias = (name: string): ImaginedTensor => ({ name, dtype: "F32", shape: [10] });
  const [first, second] = [bias("predictions.bias"), bias("predictions.decoder.bias")];
  const made = recoverTied([input, first, second], [input, first]);
  assert.deepEqual(made.jobs.map(({ name }) => name).sort(), [input.name, first.name]);
  assert.throws(() => recoverTied([input, first, bias("predictions.other.bias")], [input, first]), WeightDiffError);
});

test("in an exact diff, tied or not, each tensor pairs with the base's once, under whichever name it is stored", () => {
  const exact = new Map([
    [E, { dtype: "F16", rule: "bits" }],
    [Q, { dtype: "F16", rule: "bits" }],
  ] as const);
  const diff = [
    { name: E, dtype: "U16" as const, shape: [10, 4] },
    { name: Q, dtype: "U16" as const, shape: [4, 4] },
  ];
  const made = recoverTied(side("H", "F16"), diff, { scheme: schemeNamed("exact"), exact });
  assert.deepEqual(meetings(made), { E: "diff:E + base:H" });
});

test("a custom scheme follows the names that it leaves alone", () => {
  const scheme = customScheme({ ...CUSTOM_DEFAULTS, verbatim: ["lm_head"] });
  assert.deepEqual(meetings(recoverTied(side("E", "F32"), side("E", "F32"), { scheme })), { E: "diff:E + base:E" });
});

for (const [raw, tuned, encoding, becomes] of [
  [["E", true], ["E", true], "additive", TWICE],
  [["EH", false], ["E", true], "additive", { E: "diff:E + base:E + base:H" }],
  [["E", true], ["EH", false], "additive", { E: "diff:E + base:E", H: "diff:H + base:E" }],
  // What is written is loaded from a file that holds two.
  [["EH", false], ["one storage", false], "additive", APART],
  [["E", true], ["E", true], "exact", { E: "diff:E + base:E" }],
  [["H", true], ["E", true], "exact", { E: "diff:E + base:H" }],
  [["E", true], ["H", true], "exact", { H: "diff:H + base:E" }],
] as const satisfies readonly (readonly [
  readonly [Form, Tie],
  readonly [Form, Tie],
  DiffPlanOptions["encoding"],
  Readonly<Record<string, string>>,
])[]) {
  test(`make-diff, ${encoding}: base (${raw.join(", tied ")}), tuned (${tuned.join(", tied ")})`, () => {
    const made = planDiff(imagine("base", side(raw[0], "F16")), imagine("tuned", side(tuned[0], "F16")), {
      ...OPTIONS,
      encoding,
      rawTied: raw[1],
      tunedTied: tuned[1],
    });
    assert.deepEqual(meetings(made), becomes);
  });
}
