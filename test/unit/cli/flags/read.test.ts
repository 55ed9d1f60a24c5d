/** Flags that commander has read -> options, or a refusal that names the flag. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { CommandName } from "../../../../src/cli/flags/flag.js";
import type { GivenValue } from "../../../../src/cli/flags/given.js";
import { type FlagReading, readFlags } from "../../../../src/cli/flags/read.js";
import { refuses } from "../../../support/refusal.js";

/** recover with nothing but the required flags, and what `flags` add to them. */
function recover(flags: Readonly<Record<string, GivenValue>> = {}): FlagReading<"recover"> {
  return readFlags("recover", [], new Map(Object.entries({ path_raw: "b", path_diff: "d", ...flags })));
}

function read<C extends CommandName>(command: C, words: readonly string[], flags: Record<string, GivenValue> = {}) {
  return readFlags(command, words, new Map(Object.entries(flags)));
}

test("leaves options that are not given to the function", () => {
  assert.deepEqual(recover(), {
    asked: { raw: "b", diff: "d", look: {}, hub: {} },
    notes: [],
    writes: false,
    resumable: false,
    streams: false,
    piped: false,
  });
});

for (const [text, dtype] of [
  ["float32", "F32"],
  ["fp32", "F32"],
  ["float16", "F16"],
  ["fp16", "F16"],
  ["bfloat16", "BF16"],
  ["bf16", "BF16"],
  ["auto", "auto"],
] as const) {
  test(`reads --dtype ${text}`, () => {
    assert.equal(recover({ dtype: text }).asked.dtype, dtype);
  });
}

for (const value of [true, "True", "true", "1", "yes"] as const) {
  test(`takes --check_integrity_naively ${value} for yes`, () => {
    assert.equal(recover({ check_integrity_naively: value }).asked.expectSum, "known");
  });
}

for (const value of ["False", "0", "no", "None"]) {
  test(`takes --check_integrity_naively ${value} for no`, () => {
    assert.ok(!("expectSum" in recover({ check_integrity_naively: value }).asked));
  });
}

for (const [text, sum] of [
  ["50637.1836", 50637.1836],
  ["-3756.942626953125", -3756.942626953125],
  [" 5e4 ", 5e4],
] as const) {
  test(`reads --expect-sum ${text}`, () => {
    assert.equal(recover({ "expect-sum": text }).asked.expectSum, sum);
  });
}

for (const [flags, message] of [
  [{ path_raw: "" }, "--path_raw: is empty"],
  [{ path_tuned: "" }, "--path_tuned: is empty"],
  [{ dtype: "float17" }, '--dtype: "float17" is not one of float32, fp32, float16, fp16, bfloat16, bf16, auto'],
  [{ dtype: "__proto__" }, '--dtype: "__proto__" is not one of float32, fp32, float16, fp16, bfloat16, bf16, auto'],
  [{ "max-shard-size": "5XB" }, '--max-shard-size: "5XB" is not a size such as 5GB, 500MB or 10GiB'],
  [{ "max-shard-size": "5" }, '--max-shard-size: "5" is 5 bytes: write a unit, as in 5GB or 500MB'],
  [{ "max-shard-size": "999999" }, '--max-shard-size: "999999" is 999999 bytes: write a unit, as in 5GB or 500MB'],
  [{ "inv-freq": "recompute" }, '--inv-freq: "recompute" is not one of drop, keep'],
  [{ rows: "3" }, '--rows: "3" is not one of mean, zero, overlap, refuse'],
  [{ "expect-sum": "0x10" }, '--expect-sum: "0x10" is not a number'],
  [{ "expect-sum": "" }, '--expect-sum: "" is not a number'],
  [{ check_integrity_naively: "maybe" }, '--check_integrity_naively: "maybe" is not True or False'],
  [{ threads: "0" }, '--threads: "0" is not a whole number from 1 to 99'],
  [{ threads: "1.5" }, '--threads: "1.5" is not a whole number from 1 to 99'],
  [
    { ignore: "not-a-diff,else" },
    '--ignore: "else" is not one of swapped, not-a-diff, not-a-model, wrong-base, base-precision, bit-census',
  ],
  [{ dtype: "\u001b[2J" }, '--dtype: "\\u001b[2J" is not one of float32, fp32, float16, fp16, bfloat16, bf16, auto'],
  [
    { dtype: "int8", threads: "no" },
    '--dtype: "int8" is not one of float32, fp32, float16, fp16, bfloat16, bf16, auto; --threads: "no" is not a whole number from 1 to 99',
  ],
  [{ force: true, resume: true, path_tuned: "o" }, "--force and --resume contradict each other"],
  [{ force: true }, "--force without --path_tuned: there is no output"],
  [{ resume: true }, "--resume without --path_tuned: there is no output"],
  [
    { check_integrity_naively: true, "expect-sum": "1" },
    "--expect-sum 1 and --check_integrity_naively contradict each other",
  ],
  [
    { offline: true, "no-cache": true },
    "--offline and --no-cache contradict each other: nothing could be read from the Hub",
  ],
] as const) {
  test(`refuses ${JSON.stringify(flags)}`, async () => {
    await refuses(() => recover(flags), "USAGE", new RegExp(`^${escaped(message)}$`));
  });
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}

