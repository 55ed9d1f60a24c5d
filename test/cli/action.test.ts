/** GitHub's action: its steps, run with the variables of the runner. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { cpSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { parse } from "yaml";
import { withFolder } from "../support/checkpoints.js";
import { FIXTURES, ROOT } from "../support/fixtures.js";
import { weightDiff } from "./command.js";

interface Action {
  readonly inputs: Readonly<Record<string, { readonly default?: string; readonly required?: boolean }>>;
  readonly runs: {
    readonly using: string;
    readonly steps: readonly {
      readonly uses?: string;
      readonly run?: string;
      readonly shell?: string;
      readonly env?: Readonly<Record<string, string>>;
      readonly "working-directory"?: string;
    }[];
  };
}

const PLACE = join(ROOT, ".github/actions/verify");
const action = parse(readFileSync(join(PLACE, "action.yml"), "utf8")) as Action;
const BASE = join(FIXTURES, "demo/base");

/** What the runner makes of `${{ … }}`. */
function filledIn(text: string, given: Readonly<Record<string, string>>): string {
  return text.replaceAll(/\$\{\{ (\w+)\.([\w-]+) \}\}/g, (_, context: string, name: string) => {
    if (context === "github" && name === "action_path") {
      return PLACE;
    }
    const input = action.inputs[name];
    assert.ok(context === "inputs" && input !== undefined, `${context}.${name} is not declared`);
    return given[name] ?? input.default ?? "";
  });
}

/** Runs the last step, as a runner does that keeps its files in `folder`. */
function runAction(folder: string, given: Readonly<Record<string, string>>) {
  const step = action.runs.steps.at(-1);
  assert.ok(step?.run !== undefined);
  const summary = join(folder, "summary.md");
  writeFileSync(summary, "");
  const env = Object.entries(step.env ?? {}).map(([name, text]) => [name, filledIn(text, given)]);
  const { status, stdout, stderr } = spawnSync("bash", ["--noprofile", "--norc", "-eo", "pipefail", "-c", step.run], {
    encoding: "utf8",
    cwd: folder,
    env: {
      PATH: process.env.PATH,
      GITHUB_ACTION_PATH: PLACE,
      GITHUB_STEP_SUMMARY: summary,
      ...Object.fromEntries(env),
    },
  });
  return { status, stdout, stderr, summary: readFileSync(summary, "utf8") };
}

/** A diff that has a manifest, in `folder`. */
async function makeDiff(folder: string): Promise<string> {
  const [tuned, diff] = [join(folder, "tuned"), join(folder, "my-diff")];
  const pair = ["--path_raw", BASE, "--path_diff"];
  assert.equal((await weightDiff(["recover", ...pair, join(FIXTURES, "demo/diff"), "--path_tuned", tuned])).code, 0);
  assert.equal((await weightDiff(["make-diff", ...pair, diff, "--path_tuned", tuned])).code, 0);
  return diff;
}

test("it is a composite action that builds this very checkout, and passes inputs by the environment alone", () => {
  assert.equal(action.runs.using, "composite");
  const [node, build, verify] = action.runs.steps;
  assert.match(node?.uses ?? "", /^actions\/setup-node@v\d+$/);
  assert.match(build?.run ?? "", /^npm ci /);
  assert.equal(resolve(filledIn(build?.["working-directory"] ?? "", {})), resolve(ROOT));
  assert.doesNotMatch(verify?.run ?? "", /\$\{\{/);
  assert.ok(action.runs.steps.every(({ run, shell }) => run === undefined || shell === "bash"));
});

test("a sound diff passes, with a summary; with its base it is recovered, too", async () => {
  await withFolder(async (folder) => {
    const path = await makeDiff(folder);
    const plain = runAction(folder, { path });
    assert.deepEqual([plain.status, plain.stderr], [0, ""], plain.stdout);
    assert.match(
      plain.summary,
      /^### weight-diff verify: sound\n\n\| checkpoint \| kind \| files \| tensors \| checked \| read \|\n/,
    );
    assert.match(plain.summary, /\| diff \| 1 \| 21 \| structure, values, digests of weight&#45;diff\.json \|/);
    assert.match(runAction(folder, { path, base: BASE }).summary, /21 of 21 recovered tensors/);
    assert.equal(runAction(folder, { path, flags: "--quiet  --threads 1" }).status, 0);
  });
});

test("a damaged diff fails with annotations and a table of what was found", async () => {
  await withFolder(async (folder) => {
    const path = await makeDiff(folder);
    truncateSync(join(path, "config.json"), 20);
    const { status, stdout, summary } = runAction(folder, { path });
    assert.equal(status, 3);
    assert.match(stdout, /^::error file=[^\n]*config\.json,title=weight-diff verify%3A /m);
    assert.match(summary, /^### weight-diff verify: failed\n/);
    assert.match(summary, /\| error \| \w+ \| config\.json \|/);
  });
});

test("what is required and is not there fails; where nothing is required it passes", async () => {
  await withFolder(async (folder) => {
    cpSync(BASE, join(folder, "model"), { recursive: true });
    assert.equal(runAction(folder, { path: "model" }).status, 3);
    assert.equal(runAction(folder, { path: "model", require: "" }).status, 0);
  });
});

test("a key that the diff is not signed with fails, and the one that it is signed with passes", async () => {
  await withFolder(async (folder) => {
    const path = await makeDiff(folder);
    for (const name of ["mine", "other"]) {
      const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
      writeFileSync(join(folder, `${name}.pem`), privateKey.export({ type: "pkcs8", format: "pem" }));
      writeFileSync(join(folder, `${name}.pub`), publicKey.export({ type: "spki", format: "pem" }));
    }
    assert.equal(runAction(folder, { path, "verify-key": "mine.pub" }).status, 3);
    const signed = await weightDiff(["sign", path, "--sign-key", join(folder, "mine.pem")]);
    assert.equal(signed.code, 0, signed.said.join("\n"));
    assert.equal(runAction(folder, { path, "verify-key": "mine.pub" }).status, 0);
    assert.equal(runAction(folder, { path, "verify-key": "other.pub" }).status, 3);
  });
});

test("an input is a word, whatever it says", async () => {
  await withFolder(async (folder) => {
    const { status, stderr } = runAction(folder, { path: "$(touch made); `touch made`", require: "" });
    assert.equal(status, 4);
    assert.match(stderr, /\$\(touch made\)/);
    assert.equal(spawnSync("ls", [folder], { encoding: "utf8" }).stdout, "summary.md\n");
    assert.equal(runAction(folder, { path: "--help", require: "" }).status, 4);
  });
});
