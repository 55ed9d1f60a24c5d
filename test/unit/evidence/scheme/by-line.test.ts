/** What a script's own command line chooses, what says more than it, and where it is asked which of several scripts is meant. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Evidence, SchemeChoice } from "../../../../src/evidence/scheme/choice.js";
import { chooseScheme } from "../../../../src/evidence/scheme/choose.js";
import type { Dtype } from "../../../../src/formats/dtype.js";
import { diffMetadata } from "../../../../src/plan/exact.js";
import type { Variant } from "../../../../src/scheme/family.js";
import { type ImaginedTensor, imagine } from "../../../support/checkpoints.js";
import { hintOf, undecided } from "../../../support/refusal.js";

const EMBED = "model.embed_tokens.weight";
const HEAD = "lm_head.weight";
const model = (dtype: Dtype, rows: number, ...more: readonly ImaginedTensor[]): readonly ImaginedTensor[] => [
  { name: EMBED, dtype, shape: [rows, 8] },
  { name: "model.layers.0.self_attn.q_proj.weight", dtype, shape: [8, 8] },
  { name: "model.norm.weight", dtype, shape: [8] },
  { name: HEAD, dtype, shape: [rows, 8] },
  ...more,
];

interface Given {
  readonly base?: Dtype;
  readonly diff?: Dtype;
  readonly rows?: number;
  readonly words?: number;
  readonly extra?: readonly ImaginedTensor[];
  readonly more?: Partial<Evidence>;
}

/** @param flags as they are written, without dashes. */
function choose(
  flags: string,
  { base = "F16", diff = "F16", rows = 0, words = 0, extra = [], more = {} }: Given,
): SchemeChoice {
  const written = flags.split(" ");
  const variants = (["is_fp16", "low_cpu_mem"] as const satisfies readonly Variant[]).filter((flag) =>
    written.includes(flag.replaceAll("_", "-")),
  );
  return chooseScheme({
    raw: imagine("base", model(base, 100)),
    diff: imagine("diff", model(diff, 100 + rows, ...extra)),
    ...{ config: null, files: [], tokens: [], own: [], said: { rawTied: false, diffTied: false }, newRows: rows },
    line: { flags: written, words, variants },
    ...more,
  });
}

const FASTCHAT = "base-model-path target-model-path delta-path";
const YULAN = "base-model-path tuned-model-path delta-path";
const seen = (kind: "own" | "difference") =>
  [EMBED, HEAD].map((name) => ({ name, kind, cosine: kind === "own" ? 0.9 : 0, scale: kind === "own" ? 1 : 0 }));
const OWN = { more: { own: seen("own") } };
const DIFFERENCE = { more: { own: seen("difference") } };

const DTYPES = ["F16", "BF16", "F32", "F64"] as const;
for (const base of DTYPES) {
  for (const diff of DTYPES) {
    for (const [flags, name] of [
      [FASTCHAT, "fastchat"],
      ["base target delta", "fastchat"],
      ["base-model-path delta-path", "fastchat"],
      [`${FASTCHAT} low-cpu-mem`, "fastchat-low-mem"],
      ["low-cpu-mem", "fastchat-low-mem"],
      [`${FASTCHAT} mode`, "lawyer-llama"],
      [YULAN, "yulan"],
      ["base-model patch-model", "openchinesellama"],
      ["llama-7b-hf-dir models-save-dir", "alpaca-farm"],
      ["recover-diff load-base-checkpoint load-target-checkpoint output-file", "koala"],
      ["model-dir meta-llama-pth-file", "billa"],
      ["is-fp16", "knowlm-fp16"],
      ["original-model", "open-instruct"],
    ] as const) {
      test(`--${flags.replaceAll(" ", " --")} is ${name}'s, for a ${diff} diff and a ${base} base`, () => {
        for (const values of [{}, DIFFERENCE]) {
          const { scheme, reason } = choose(flags, { base, diff, ...values });
          assert.equal(scheme.name, name);
          assert.ok(reason.startsWith("the command line is that of "), reason);
          assert.ok(reason.includes(`(--${flags.replaceAll(" ", ", --")})`), reason);
        }
      });
    }
  }
}

for (const rows of [1, 2, 65]) {
  test(`FastChat's version for new rows is taken for ${rows} of them, and scripts with a rule for them are chosen by their flags`, () => {
    for (const diff of DTYPES) {
      assert.equal(choose(FASTCHAT, { diff, rows, ...DIFFERENCE }).scheme.name, "fastchat-v0");
      assert.equal(choose(`${FASTCHAT} mode`, { diff, rows, ...DIFFERENCE }).scheme.name, "lawyer-llama");
      assert.equal(choose(YULAN, { diff, rows, ...DIFFERENCE }).scheme.name, "yulan");
      assert.equal(choose("original-model", { diff, rows, ...DIFFERENCE }).scheme.name, "open-instruct");
    }
  });
}

