/** --scheme auto: what is chosen by which evidence, what contradicts it, and what is refused with what words. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Choice, chooseScheme, type Evidence } from "../../src/choose-scheme.js";
import { WeightDiffError } from "../../src/errors.js";
import type { Dtype } from "../../src/formats/dtype.js";
import { type ImaginedTensor, imagine } from "../checkpoints.js";

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
): Choice {
  return chooseScheme({
    raw: imagine("base", model("F16", 100)),
    diff: imagine("diff", model(dtype, rows, ...extra)),
    config: null,
    files: [],
    tokens: [],
    own: [],
    newRows: rows - 100,
    ...more,
  });
}

function refusal(run: () => unknown): WeightDiffError {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof WeightDiffError && error.code === "SCHEME_UNKNOWN", String(error));
    return error;
  }
  return assert.fail("a scheme was chosen");
}

const OWN = [{ name: EMBED, cosine: 0.9, kind: "own" }] as const;
const DIFFERENCE = [{ name: EMBED, cosine: 0, kind: "difference" }] as const;

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

test("refuses float16 diffs that several scripts would treat differently, with a line for each", () => {
  const { message, hint = "" } = refusal(() => choose("F16", 100));
  assert.match(message, /^diff: tensor "model\.embed_tokens\.weight" in pytorch_model-1\.bin is F16: /);
  for (const name of ["fastchat", "huatuo"]) {
    assert.match(hint, new RegExp(`\\n {2}--scheme ${name} {2}\\(.+: .+\\)`));
  }
  assert.doesNotMatch(hint, /--scheme (alpaca|lmflow|llava|billa) /);
});

test("chooses where values tell whether embeddings are the model's own", () => {
  const shared = choose("F16", 100, { own: DIFFERENCE });
  assert.equal(shared.scheme.name, "fastchat");
  assert.equal(shared.reason, "the diff is F16, as fastchat makes them (fastchat-v0 would give the same bits here)");
  const own = choose("F16", 100, { own: OWN });
  assert.equal(own.scheme.name, "huatuo");
  assert.match(own.reason, /^the diff is F16, and its "model\.embed_tokens\.weight" is the model's own, as huatuo/);
  assert.equal(choose("F16", 101, { own: DIFFERENCE }).scheme.name, "fastchat-v0");
  const norm = (kind: "own" | "difference") => ({ name: "model.norm.weight", cosine: 1, kind });
  assert.equal(choose("F32", 100, { own: [...OWN, norm("difference")] }).scheme.name, "pandallm");
  assert.equal(choose("F32", 100, { own: [...OWN, norm("own")] }).scheme.name, "moss-rlhf");
});

test("takes schemes that give the same bits for this pair for one another, and no others", () => {
  const { scheme, reason } = choose("BF16", 100);
  assert.equal(scheme.name, "lmflow");
  assert.equal(reason, "the diff is BF16, as lmflow makes them (yulan would give the same bits here)");
  assert.equal(choose("BF16", 102).scheme.name, "yulan");
});

test("refuses three new rows in float32: a mean to one script, nothing to another", () => {
  const { message, hint = "" } = refusal(() => choose("F32", 103));
  assert.match(message, /^diff: has 3 vocabulary rows more than the base: /);
  assert.match(hint, /--scheme lawyer-llama .*\n.*|--scheme gisting /);
  assert.doesNotMatch(hint, /--scheme knowlm /);
});

test("stays with open-instruct for float32 and one new row where nothing contradicts it", () => {
  assert.equal(choose("F32", 101, { own: DIFFERENCE }).scheme.name, "open-instruct");
  assert.equal(choose("F32", 100).scheme.name, "open-instruct");
});
