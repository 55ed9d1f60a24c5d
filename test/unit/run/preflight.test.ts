/** What is refused before a byte is written: quantised models, outputs that touch inputs, full disks. */
import assert from "node:assert/strict";
import fsp, { mkdir, symlink } from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import { join } from "node:path";
import { test } from "node:test";
import { type Checkpoint, openCheckpoint } from "../../../src/checkpoint/checkpoint.js";
import type { ModelConfig } from "../../../src/checkpoint/config.js";
import { WeightDiffError } from "../../../src/errors.js";
import {
  bytesText,
  refuseFullCache,
  refuseFullDisk,
  refuseQuantised,
  resolveOutput,
} from "../../../src/run/preflight.js";
import { imagine, safetensors, withFolder, writeFiles } from "../../support/checkpoints.js";
import { errno } from "../../support/faulty-disk.js";
import { refuses } from "../../support/refusal.js";

// --- quantised ------------------------------------------------------------------------------------------------------

const CONFIG: ModelConfig = {
  nameOrPath: null,
  path: "config.json",
  text: "{}",
  tied: null,
  ropeTheta: 1e4,
  headSize: null,
  layers: null,
  modelType: null,
  architecture: null,
  normEps: null,
  context: null,
  activation: null,
  heads: null,
  keyValueHeads: null,
  vocabSize: null,
  hiddenSize: null,
  intermediateSize: null,
  dtype: null,
  quantised: false,
  ownCode: false,
  values: {},
};

for (const name of [
  "a.qweight",
  "a.qzeros",
  "a.weight.quant_state.bitsandbytes__nf4",
  "a.SCB",
  "a.weight.absmax",
  "a.weight_packed",
  "experts.gate_up_proj_blocks",
]) {
  test(`refuses quantised weights by the name ${name}`, async () => {
    const base = imagine("b", [{ name, shape: [1] }]);
    await refuses(
      () => refuseQuantised(base, "base", CONFIG),
      "FORMAT_UNSUPPORTED",
      /^base b: quantised weights \(pytorch_model-1\.bin: tensor "/,
    );
  });
}

for (const [scale, dtype] of [
  ["a.weight_scale_inv", "F8_E4M3"],
  ["a.weight_scale", "F8_E5M2"],
  ["a.weight_scale", "I8"],
] as const) {
  test(`refuses ${dtype} weights with ${scale}, whatever the config says`, async () => {
    const base = imagine("b", [
      { name: "a.weight", dtype, shape: [4, 4] },
      { name: scale, shape: [1] },
    ]);
    await refuses(
      () => refuseQuantised(base, "base", CONFIG),
      "FORMAT_UNSUPPORTED",
      new RegExp(`^base b: quantised weights \\(.*"${scale}"\\)$`),
    );
  });
}

test("takes a scale of its own for a parameter, where the weights are floats", () => {
  const shape = [4, 4];
  refuseQuantised(
    imagine("b", [
      { name: "a.weight", shape },
      { name: "a.weight_scale", shape },
    ]),
    "base",
    CONFIG,
  );
  refuseQuantised(
    imagine("b", [
      { name: "a.weight_scale_inv", shape },
      { name: "logit_scale", shape: [] },
    ]),
    "base",
    CONFIG,
  );
});

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
    const error = await refuseFullDisk(join(folder, "not/yet"), 8e18, 4000).catch((reason: unknown) => reason);
    assert.ok(error instanceof WeightDiffError && error.code === "DISK_FULL", String(error));
    assert.match(error.message, /not\/yet: the output needs 8000000 TB, the disk has [\d.]+ [kMGT]?B free$/);
    assert.match(error.hint ?? "", /^free \d+ TB, or give an output directory on another disk$/);
    assert.deepEqual(error.advice, [{ to: "write 4.00 kB", option: "dtype", value: "BF16" }]);
  });
});

test("does not advise bfloat16 where it is chosen already, or where that has no room either", async () => {
  for (const smaller of [8e18, 4e18]) {
    const error = await refuseFullDisk("/", 8e18, smaller).catch((reason: unknown) => reason);
    assert.ok(error instanceof WeightDiffError);
    assert.deepEqual(error.advice, []);
  }
});

test("accepts an output that fits", async () => {
  await refuseFullDisk("/", 1, 1);
});

for (const [what, found] of [
  ["0 of everything, as ramfs and many a file system in user space", { blocks: 0, bavail: 0, bsize: 4096 }],
  ["no answer", "EACCES"],
] as const) {
  test(`a file system that gives ${what} is not called full`, async () => {
    const real = fsp.statfs.bind(fsp);
    const answer = async (): Promise<unknown> => {
      if (typeof found === "string") {
        throw errno(found);
      }
      return found;
    };
    Object.assign(fsp, { statfs: answer });
    syncBuiltinESMExports();
    try {
      await refuseFullDisk("/", 8e18, 4e18);
      await refuseFullCache("/", 8e18, null);
    } finally {
      Object.assign(fsp, { statfs: real });
      syncBuiltinESMExports();
    }
  });
}

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
