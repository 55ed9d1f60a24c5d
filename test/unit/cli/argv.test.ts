/** Command lines as people have them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { normaliseArgv } from "../../../src/cli/argv.js";

for (const [before, after] of [
  ["--path_raw a_b --path_diff c_d", "--path-raw a_b --path-diff c_d"],
  ["--path_raw=a_b=c", "--path-raw=a_b=c"],
  ["--base x --target y --delta z", "--path-raw x --path-tuned y --path-diff z"],
  ["--base-model-path x --target-model-path y --delta-path z", "--path-raw x --path-tuned y --path-diff z"],
  ["--base_model_path=x --target-m y --delta-p=z", "--path-raw=x --path-tuned y --path-diff=z"],
  ["--base-model-path x --tuned-model-path y --delta-path z", "--path-raw x --path-tuned y --path-diff z"],
  ["--base_model x --base_model_format hf --patch_model z", "--path-raw x --base-model-format hf --path-diff z"],
  ["--llama-7b-hf-dir x --models-save-dir y", "--path-raw x --models-save-dir y"],
  ["x y --delta z", "x y --path-diff z"],
  ["--bas x --base-models x --deltas", "--bas x --base-models x --deltas"],
  ["-- --path_raw --base", "-- --path_raw --base"],
  ["-p a_b -", "-p a_b -"],
] as const) {
  test(`reads ${before}`, () => {
    assert.deepEqual(normaliseArgv(["recover", ...before.split(" ")]), ["recover", ...after.split(" ")]);
  });
}

test("takes make_diff for make-diff, as a command only", () => {
  assert.deepEqual(normaliseArgv(["make_diff", "make_diff"]), ["make-diff", "make_diff"]);
});

test("--base-model is make-diff's own flag, and FastChat's abbreviation everywhere else", () => {
  for (const command of ["make-diff", "make_diff"]) {
    assert.deepEqual(normaliseArgv([command, "--base_model", "org/x", "--base", "y", "--base-model-path=z"]), [
      ...["make-diff", "--base-model", "org/x", "--path-raw", "y", "--path-raw=z"],
    ]);
  }
  assert.deepEqual(normaliseArgv(["recover", "--base-model", "x"]), ["recover", "--path-raw", "x"]);
});
