/** What is refused before a byte is written: full models, quantised ones, outputs that touch inputs, full disks. */
import assert from "node:assert/strict";
import { mkdir, symlink } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { type Checkpoint, openCheckpoint } from "../../src/checkpoint/checkpoint.js";
import type { ModelConfig } from "../../src/checkpoint/config.js";
import { WeightDiffError } from "../../src/errors.js";
import {
  bytesText,
  censusNorms,
  refuseFullDisk,
  refuseFullModel,
  refuseQuantised,
  resolveOutput,
} from "../../src/preflight.js";
import { imagine, safetensors, type TensorSpec, withFolder, writeFiles } from "../checkpoints.js";
import { FIXTURES } from "../fixtures.js";
import { refuses } from "../refusal.js";

// --- full models ----------------------------------------------------------------------------------------------------

test("takes the demo's base for a full model and its diff for a diff", async () => {
  const census = async (name: string) => censusNorms(await openCheckpoint(join(FIXTURES, "demo", name)));
  await refuses(
    async () => refuseFullModel(await census("base"), "demo/base"),
    "NOT_A_DIFF",
    /^demo\/base: not a diff but a full model: its 5 norm weights have a mean size of .* adding a base would destroy it$/,
  );
  refuseFullModel(await census("diff"), "demo/diff");
});

const values = (of: (i: number) => number, count = 64): Float32Array =>
  Float32Array.from({ length: count }, (_, i) => of(i));
const norms = (names: readonly string[], data: Float32Array) =>
  names.map((name): TensorSpec => [name, "F32", [data.length], data]);
const NEOX = [
  "gpt_neox.layers.0.input_layernorm.weight",
  "gpt_neox.layers.0.post_attention_layernorm.weight",
  "gpt_neox.final_layer_norm.weight",
];

async function censusOf(tensors: readonly TensorSpec[]) {
  return withFolder(async (folder) => {
    await writeFiles(folder, { "model.safetensors": safetensors(...tensors) });
    return censusNorms(await openCheckpoint(folder));
  });
}

for (const names of [NEOX, ["model.norm.weight"], ["transformer.h.0.ln_1.weight"], ["encoder.layer_norm.weight"]]) {
  test(`knows ${names[0]} for the norm of a full model`, async () => {
    const census = await censusOf(
      norms(
        names,
        values((i) => 0.3 + i / 100),
      ),
    );
    assert.equal(census?.count, names.length);
    await refuses(() => refuseFullModel(census, "x"), "NOT_A_DIFF", /simply|full model/);
  });
}

test("advises to use a full model as it is, and how to insist", async () => {
  const census = await censusOf(
    norms(
      NEOX,
      values(() => 1),
    ),
  );
  assert.throws(
    () => refuseFullModel(census, "x"),
    (error) => error instanceof WeightDiffError && /simply use it.*--ignore not-a-diff/.test(error.hint ?? ""),
  );
});

for (const [what, of] of [
  ["small values of either sign", (i: number) => (i % 2 === 0 ? 1e-3 : -1e-3)],
  ["small positive values", () => 0.01],
  ["large values of either sign", (i: number) => (i % 2 === 0 ? 1 : -1)],
  ["zeros", () => 0],
  ["NaN", () => Number.NaN],
] as const) {
  test(`lets norm weights of ${what} pass for a diff's`, async () => {
    const census = await censusOf(norms(NEOX, values(of)));
    assert.equal(census?.count, 3);
    refuseFullModel(census, "x");
  });
}

test("judges by no bias, no matrix, no integer and no empty norm", async () => {
  const one = values(() => 1);
  const census = await censusOf([
    ["a.input_layernorm.bias", "F32", [64], one],
    ["a.norm.weight", "F32", [8, 8], one],
    ["b.norm.weight", "I32", [64], one],
    ["c.norm.weight", "F32", [0]],
    ["abnorm.weight", "F32", [64], one],
  ]);
  assert.equal(census, null);
  refuseFullModel(census, "x");
});

for (const [dtype, bits] of [
  ["F16", 0x3c00],
  ["BF16", 0x3f80],
] as const) {
  test(`reads norms in ${dtype}, of odd lengths`, async () => {
    const census = await censusOf([["a.norm.weight", dtype, [3], new Uint16Array(3).fill(bits)]]);
    assert.deepEqual(census, { count: 1, magnitude: 1, positive: 1 });
  });
}

test("one norm that is off does not decide: the median does", async () => {
  const small = values((i) => (i % 2 === 0 ? 1e-3 : 2e-3));
  const census = await censusOf([
    ...norms(["a.norm.weight", "b.norm.weight"], small),
    ...norms(
      ["c.norm.weight"],
      values(() => 9),
    ),
  ]);
  assert.ok((census?.magnitude ?? 1) < 0.01);
});

test("works whichever kernel is asked for", async () => {
  for (const kernel of ["scalar", "simd"]) {
    process.env.WEIGHT_DIFF_KERNEL = kernel;
    try {
      assert.equal(
        (
          await censusOf(
            norms(
              NEOX,
              values(() => 1),
            ),
          )
        )?.magnitude,
        1,
      );
    } finally {
      delete process.env.WEIGHT_DIFF_KERNEL;
    }
  }
});

// --- quantised ------------------------------------------------------------------------------------------------------

const CONFIG: ModelConfig = {
  path: "config.json",
  text: "{}",
  tied: null,
  ropeTheta: 1e4,
  headSize: null,
  layers: null,
  quantised: false,
};

