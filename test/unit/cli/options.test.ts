/** Flags that commander has read -> options, or a refusal that names the flag. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseSize } from "../../../src/cli/flag-values.js";
import { inspectOptions, recoverOptions } from "../../../src/cli/options.js";
import { refuses } from "../../support/refusal.js";

/** What commander gives for a command line with nothing but the required flags. */
const FLAGS = { pathRaw: "b", pathDiff: "d", scheme: "auto", dtype: "float32", maxShardSize: "5GB", invFreq: "drop" };

test("fills in the defaults of the reference", () => {
  const { options, notes, ...look } = recoverOptions(FLAGS);
  assert.deepEqual(options, {
    raw: "b",
    diff: "d",
    tuned: null,
    scheme: "auto",
    custom: {},
    variants: [],
    dtype: "F32",
    maxShardSize: 5e9,
    invFreq: "drop",
    rows: null,
    ignore: [],
    mode: "new",
    dryRun: false,
    expectSum: null,
    threads: null,
    directIo: true,
    hub: {},
  });
  assert.deepEqual(notes, []);
  assert.deepEqual(look, { json: false, quiet: false, progress: true });
});

for (const [text, dtype] of [
  ["float32", "F32"],
  ["fp32", "F32"],
  ["float16", "F16"],
  ["fp16", "F16"],
  ["bfloat16", "BF16"],
  ["bf16", "BF16"],
] as const) {
  test(`reads --dtype ${text}`, () => {
    assert.equal(recoverOptions({ ...FLAGS, dtype: text }).options.dtype, dtype);
  });
}

for (const value of [true, "True", "true", "1", "yes"]) {
  test(`takes --check_integrity_naively ${value} for yes`, () => {
    assert.equal(recoverOptions({ ...FLAGS, checkIntegrityNaively: value }).options.expectSum, "known");
  });
}

for (const value of [false, "False", "0", "no", "None"]) {
  test(`takes --check_integrity_naively ${value} for no`, () => {
    assert.equal(recoverOptions({ ...FLAGS, checkIntegrityNaively: value }).options.expectSum, null);
  });
}

for (const [text, sum] of [
  ["50637.1836", 50637.1836],
  ["-3756.942626953125", -3756.942626953125],
  [" 5e4 ", 5e4],
] as const) {
  test(`reads --expect-sum ${text}`, () => {
    assert.equal(recoverOptions({ ...FLAGS, expectSum: text }).options.expectSum, sum);
  });
}

for (const [flags, message] of [
  [{ pathRaw: undefined }, /^--path_raw: is missing/],
  [{ pathDiff: undefined }, /^--path_diff: is missing/],
  [{ pathRaw: "" }, /^--path_raw: is empty/],
  [{ pathTuned: "" }, /^--path_tuned: is empty/],
  [{ dtype: "float17" }, /^--dtype: one of float32, /],
  [{ dtype: "__proto__" }, /^--dtype: one of/],
  [{ maxShardSize: "5XB" }, /^--max_shard_size: a size such as 5GB/],
  [{ invFreq: "recompute" }, /^--inv_freq: one of drop, keep/],
  [{ rows: "3" }, /^--rows: one of mean, zero, overlap, refuse/],
  [{ expectSum: "0x10" }, /^--expect_sum: a number/],
  [{ expectSum: "" }, /^--expect_sum: a number/],
  [{ checkIntegrityNaively: "maybe" }, /^--check_integrity_naively: True or False/],
  [{ threads: "0" }, /^--threads: a whole number from 1 to 99/],
  [{ threads: "1.5" }, /^--threads: /],
  [{ ignore: "not-a-diff,else" }, /^--ignore: one of swapped, not-a-diff/],
  [{ force: true, resume: true, pathTuned: "o" }, /^--force and --resume contradict each other$/],
  [{ force: true }, /^--force without --path_tuned/],
  [{ resume: true }, /^--resume without --path_tuned/],
  [{ checkIntegrityNaively: true, expectSum: "1" }, /--expect-sum and --check_integrity_naively contradict/],
] as const) {
  test(`refuses ${JSON.stringify(flags)}`, async () => {
    await refuses(() => recoverOptions({ ...FLAGS, ...flags }), "USAGE", message);
  });
}

test("says one line for each flag of other scripts that means nothing here", () => {
  const { notes } = recoverOptions({
    ...FLAGS,
    device: "cuda",
    testInference: "True",
    originalModel: "m",
    modelType: "reward",
    pathToSft10k: "x",
  });
  assert.deepEqual(
    notes.map((note) => note.split(":")[0]),
    ["--device", "--test_inference", "--original_model", "--path-to-sft10k", "--model_type"],
  );
});

test("takes the scripts' flags that change bits", () => {
  const variants = (flags: Record<string, unknown>) => recoverOptions({ ...FLAGS, ...flags }).options.variants;
  assert.deepEqual(variants({ isFp16: "True", lowCpuMem: true }), ["is_fp16", "low_cpu_mem"]);
  assert.deepEqual(variants({ isFp16: "False" }), []);
});

test("takes AlpacaFarm's name of a model for diff and output", async () => {
  const { pathDiff: _, ...flags } = FLAGS;
  const { options } = recoverOptions({ ...flags, alpacaFarmModelName: "sft10k", modelsSaveDir: "./models" });
  assert.equal(options.diff, "tatsu-lab/alpaca-farm-sft10k-wdiff");
  assert.equal(options.tuned, "./models/sft10k");
  await refuses(() => recoverOptions({ ...flags, alpacaFarmModelName: "all" }), "USAGE", /one model at a time/);
  await refuses(() => recoverOptions({ ...flags, alpacaFarmModelName: "../x" }), "USAGE", /one model at a time/);
});

test("takes the axes of a custom scheme, and only of one", async () => {
  const axes = { op: "subtract", arith: "bf16", verbatim: ["a", "b*"], driver: "raw" };
  const { options } = recoverOptions({ ...FLAGS, scheme: "custom", rows: "zero", ...axes });
  assert.deepEqual(options.custom, { operation: "subtract", arithmetic: "BF16", verbatim: ["a", "b*"], driver: "raw" });
  assert.equal(options.rows, "zero");
  for (const [flag, value] of Object.entries(axes)) {
    await refuses(
      () => recoverOptions({ ...FLAGS, scheme: "fastchat", [flag]: value }),
      "USAGE",
      new RegExp(`^--${flag} and --scheme fastchat contradict each other`),
    );
  }
  await refuses(
    () => recoverOptions({ ...FLAGS, scheme: "custom", arith: "int8" }),
    "USAGE",
    /^--arith: one of float32/,
  );
});

test("shows no progress with --quiet or --no-progress", () => {
  assert.equal(recoverOptions({ ...FLAGS, quiet: true }).progress, false);
  assert.equal(inspectOptions({ progress: false }).progress, false);
});

for (const [text, bytes] of [
  ["5GB", 5e9],
  ["500MB", 5e8],
  ["10GiB", 10 * 2 ** 30],
  ["1.5 kb", 1500],
  ["2T", 2e12],
  ["4096", 4096],
  ["1B", 1],
  ["0", null],
  ["0.5", null],
  ["-1GB", null],
  ["GB", null],
  ["", null],
  ["1e9", null],
  ["99999999TB", null],
] as const) {
  test(`reads the size ${JSON.stringify(text)}`, () => {
    assert.equal(parseSize(text), bytes);
  });
}
