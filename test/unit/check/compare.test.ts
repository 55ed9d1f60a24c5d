/** Which tensors of two checkpoints are compared: names, ties and buffers. How values are compared is in test/property/compare. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { type CheckpointComparison, compareCheckpoints } from "../../../src/check/compare.js";
import { openCheckpoint } from "../../../src/checkpoint/checkpoint.js";
import { safetensors, type TensorSpec, withFolder, writeFiles } from "../../support/checkpoints.js";

/** Every name has its own value, so that a wrong pair is a difference. */
const value = (name: string): Float32Array => Float32Array.of(...Buffer.from(name.slice(-4)), name.length);
const T = (name: string, as = name): TensorSpec => [as, "F32", [5], value(name)];

const MODEL = ["embed_tokens.weight", "layers.0.mlp.up_proj.weight", "layers.1.mlp.up_proj.weight", "norm.weight"];
const GPT2 = '{"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]}';

async function compare(
  left: readonly TensorSpec[],
  right: readonly TensorSpec[],
  config = "{}",
): Promise<CheckpointComparison> {
  return withFolder(async (folder) => {
    const write = async (name: string, tensors: readonly TensorSpec[]) => {
      const place = join(folder, name);
      await writeFiles(place, { "model.safetensors": safetensors(...tensors), "config.json": config });
      return openCheckpoint(place);
    };
    return compareCheckpoints(await write("left", left), await write("right", right), {});
  });
}

for (const [what, ours, theirs] of [
  ["a base model's prefix", (name: string) => name, (name: string) => `model.${name}`],
  ["a prefix on this side", (name: string) => `model.${name}`, (name: string) => name],
  ["what torch.compile puts there", (name: string) => name, (name: string) => `_orig_mod.${name}`],
  ["what FSDP puts there", (name: string) => name.replace("mlp", "_fsdp_wrapped_module.mlp"), (name: string) => name],
] as const) {
  test(`names pair in spite of ${what}; messages use the name in each file`, async () => {
    const comparison = await compare(
      MODEL.map((name) => T(name, ours(name))),
      MODEL.map((name) => T(name, theirs(name))),
    );
    assert.equal(comparison.verdict, "identical");
    assert.deepEqual(
      comparison.tensors.map(({ name }) => name),
      MODEL.map(ours),
    );
    assert.deepEqual(
      [...comparison.renamed],
      MODEL.filter((name) => ours(name) !== theirs(name)).map((name) => [ours(name), theirs(name)]),
    );
    assert.deepEqual([comparison.onlyHere, comparison.onlyThere, comparison.standIns], [[], [], []]);
  });
}

test("a difference under another name is one", async () => {
  const { verdict, tensors } = await compare(
    MODEL.map((name) => T(name)),
    MODEL.map((name) => T(name === "norm.weight" ? "norm.weird!" : name, `model.${name}`)),
  );
  assert.equal(verdict, "different");
  assert.deepEqual(
    tensors.filter((tensor) => tensor.verdict !== "identical").map(({ name }) => name),
    ["norm.weight"],
  );
});

test("a head that only one side has is missed, on whichever side, also where the other's names lack the prefix", async () => {
  const bare = MODEL.map((name) => T(name));
  const whole = [...MODEL.map((name) => T(name, `model.${name}`)), T("score.weight")];
  const there = await compare(bare, whole);
  assert.deepEqual([there.verdict, there.onlyHere, there.onlyThere], ["different", [], ["score.weight"]]);
  const here = await compare(whole, bare);
  assert.deepEqual([here.verdict, here.onlyHere, here.onlyThere], ["different", ["score.weight"], []]);
});

test("names that would become one are compared as they are", async () => {
  const both = [...MODEL.map((name) => T(name)), T("norm.weight", "_orig_mod.norm.weight")];
  const comparison = await compare(
    both,
    MODEL.map((name) => T(name)),
  );
  assert.deepEqual([comparison.verdict, comparison.onlyHere], ["different", ["_orig_mod.norm.weight"]]);
});

test("masks and position ids that one side lacks are no difference, whatever the family calls them", async () => {
  const weights = ["h.0.attn.c_attn.weight", "wte.weight"].map((name) => T(name));
  const buffers: readonly TensorSpec[] = [
    ["h.0.attn.bias", "BOOL", [1, 1, 2, 2], Uint8Array.of(1, 0, 1, 1)],
    ["h.0.attn.masked_bias", "F32", [], Float32Array.of(-1e4)],
    ["position_ids", "I64", [1, 2], BigInt64Array.of(0n, 1n)],
  ];
  for (const [left, right] of [
    [weights, [...weights, ...buffers]],
    [[...weights, ...buffers], weights],
  ] as const) {
    const comparison = await compare(left, right, GPT2);
    assert.equal(comparison.verdict, "identical");
    assert.deepEqual([...comparison.buffers].sort(), buffers.map(([name]) => name).sort());
    assert.deepEqual([comparison.onlyHere, comparison.onlyThere], [[], []]);
  }
});

test("a mask that versions of transformers keep in other dtypes or sizes is no difference; a weight in another shape is", async () => {
  const weight = T("wte.weight");
  const mask = (dtype: "BOOL" | "U8", size: number): TensorSpec => [
    "h.0.attn.bias",
    dtype,
    [1, 1, size, size],
    new Uint8Array(size * size).fill(1),
  ];
  const comparison = await compare([weight, mask("BOOL", 2)], [weight, mask("U8", 3)], GPT2);
  assert.deepEqual([comparison.verdict, comparison.buffers], ["identical", ["h.0.attn.bias"]]);
  const other = await compare([weight], [["wte.weight", "F32", [5, 1], value("wte.weight")]], GPT2);
  assert.deepEqual([other.verdict, other.tensors[0]?.reason], ["different", "[5] here, [5, 1] there"]);
});

test("a bias that only looks like a buffer is missed", async () => {
  const weights = MODEL.map((name) => T(name));
  const learned: TensorSpec = ["layers.0.attn.bias", "F32", [3], Float32Array.of(1, 2, 3)];
  const comparison = await compare(weights, [...weights, learned]);
  assert.deepEqual([comparison.verdict, comparison.onlyThere], ["different", ["layers.0.attn.bias"]]);
});
