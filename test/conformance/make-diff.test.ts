/**
 * An additive diff of ours in the hands of others: transformers loads it, and what the rules of the reference scripts make of it
 * (recovered_diff.py, an independent rendering) has the bits of what recover makes of it. WEIGHT_DIFF_PYTHON names the Python;
 * without it the tests are skipped, except in CI, where they fail.
 *
 * Run by hand with the scripts themselves, unmodified, on additive diffs of the demo's model in bfloat16 and in float32: every one
 * of the 21 tensors that their `recover` saves has our bits, the mean rows included (torch 2.13.0, transformers 5.23.0, CPU).
 *   tatsu-lab/stanford_alpaca weight_diff.py at 761dc5bfbdeeffa89b8bff5d038781a4055f796a
 *   allenai/open-instruct scripts/weights/weight_diff.py at e6c3044aa6201c8bfa4573c1b03142af599e730d
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { FIXTURES, ROOT } from "../support/fixtures.js";

const BINARY = join(ROOT, "bin", "weight-diff.js");
const CHECK = join(ROOT, "test", "conformance", "recovered_diff.py");

/** Runs a program to its end and returns its stdout; fails with everything it printed if it does not exit with 0. */
function run(program: string, args: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: "utf8" });
  assert.equal(status, 0, `${program} ${args.join(" ")}\n${error?.message ?? ""}\n${stdout}\n${stderr}`);
  return stdout;
}
const weightDiff = (...args: readonly string[]): string => run(process.execPath, [BINARY, ...args]);

const python = process.env.WEIGHT_DIFF_PYTHON;
const absent = "WEIGHT_DIFF_PYTHON names no Python with torch and transformers";
const skip = python === undefined && process.env.CI !== "true" ? absent : false;

for (const dtype of ["bfloat16", "float16", "float32"]) {
  test(`the reference's rules recover our additive diff of a ${dtype} model to our bits`, { skip }, (t) => {
    assert.ok(python !== undefined, absent);
    const scratch = mkdtempSync(join(tmpdir(), "weight-diff-"));
    t.after(() => rmSync(scratch, { recursive: true, force: true }));
    const raw = join(FIXTURES, "demo", "base");
    const [tuned, diff, recovered] = ["tuned", "diff", "recovered"].map((name) => join(scratch, name)) as [
      string,
      string,
      string,
    ];
    const published = join(FIXTURES, "demo", "diff");
    weightDiff("recover", "--path_raw", raw, "--path_diff", published, "--path_tuned", tuned, "--dtype", dtype);
    weightDiff("make-diff", "--path_raw", raw, "--path_tuned", tuned, "--path_diff", diff);
    weightDiff("recover", "--path_raw", raw, "--path_diff", diff, "--path_tuned", recovered);

    const report: unknown = JSON.parse(run(python, [CHECK, raw, diff, recovered]));
    assert.ok(typeof report === "object" && report !== null && "ok" in report && "new_rows" in report);
    assert.deepEqual([report.ok, report.new_rows], [true, 1]);
    t.diagnostic(JSON.stringify(report));
  });
}
