/** Command lines as people have them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { normaliseArgv } from "../../../../src/cli/line/argv.js";
import { refuses } from "../../../support/refusal.js";

for (const [before, after] of [
  ["--path_raw a_b --path_diff c_d", "--path_raw a_b --path_diff c_d"],
  ["--path_raw=a_b=c", "--path_raw=a_b=c"],
  ["--base x --target y --delta z", "--path_raw x --path_tuned y --path_diff z"],
  ["--base-model-path x --target-model-path y --delta-path z", "--path_raw x --path_tuned y --path_diff z"],
  ["--base_model_path=x --target-m y --delta-p=z", "--path_raw=x --path_tuned y --path_diff=z"],
  ["--base-model-path x --tuned-model-path y --delta-path z", "--path_raw x --path_tuned y --path_diff z"],
  ["--base_model x --base_model_format hf --patch_model z", "--path_raw x --base_model_format hf --path_diff z"],
  ["--llama-7b-hf-dir x --models-save-dir y", "--path_raw x --models-save-dir y"],
  ["x y --delta z", "x y --path_diff z"],
  ["--bas x --base-models x --deltas", "--bas x --base-models x --deltas"],
  ["-- --path_raw --base", "-- --path_raw --base"],
  ["-p a_b -", "-p a_b -"],
] as const) {
  test(`reads ${before}`, () => {
    assert.deepEqual(normaliseArgv(["recover", ...before.split(" ")]), ["recover", ...after.split(" ")]);
  });
}

test("takes make_diff for make-diff, but only as the command", () => {
  assert.deepEqual(normaliseArgv(["make_diff", "make_diff"]), ["make-diff", "make_diff"]);
});

test("--base-model is make-diff's own flag, and FastChat's abbreviation everywhere else", () => {
  for (const command of ["make-diff", "make_diff"]) {
    assert.deepEqual(normaliseArgv([command, "--base_model", "org/x", "--base", "y", "--base-model-path=z"]), [
      ...["make-diff", "--base-model", "org/x", "--path_raw", "y", "--path_raw=z"],
    ]);
  }
  assert.deepEqual(normaliseArgv(["recover", "--base-model", "x"]), ["recover", "--path_raw", "x"]);
});

for (const [line, names] of [
  ["recover --path_raw --path_diff x", "--path_raw"],
  ["recover --path_raw --path_diff --path_tuned o", "--path_raw, --path_diff"],
  ["recover --base --delta-path x", "--path_raw"],
  ["recover --path_raw x --path_diff", "--path_diff"],
  ["recover --path_raw x --path_diff y --threads --json", "--threads"],
  ["verify x --format --json", "--format"],
] as const) {
  test(`a variable that is not set: says which value is missing in ${line}`, async () => {
    await refuses(() => normaliseArgv(line.split(" ")), "USAGE", new RegExp(`^${names}: no value is given$`));
  });
}

test("a value may begin with a dash, and after = it may be the name of a flag", () => {
  for (const line of ["recover --expect-sum -5", "recover --path_raw - x", "push a b/c --message=--force"]) {
    assert.deepEqual(normaliseArgv(line.split(" ")), line.split(" "));
  }
  assert.deepEqual(normaliseArgv(["recover", "--is_fp16", "--low-cpu-mem"]), ["recover", "--is_fp16", "--low-cpu-mem"]);
});
