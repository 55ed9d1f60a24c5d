/**
 * What the tool recovers, seen by those it is for: transformers loads it, and torch agrees on every bit. The Python that has
 * both is named by WEIGHT_DIFF_PYTHON; without it the tests are skipped, except in CI, where they fail.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { FIXTURES, ROOT } from "../support/fixtures.js";

const BINARY = join(ROOT, "bin", "weight-diff.js");
const CHECK = join(ROOT, "test", "conformance", "recovered_model.py");
const CASES = ["demo", "recover/zip-sharded", "recover/safetensors-sharded"];

/** Runs a program to its end and returns its stdout; fails with everything it printed if it does not exit with 0. */
function run(program: string, args: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: "utf8" });
  assert.equal(status, 0, `${program} ${args.join(" ")}\n${error?.message ?? ""}\n${stdout}\n${stderr}`);
  return stdout;
}

const python = process.env.WEIGHT_DIFF_PYTHON;
const absent = "WEIGHT_DIFF_PYTHON names no Python with torch and transformers";
const skip = python === undefined && process.env.CI !== "true" ? absent : false;

for (const name of CASES) {
  test(`transformers loads the recovered ${name} with torch's own bits`, { skip }, (t) => {
    assert.ok(python !== undefined, absent);
    const folder = join(FIXTURES, name);
    const scratch = mkdtempSync(join(tmpdir(), "weight-diff-"));
    t.after(() => rmSync(scratch, { recursive: true, force: true }));
    const [raw, diff, tuned] = [join(folder, "base"), join(folder, "diff"), join(scratch, "tuned")];

    run(process.execPath, [BINARY, "recover", "--path_raw", raw, "--path_diff", diff, "--path_tuned", tuned]);
    const report: unknown = JSON.parse(run(python, [CHECK, raw, diff, tuned]));

    assert.ok(typeof report === "object" && report !== null && "ok" in report && "tensors" in report);
    assert.equal(report.ok, true);
    t.diagnostic(JSON.stringify(report));
  });
}
