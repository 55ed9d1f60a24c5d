/** What trainers save without gathering it: known by the other side or by its name, and sound models are left in peace. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { WeightDiffError } from "../../../src/errors.js";
import { refuseUngathered } from "../../../src/evidence/ungathered.js";
import type { Dtype } from "../../../src/formats/dtype.js";
import { imagine } from "../../support/checkpoints.js";

type Shapes = Readonly<Record<string, readonly number[]>>;

const EMBED = "model.embed_tokens.weight";
const NORM = "model.norm.weight";
const Q = "model.layers.0.self_attn.q_proj.weight";
const WHOLE: Shapes = { [EMBED]: [100, 32], [Q]: [32, 32], [NORM]: [32] };

const checkpoint = (path: string, shapes: Shapes, dtype: Dtype = "F16") =>
  imagine(
    path,
    Object.entries(shapes).map(([name, shape]) => ({ name, shape, dtype })),
  );

/** The refusal of a base and a diff; null if they pass. */
function refusal(raw: Shapes, diff: Shapes, dtype: Dtype = "F16"): WeightDiffError | null {
  try {
    refuseUngathered(checkpoint("base", raw, dtype), checkpoint("diff", diff, dtype), "diff");
  } catch (error) {
    assert.ok(error instanceof WeightDiffError && error.code === "FORMAT_UNSUPPORTED", String(error));
    return error;
  }
  return null;
}

for (const [what, raw, diff, path, words, remedy] of [
  [
    "a matrix that is empty in the base",
    { ...WHOLE, [Q]: [0] },
    WHOLE,
    "base",
    /\[0\] where the diff has \[32, 32\]: /,
    /zero_to_fp32/,
  ],
  [
    "one that is empty in the diff",
    WHOLE,
    { ...WHOLE, [Q]: [0] },
    "diff",
    /\[0\] where the base has \[32, 32\]: /,
    /zero_to_fp32/,
  ],
  [
    "an embedding that is empty on both sides",
    { [EMBED]: [0] },
    { [EMBED]: [0] },
    "base",
    /"model\.embed_tokens\.weight" in \S+ is \[0\] where/,
    /zero_to_fp32/,
  ],
  [
    "a norm that is empty and missing on the other side",
    { ...WHOLE, [NORM]: [0] },
    { [EMBED]: [100, 32], [Q]: [32, 32] },
    "base",
    /is \[0\]: saved by ZeRO-3/,
    /zero_to_fp32/,
  ],
  ["an empty matrix of two dimensions", { ...WHOLE, [Q]: [0, 32] }, WHOLE, "base", /\[0, 32\]/, /zero_to_fp32/],
  [
    "a flat embedding",
    { ...WHOLE, [EMBED]: [3200] },
    WHOLE,
    "base",
    /\[3200\] where the diff has \[100, 32\]: saved by FSDP without/,
    /FULL_STATE_DICT/,
  ],
  [
    "an embedding that is flat on both sides",
    { [EMBED]: [3200] },
    { [EMBED]: [3200] },
    "base",
    /FSDP/,
    /FULL_STATE_DICT/,
  ],
  ["a flat embedding of no known length", { [EMBED]: [777] }, WHOLE, "base", /\[777\]/, /FULL_STATE_DICT/],
  [
    "a flat matrix",
    WHOLE,
    { ...WHOLE, [Q]: [1024] },
    "diff",
    /\[1024\] where the base has \[32, 32\]/,
    /FULL_STATE_DICT/,
  ],
  ["a third of a matrix, padded", WHOLE, { ...WHOLE, [Q]: [342] }, "diff", /\[342\]/, /FULL_STATE_DICT/],
  [
    "flat parameters",
    { "model.layers.0._fsdp_wrapped_module._flat_param": [9000] },
    WHOLE,
    "base",
    /_flat_param/,
    /FULL_STATE_DICT/,
  ],
  ["flat parameters of older versions", { flat_param_0: [9000] }, WHOLE, "base", /flat_param_0/, /FULL_STATE_DICT/],
] as const) {
  test(`refuses ${what}`, () => {
    const error = refusal(raw, diff) ?? assert.fail("was not refused");
    assert.equal(error.at.file, path);
    assert.match(error.message, words);
    assert.match(error.hint ?? "", remedy);
  });
}

test("counts the tensors that were not gathered, and names a flat one first", () => {
  const error = refusal({ ...WHOLE, [NORM]: [0], [EMBED]: [3200] }, WHOLE);
  assert.equal(
    error?.message,
    `base: the base does not hold its weights: 2 of its 3 tensors are flattened or empty, "${EMBED}" in pytorch_model-1.bin is [3200] where the diff has [100, 32]: saved by FSDP without gathering`,
  );
});

for (const [what, raw, diff, dtype] of [
  ["a whole pair", WHOLE, WHOLE],
  ["new rows", WHOLE, { ...WHOLE, [EMBED]: [103, 32] }],
  ["a parameter that the model has empty on both sides", { ...WHOLE, "x.weight": [0] }, { ...WHOLE, "x.weight": [0] }],
  ["one that it has empty on one side", { ...WHOLE, "x.weight": [0] }, WHOLE],
  ["vectors that have a dimension of 1 to spare", { "a.bias": [32] }, { "a.bias": [1, 32] }],
  ["a shape that is another one, not a flat one", { [Q]: [1000] }, { [Q]: [32, 32] }],
  ["scalars", { "a.scale": [] }, { "a.scale": [1] }],
  ["integers", { ids: [0] }, { ids: [4, 4] }, "I64"],
] as const) {
  test(`lets ${what} pass`, () => {
    assert.equal(refusal(raw, diff, dtype ?? "F16"), null);
  });
}
