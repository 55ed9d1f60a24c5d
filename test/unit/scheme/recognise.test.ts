/** What tells whose diff it is, each kind of evidence by itself. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Facts } from "../../../src/scheme/facts.js";
import { ALL_FAMILIES, FAMILIES, familyNamed } from "../../../src/scheme/families.js";
import { familiesOfLine, familyOfRepo, isFlag, markOf } from "../../../src/scheme/recognise.js";

const NOTHING: Facts = { files: [], tokens: [], formats: [], tensors: new Set(), base: null, own: [] };
const mark = (name: string, facts: Partial<Facts>): string | null =>
  markOf(familyNamed(name), { ...NOTHING, ...facts });

for (const [repo, name] of [
  ["vicuna-13b-delta-v1.1", "fastchat"],
  ["Tulu-7B", "open-instruct"],
  ["zhixi-13b-diff-fp16", "knowlm-fp16"],
  ["tulu-7b-mine", undefined],
  ["", undefined],
] as const) {
  test(`a repository called ${repo} is ${name ?? "nobody's that is known"}`, () => {
    assert.equal(familyOfRepo(ALL_FAMILIES, repo)?.scheme.name, name);
  });
}

test("a file, a token, a format or a tensor marks a family, in words", () => {
  assert.equal(mark("landmark", { files: ["checksum_psum.txt"] }), "checksum_psum.txt lies beside it");
  assert.equal(mark("gisting", { tokens: ["<GIST>"] }), 'its tokenizer has the token "<GIST>"');
  assert.equal(mark("koala", { formats: ["easylm"] }), "its weights are in the format easylm");
  const tensors = new Set(["reward_head.weight"]);
  assert.equal(mark("moss-rlhf", { tensors }), 'it has a tensor "reward_head.weight"; if the base has no such tensor');
  assert.equal(mark("moss-rlhf", { tensors, base: new Set(["a"]) }), 'it has a tensor "reward_head.weight"');
  assert.equal(mark("moss-rlhf", { tensors, base: new Set(["reward_head.weight"]) }), null);
  assert.equal(mark("fastchat", { files: ["model_sum.txt"], tokens: ["<GIST>"], tensors }), null);
});

test("a prefix marks a family where the base has the names behind it, and none before them", () => {
  const tensors = new Set(["language_model.a", "vision.b"]);
  const words = 'it has a tensor "language_model.a"';
  for (const [base, expected] of [
    [null, `${words}; if the base has no such tensor`],
    [["a"], words],
    [["language_model.a"], null],
    [["a", "language_model.c"], null],
    [["b"], null],
  ] as const) {
    assert.equal(mark("husky", { tensors, base: base === null ? null : new Set(base) }), expected, String(base));
  }
});

test("a script's flag is its name and any beginning of it down to the shortest in use", () => {
  const flag = { name: "base-model-path", shortest: "base" } as const;
  for (const written of ["base", "base-", "base-model", "base-model-path"]) {
    assert.ok(isFlag(flag, written), written);
  }
  for (const written of ["bas", "base-models", "base-model-paths", "", "b"]) {
    assert.ok(!isFlag(flag, written), written);
  }
  assert.ok(!isFlag({ name: "mode" }, "mod"));
});

const FASTCHATS = ["fastchat", "fastchat-v0", "lmflow", "llava", "husky", "huatuo", "ziya", "pandallm"];
for (const [line, words, names] of [
  ["base-model-path target-model-path delta-path", 0, FASTCHATS],
  ["base target delta", 0, FASTCHATS],
  ["base-m delta-p", 0, FASTCHATS],
  ["delta", 0, FASTCHATS],
  ["base-model-path target-model-path delta-path low-cpu-mem", 0, ["fastchat", "lmflow", "ziya", "pandallm"]],
  ["low-cpu-mem", 0, ["fastchat", "lmflow", "ziya", "pandallm"]],
  ["low-cpu-mem", 3, ["fastchat", "lmflow", "ziya", "pandallm"]],
  ["base-model-path target-model-path delta-path mode", 0, ["lawyer-llama"]],
  ["base-model-path tuned-model-path delta-path", 0, ["yulan", "yulan-f32"]],
  ["base tuned delta", 0, ["yulan", "yulan-f32"]],
  ["delta", 2, ["mmpretrain-llava"]],
  ["delta", 3, []],
  ["base-model base-model-format patch-model offload offload-path", 0, ["openchinesellama"]],
  ["base-model patch", 0, ["openchinesellama"]],
  ["patch-model", 0, ["openchinesellama"]],
  ["model-dir meta-llama-pth-file method", 0, ["billa"]],
  ["recover-diff load-base-checkpoint load-target-checkpoint output-file streaming", 0, ["koala"]],
  ["llama-7b-hf-dir alpaca-farm-model-name models-save-dir path-to-sft10k", 0, ["alpaca-farm"]],
  ["is-fp16", 0, ["knowlm"]],
  ["is-fp16", 3, ["knowlm"]],
  ["original-model", 0, ["open-instruct"]],
  ["", 0, []],
  ["", 3, []],
  ["base-model-path delta-path is-fp16", 0, []],
  ["base-model-path patch-model delta-path", 0, []],
  ["model-dir load-base-checkpoint", 0, []],
  ["mode", 0, ["lawyer-llama"]],
] as const) {
  test(`the command line "${line}" with ${words} paths without a flag is ${names.join(", ") || "no script's"}`, () => {
    const flags = line.split(" ").filter((flag) => flag !== "");
    assert.deepEqual(
      familiesOfLine(FAMILIES, { flags, words }).map(({ scheme }) => scheme.name),
      names,
    );
  });
}