test("one error lists all missing flags", async () => {
  await refuses(
    () => read("recover", []),
    "USAGE",
    /^--path_raw: is missing: give the base model; --path_diff: is missing: give the diff$/,
  );
  await refuses(() => read("xor", ["x"]), "USAGE", /^missing required arguments 'payload', 'base'$/);
});

test("refuses contradictory options of the other commands", async () => {
  const paths = { path_raw: "b", path_tuned: "t" };
  await refuses(() => read("make-diff", [], { ...paths, push: "a/b" }), "USAGE", /^--push without --path_diff: /);
  await refuses(
    () => read("make-diff", [], { ...paths, path_diff: "d", private: true }),
    "USAGE",
    /^--private without --push$/,
  );
  await refuses(() => read("make-diff", [], { ...paths, force: true }), "USAGE", /^--force without --path_diff: /);
  await refuses(
    () => read("xor", ["a", "b", "c"], { encode: true, decode: true }),
    "USAGE",
    /^--encode and --decode contradict/,
  );
  await refuses(
    () => read("push", ["a", "b/c"], { branch: "x", revision: "y" }),
    "USAGE",
    /^--branch x and --revision y contra/,
  );
  await refuses(
    () => read("verify", ["a"], { known: "x", "expect-sum": "1" }),
    "USAGE",
    /^--known and --expect-sum contradict/,
  );
  await refuses(
    () => read("verify", ["a"], { json: true, format: "github" }),
    "USAGE",
    /^--json and --format github contradict/,
  );
  assert.equal(read("verify", ["a"], { json: true, format: "json" }).asked.look.format, "json");
});

test("one note tells about each flag of other scripts that has no effect here", () => {
  const { notes } = recover({
    device: "cuda",
    original_model: "m",
    model_type: "reward",
    "path-to-sft10k": "x",
  });
  assert.deepEqual(
    notes.map((note) => note.split(":")[0]),
    ["--device", "--model_type", "--original_model", "--path-to-sft10k"],
  );
});

test("takes the scripts' flags that change bits", () => {
  assert.deepEqual(recover({ is_fp16: "True", "low-cpu-mem": true }).asked.variants, ["is_fp16", "low_cpu_mem"]);
  assert.ok(!("variants" in recover({ is_fp16: "False" }).asked));
});

test("takes AlpacaFarm's name of a model for diff and output", async () => {
  const farm = (name: string) =>
    read("recover", [], { path_raw: "b", "alpaca-farm-model-name": name, "models-save-dir": "./models" });
  const { asked, resumable } = farm("sft10k");
  assert.equal(asked.diff, "tatsu-lab/alpaca-farm-sft10k-wdiff");
  assert.equal(asked.tuned, "./models/sft10k");
  assert.ok(resumable);
  await refuses(() => farm("all"), "USAGE", /^--alpaca-farm-model-name: all: one model at a time$/);
  await refuses(() => farm("../x"), "USAGE", /one model at a time$/);
});

test("takes the axes of a custom scheme, and only of one", async () => {
  const axes = { op: "subtract", arith: "bf16", verbatim: ["a", "b*"], driver: "raw" };
  const { asked } = recover({ scheme: "custom", rows: "zero", ...axes });
  assert.deepEqual(asked.custom, { operation: "subtract", arithmetic: "BF16", verbatim: ["a", "b*"], driver: "raw" });
  assert.equal(asked.rows, "zero");
  for (const [flag, value] of Object.entries(axes)) {
    await refuses(
      () => recover({ scheme: "fastchat", [flag]: value }),
      "USAGE",
      new RegExp(`^--${flag} and --scheme fastchat contradict each other`),
    );
  }
  await refuses(() => recover({ op: "add" }), "USAGE", /^--op and --scheme auto contradict each other/);
  await refuses(() => recover({ scheme: "custom", arith: "int8" }), "USAGE", /^--arith: "int8" is not one of float32/);
});

test("only a command that writes can be resumed, and not a dry run", () => {
  assert.ok(recover({ path_tuned: "o" }).resumable);
  const { writes, resumable } = recover({ path_tuned: "o", "dry-run": true });
  assert.deepEqual([writes, resumable], [true, false]);
  assert.ok(read("convert", ["a", "b"]).resumable);
  assert.ok(read("xor", ["a", "b", "c"]).resumable);
  assert.ok(!read("make-diff", [], { path_raw: "b", path_tuned: "t" }).resumable);
  assert.ok(!read("inspect", ["a"]).resumable);
});