test("a script that knows no new rows is chosen by its paths all the same: the plan says that they do not fit", () => {
  for (const diff of DTYPES) {
    const flags = `${FASTCHAT} low-cpu-mem`;
    assert.equal(choose(flags, { diff, rows: 1, ...DIFFERENCE }).scheme.name, "fastchat-low-mem");
  }
});

test("a switch alone chooses no scheme that does not fit", () => {
  for (const flags of ["is-fp16", "low-cpu-mem"]) {
    assert.equal(choose(flags, { diff: "F32", rows: 1, ...DIFFERENCE }).scheme.name, "open-instruct");
    undecided(() => choose(flags, { diff: "F32", rows: 2, ...DIFFERENCE }));
    undecided(() => choose(flags, { diff: "F16", rows: 1, ...DIFFERENCE }));
  }
});

test("names scripts with the same flags that would give other bits here, and no others", () => {
  const script = "the command line is that of lm-sys/FastChat's fastchat/model/apply_delta.py";
  assert.equal(
    choose(FASTCHAT, DIFFERENCE).reason,
    `${script} (--base-model-path, --target-model-path, --delta-path); the same flags give other bits with: lmflow`,
  );
  assert.match(choose(FASTCHAT, {}).reason, /; the same flags give other bits with: lmflow, huatuo, pandallm$/);
  assert.equal(choose("base delta", { diff: "F32", ...DIFFERENCE }).reason, `${script} (--base, --delta)`);
  assert.equal(choose("base delta low-cpu-mem", DIFFERENCE).reason, `${script} (--base, --delta, --low-cpu-mem)`);
  assert.match(choose(YULAN, {}).reason, /; the same flags give other bits with: yulan-f32$/);
});

test("the repository's name, make-diff's own mark and the name in the config outweigh the command line", () => {
  const named = (directory: string) => ({ diff: imagine("x", model("F16", 100), { directory }) });
  assert.equal(choose(FASTCHAT, { more: named("/models/robin-7b-v2-delta") }).scheme.name, "lmflow");
  assert.equal(choose(YULAN, { more: named("/models/tulu-7b") }).scheme.name, "open-instruct");
  assert.equal(choose(FASTCHAT, { more: { config: { nameOrPath: "x/HuatuoGPT-13b-delta" } } }).scheme.name, "huatuo");
  const marked = imagine("x", model("F32", 100));
  const shards = marked.shards.map((shard) => ({
    ...shard,
    header: { ...shard.header, metadata: diffMetadata("additive", new Map()) },
  }));
  assert.match(
    choose(FASTCHAT, { more: { diff: { ...marked, shards } } }).reason,
    /^its files are marked as a diff by /,
  );
});

test("marks tell scripts with FastChat's flags apart", () => {
  const projector = [{ name: "model.mm_projector.weight", shape: [4, 4] }];
  assert.equal(choose(FASTCHAT, { extra: projector }).scheme.name, "llava");
  const prefixed = model("F16", 100).map((tensor) => ({ ...tensor, name: `language_model.${tensor.name}` }));
  assert.equal(choose(FASTCHAT, { more: { diff: imagine("diff", prefixed) } }).scheme.name, "husky");
  // MMPretrain's flags are its own: the same diff, by another script.
  assert.equal(choose("delta", { extra: projector, words: 2 }).scheme.name, "mmpretrain-llava");
});

test("asks where a mark and FastChat's flags speak of different scripts, which give different bits", () => {
  const error = undecided(() => choose(FASTCHAT, { diff: "F32", more: { tokens: ["<GIST>"] } }));
  assert.match(error.message, /the token "<GIST>", as gisting has it; the command line is that of lm-sys\/FastChat's/);
  assert.match(hintOf(error), /--scheme gisting .*\n {2}--scheme fastchat /s);
});

test("the command line of a single script outweighs a mark", () => {
  const head = [{ name: "reward_head.weight", shape: [1, 8] }];
  assert.equal(choose("llama-7b-hf-dir", { diff: "F32", extra: head }).scheme.name, "alpaca-farm");
  assert.equal(choose("is-fp16", { diff: "F32", more: { files: ["model_sum.txt"] } }).scheme.name, "knowlm-fp16");
});

test("FastChat's flags and embeddings of the model's own: the one copy that leaves them alone, or the question which", () => {
  assert.equal(choose(FASTCHAT, { diff: "F32", ...OWN }).scheme.name, "pandallm");
  const error = undecided(() => choose(FASTCHAT, OWN));
  assert.match(error.message, /: the command line is that of lm-sys\/FastChat's /);
  assert.deepEqual(
    hintOf(error)
      .split("\n")
      .slice(1)
      .map((line) => line.split("  ")[1]),
    ["--scheme huatuo", "--scheme pandallm"],
  );
});

test("flags of two scripts at once, or words too many, tell nothing", () => {
  for (const [flags, words] of [
    ["base-model-path patch-model", 0],
    ["model-dir load-base-checkpoint", 0],
    ["delta", 3],
    ["base-model-path delta-path is-fp16", 0],
  ] as const) {
    assert.equal(choose(flags, { diff: "F32", words }).scheme.name, "open-instruct");
    undecided(() => choose(flags, { words }));
  }
});
