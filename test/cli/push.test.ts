/** push and make-diff --push as a user runs them: help, whole lines, JSON, exit codes. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { startHub, type TestHub } from "../hub/server.js";
import { BASE, type Outcome, recoverDemo, weightDiff } from "./command.js";

const HOME = mkdtempSync(join(tmpdir(), "weight-diff-"));
const [TUNED, DIFF] = [join(HOME, "tuned"), join(HOME, "diff")];
let hub: TestHub;
before(async () => {
  hub = await startHub();
  hub.account("hf_me", { name: "me", namespaces: ["me"] });
  assert.equal((await recoverDemo("--path_tuned", TUNED)).code, 0);
});
after(async () => {
  await hub.close();
  rmSync(HOME, { recursive: true });
});
const run = (args: readonly string[], token = "hf_me"): Promise<Outcome> =>
  weightDiff(args, { HF_ENDPOINT: hub.endpoint, HF_HOME: HOME, HF_TOKEN: token });
const make = (...more: readonly string[]): Promise<Outcome> =>
  run(["make-diff", "--path_raw", BASE, "--path_tuned", TUNED, ...more]);

test("push --help names every flag", async () => {
  const { code, out } = await run(["push", "--help"]);
  assert.equal(code, 0);
  assert.match(out, /^ {2}weight-diff push DIR ORG\/NAME \[flags\]$/m);
  for (const flag of ["--private", "--branch", "--message", "--dry-run", "--force", "--json", "--quiet", "--threads"]) {
    assert.match(out, new RegExp(`^  ${flag}\\b`, "m"));
  }
  assert.doesNotMatch(out, /--revision/);
});

test("make-diff --push makes, verifies and publishes, and push has nothing left to do", async () => {
  const { code, out, said } = await make(
    "--path_diff",
    DIFF,
    "--base-model",
    "org/base",
    "--push",
    "me/diff",
    "--private",
  );
  assert.equal(code, 0, said.join("\n"));
  const lines = out.split("\n");
  const sha = hub.repos.get("me/diff")?.branches.get("main");
  assert.equal(lines[0], `made a diff of 21 tensors in ${DIFF}`);
  assert.deepEqual(lines.slice(5, 8), [
    `pushed 12 files to ${hub.endpoint}/me/diff/commit/${sha}`,
    "  branch   main of me/diff, made now, private",
    `  commit   ${sha}`,
  ]);
  assert.match(out, /^ {2}new model\.safetensors, 669 kB, sha256 [0-9a-f]{64}$/m);
  assert.match(out, /\n {2}took {5}\d+\.\d\d s: sent 677 kB\n$/);
  assert.deepEqual(said.slice(-3), [
    "weight-diff: verified: 21 tensors as weight-diff.json has them",
    `weight-diff: made ${hub.endpoint}/me/diff, private`,
    `weight-diff: sending 12 of 12 files to ${hub.endpoint}/me/diff`,
  ]);
  const again = await run(["push", DIFF, "me/diff"]);
  assert.equal(again.code, 0);
  assert.equal(again.out.split("\n")[0], `${hub.endpoint}/me/diff has all 12 files already`);
  const elsewhere = await run(["push", DIFF, "me/other", "--json", "--quiet", "--message", "by hand"]);
  const report = JSON.parse(elsewhere.out);
  assert.deepEqual([report.command, report.outcome, report.created, report.files.length], ["push", "pushed", true, 12]);
  assert.deepEqual(elsewhere.said, []);
  assert.equal(hub.repos.get("me/other")?.commits.get(report.commit)?.title, "by hand");
});

test("what stands in the way is said before the diff is made", async () => {
  const { code, out, said } = await make(
    "--path_diff",
    join(HOME, "never"),
    "--push",
    "me/diff",
    "--private",
    "--json",
  );
  assert.equal(code, 0, said.join("\n"));
  assert.equal(JSON.parse(out).push.outcome, "pushed");
  const bad = await run(
    ["make-diff", "--path_raw", "/nowhere", "--path_tuned", TUNED, "--path_diff", HOME, "--push", "me/x"],
    "hf_no",
  );
  assert.equal(bad.code, 4);
  assert.match(bad.said[0] ?? "", /^weight-diff: error: me\/x: the token is not accepted/);
});

test("flags that make no sense together are refused", async () => {
  for (const [args, words] of [
    [["make-diff", "--path_raw", BASE, "--path_tuned", TUNED, "--push", "me/diff"], /--push without --path_diff/],
    [["make-diff", "--path_raw", BASE, "--path_tuned", TUNED, "--private"], /--private without --push/],
    [["push", DIFF, "me/diff@a", "--branch", "b"], /the branch is named twice/],
    [["push", DIFF, "nonsense"], /nonsense: not the name of a repository/],
  ] as const) {
    const { code, out, said } = await run(args);
    assert.deepEqual([code, out], [2, ""]);
    assert.match(said[0] ?? "", words);
  }
});