for (const name of ["a.qweight", "a.weight.quant_state.bitsandbytes__nf4", "a.SCB", "a.weight.absmax"]) {
  test(`refuses quantised weights by the name ${name}`, async () => {
    const base = imagine("b", [{ name, shape: [1] }]);
    await refuses(
      () => refuseQuantised(base, "base", CONFIG),
      "FORMAT_UNSUPPORTED",
      /^base b: quantised weights \(pytorch_model-1\.bin: tensor "/,
    );
  });
}

test("refuses quantised weights by their config, and nothing else", async () => {
  const diff = imagine("d", [{ name: "a.weight", shape: [1] }]);
  await refuses(
    () => refuseQuantised(diff, "diff", { ...CONFIG, quantised: true }),
    "FORMAT_UNSUPPORTED",
    /^diff d: quantised weights \(config\.json has a quantization_config\)$/,
  );
  refuseQuantised(diff, "diff", CONFIG);
  refuseQuantised(diff, "diff", null);
});

// --- output ---------------------------------------------------------------------------------------------------------

/** base/ with one file, links to it and into it, and what is put beside. */
async function withPlaces(body: (folder: string, input: Checkpoint, lone: Checkpoint) => Promise<void>): Promise<void> {
  await withFolder(async (folder) => {
    await writeFiles(join(folder, "models/base"), { "model.safetensors": safetensors(["a", "F32", [1]]) });
    await mkdir(join(folder, "models/base/empty"));
    await symlink("models/base", join(folder, "to-base"));
    await symlink("models/base/empty", join(folder, "to-empty"));
    await symlink("models/base/not-yet", join(folder, "to-nothing-yet"));
    await symlink("models", join(folder, "to-models"));
    const base = join(folder, "models/base");
    await body(folder, await openCheckpoint(base), await openCheckpoint(join(base, "model.safetensors")));
  });
}

for (const [path, word] of [
  ["models/base", "is"],
  ["to-base", "is"],
  ["to-models/base", "is"],
  ["models/../models/base/", "is"],
  ["models", "overlaps"],
  [".", "overlaps"],
  ["models/base/out", "overlaps"],
  ["models/base/a/b/c", "overlaps"],
  ["to-base/out", "overlaps"],
  ["to-empty", "overlaps"],
  ["to-empty/a/b", "overlaps"],
  ["to-nothing-yet", "overlaps"],
  ["to-nothing-yet/a", "overlaps"],
  ["to-models", "overlaps"],
] as const) {
  test(`refuses the output ${path}: it ${word} the input`, async () => {
    await withPlaces(async (folder, input) => {
      await refuses(
        () => resolveOutput(join(folder, path), [input]),
        "OUTPUT_REFUSED",
        new RegExp(`the output ${word} the input ${input.path}$`),
      );
    });
  });
}

for (const path of ["out", "models/base2", "models/bas", "models/base-tuned/x", "models/..base"]) {
  test(`accepts the output ${path} beside the input`, async () => {
    await withPlaces(async (folder, input) => {
      assert.equal(await resolveOutput(join(folder, path), [input]), join(folder, path));
    });
  });
}

test("accepts a folder beside a lone file, and not the folder that holds it or the file", async () => {
  await withPlaces(async (folder, _, lone) => {
    await resolveOutput(join(folder, "models/base/tuned"), [lone]);
    for (const path of ["models/base", "models", "models/base/model.safetensors"]) {
      await refuses(() => resolveOutput(join(folder, path), [lone]), "OUTPUT_REFUSED", /the input/);
    }
  });
});

test("refuses the blobs of a Hub cache, to which the snapshot only links", async () => {
  await withFolder(async (folder) => {
    await writeFiles(folder, { "blobs/0a": safetensors(["a", "F32", [1]]) });
    await mkdir(join(folder, "snapshots/c"), { recursive: true });
    await symlink("../../blobs/0a", join(folder, "snapshots/c/model.safetensors"));
    const input = await openCheckpoint(join(folder, "snapshots/c"));
    await refuses(() => resolveOutput(join(folder, "blobs"), [input]), "OUTPUT_REFUSED", /overlaps/);
    await resolveOutput(join(folder, "out"), [input]);
  });
});

// --- disk -----------------------------------------------------------------------------------------------------------

test("refuses an output that the disk cannot hold: needed, free, and what bfloat16 would need", async () => {
  await withFolder(async (folder) => {
    const error = await refuseFullDisk(join(folder, "not/yet"), 8e18, 4e18).catch((reason: unknown) => reason);
    assert.ok(error instanceof WeightDiffError && error.code === "DISK_FULL", String(error));
    assert.match(error.message, /not\/yet: the output needs 8000000 TB, the disk has [\d.]+ [kMGT]?B free$/);
    assert.match(error.hint ?? "", /^free \d+ TB, or write half of it: --dtype bfloat16 needs 4000000 TB$/);
  });
});

test("does not advise bfloat16 where it is chosen already", async () => {
  const error = await refuseFullDisk("/", 8e18, 8e18).catch((reason: unknown) => reason);
  assert.match(error instanceof WeightDiffError ? (error.hint ?? "") : "", /^free .* another disk$/);
});

test("accepts what fits", async () => {
  await refuseFullDisk("/", 1, 1);
});

for (const [bytes, text] of [
  [0, "0 B"],
  [999, "999 B"],
  [1000, "1.00 kB"],
  [999_499, "999 kB"],
  [999_500, "1.00 MB"],
  [999_999, "1.00 MB"],
  [26_953_703_424, "27.0 GB"],
  [261_142_728_704, "261 GB"],
  [999_999_999_999, "1.00 TB"],
  [1_234_000_000_000_000, "1234 TB"],
] as const) {
  test(`writes ${bytes} bytes as ${text}`, () => {
    assert.equal(bytesText(bytes), text);
  });
}
