/** What `batch kubernetes` prints, held against Kubernetes' own schemas by kubernetes-validate (PyPI, 1.37.0), which reject what they do not know. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { parseAllDocuments } from "yaml";
import { run } from "../../src/cli/commands/batch.js";
import type { During } from "../../src/cli/commands/story.js";
import type { BatchRequest } from "../../src/cli/flags/flag.js";
import { ROOT } from "../support/fixtures.js";

const base = process.env.WEIGHT_DIFF_PYTHON;
const skip = base === undefined ? "WEIGHT_DIFF_PYTHON is not set" : false;
const HOME = mkdtempSync(join(tmpdir(), "weight-diff-kubernetes-"));
const CALL = ["recover", "--path_raw", "my base", "--path_diff", "d'iff", "--path_tuned", "$(out): #x"];

before(() => {
  if (base === undefined) {
    return;
  }
  execFileSync(base, ["-m", "venv", join(HOME, "venv")]);
  const requirements = join(ROOT, "test/conformance/kubernetes.txt");
  execFileSync(
    join(HOME, "venv/bin/python"),
    ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", requirements],
    { stdio: ["ignore", "ignore", "pipe"] },
  );
});

after(() => rmSync(HOME, { recursive: true }));

async function manifest(more: Partial<BatchRequest> = {}): Promise<string> {
  let text = "";
  const asked = {
    engine: "kubernetes",
    parts: 64,
    image: "a/b:1",
    claim: "models",
    look: {},
    words: CALL,
    ...more,
  } as const;
  await run(asked, {} as During, (printed) => {
    text += printed;
  });
  return text;
}

function validate(text: string): { readonly code: number | null; readonly said: string } {
  const file = join(HOME, "job.yaml");
  writeFileSync(file, text);
  const { status, stdout, stderr } = spawnSync(join(HOME, "venv/bin/kubernetes-validate"), ["--strict", file], {
    encoding: "utf8",
  });
  return { code: status, said: stdout + stderr };
}

test("both jobs are what Kubernetes takes, and a slip in them would be seen", { skip }, async () => {
  for (const more of [{}, { parts: 1, atOnce: 1, name: "x", cpus: 2, memory: "512M", mount: "/mnt/a b" }]) {
    const text = await manifest(more);
    const { code, said } = validate(text);
    assert.equal(code, 0, said);
    assert.equal(validate(text.replace("backoffLimitPerIndex", "backOffLimitPerIndex")).code, 1);
    assert.equal(validate(text.replace("completions: ", "completions: about ")).code, 1);
  }
});

test("exit codes are mapped: what would happen again fails the index, and words reach the program as they are", async () => {
  const [parts, finalize] = parseAllDocuments(await manifest()).map((document) => document.toJS());
  assert.equal(parts.spec.completionMode, "Indexed");
  assert.equal(parts.spec.completions, 64);
  const rules = parts.spec.podFailurePolicy.rules.map(
    ({ action, onExitCodes }: { action: string; onExitCodes?: { values: number[] } }) => [action, onExitCodes?.values],
  );
  assert.deepEqual(rules, [
    ["FailIndex", [2, 3, 4]],
    ["Ignore", undefined],
    ["Count", [5, 137, 143]],
  ]);
  const [{ command }] = parts.spec.template.spec.containers;
  // Kubernetes puts a variable in place of $(out); $$ stands for $.
  assert.deepEqual(command.slice(2, 8), [
    "--path_raw",
    "my base",
    "--path_diff",
    "d'iff",
    "--path_tuned",
    "$$(out): #x",
  ]);
  assert.deepEqual(command.slice(-4), ["--part", "auto/64", "--resume", "--no-progress"]);
  assert.equal(finalize.spec.suspend, true);
  assert.deepEqual(finalize.spec.template.spec.containers[0].command, [
    ...["weight-diff", "finalize", "$$(out): #x", "--no-progress"],
  ]);
});
