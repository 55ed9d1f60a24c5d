/** Publishing against the test Hub: what arrives there, what is not sent twice, and what happens when the line or the Hub fails. */
import assert from "node:assert/strict";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { makeDiff } from "../../src/commands/make-diff.js";
import type { PushOptions } from "../../src/commands/push/target.js";
import { push } from "../../src/commands/push.js";
import { recover } from "../../src/commands/recover.js";
import { WeightDiffError } from "../../src/errors.js";
import type { RepoOptions } from "../hub/repo.js";
import { commit, repoFile } from "../hub/repo.js";
import { startHub, type TestHub } from "../hub/server.js";
import { FIXTURES } from "../support/fixtures.js";
import { refuses } from "../support/refusal.js";

const TOKEN = "hf_of_the_tester";
const HOME = mkdtempSync(join(tmpdir(), "weight-diff-"));
const DIFF = join(HOME, "diff");
const WEIGHTS = "model-00001-of-00002.safetensors";
const raw = join(FIXTURES, "demo/base");
let hub: TestHub;

before(async () => {
  const tuned = join(HOME, "tuned");
  await recover({ raw, diff: join(FIXTURES, "demo/diff"), tuned, dtype: "BF16" });
  await makeDiff({ raw, tuned, diff: DIFF, maxShardSize: 400_000, baseModel: "org/base" });
});
beforeEach(async (t) => {
  hub = await startHub();
  hub.account(TOKEN, { namespaces: ["tester", "team"] });
  if ("after" in t) {
    t.after(() => hub.close());
  }
});
after(() => rmSync(HOME, { recursive: true }));

function publish(more: Partial<PushOptions> = {}) {
  const patience = { attempts: 3, pauseMs: 1, answerMs: 2000, silenceMs: 2000 };
  const settings = { endpoint: hub.endpoint, token: TOKEN, environment: {}, patience };
  return push({ path: DIFF, repo: "team/diff", threads: 0, hub: settings, ...more });
}

/** The Hub's files on a branch. */
function published(id = "team/diff", branch = "main") {
  const repo = hub.repos.get(id);
  return repo?.commits.get(repo.branches.get(branch) ?? "")?.files ?? new Map();
}

function assertComplete(): void {
  const files = published();
  for (const name of readdirSync(DIFF)) {
    assert.ok(files.get(name)?.bytes.equals(readFileSync(join(DIFF, name))), name);
  }
}

function copyOfDiff(): string {
  const copy = mkdtempSync(join(HOME, "copy-"));
  cpSync(DIFF, copy, { recursive: true });
  return copy;
}

/** A repository that is there before, with a readme. */
function existing(options: RepoOptions = {}) {
  return hub.add("team/diff", new Map([["notes.txt", repoFile("", Buffer.from("ours\n"))]]), options);
}

const puts = () => hub.log.filter(({ method }) => method === "PUT");

test("makes the repository and sends everything in one commit, and the token to nobody else", async () => {
  const report = await publish({ private: true, message: "the first" });
  assertComplete();
  const repo = hub.repos.get("team/diff");
  assert.equal(repo?.private, true);
  assert.deepEqual(
    [...(repo?.commits.values() ?? [])].map(({ title }) => title),
    ["initial commit", "the first"],
  );
  const { outcome, created, commit: sha, url, branch } = report;
  assert.deepEqual({ outcome, created, branch }, { outcome: "pushed", created: true, branch: "main" });
  assert.equal(sha, repo?.branches.get("main"));
  assert.equal(url, `${hub.endpoint}/team/diff/commit/${sha}`);
  for (const { file, size, sha256 } of report.files) {
    const there = published().get(file);
    assert.equal(there?.bytes.length, size);
    assert.ok(there?.lfs === null || there?.lfs.oid === sha256, file);
  }
  assert.ok(puts().length >= 2 && puts().every(({ port, token }) => port === "cdn" && !token));
  assert.equal(report.bytesSent, puts().length === 0 ? 0 : sizeOfLarge());
});

function sizeOfLarge(): number {
  return [...published().values()].reduce((sum, { lfs, bytes }) => sum + (lfs === null ? 0 : bytes.length), 0);
}

test("objects are sent in parts if the Hub asks for parts", async () => {
  hub.partSize = 100_000;
  await publish();
  assertComplete();
  assert.ok(puts().length > 5);
});

test("a second push sends nothing; one with a changed file sends that one, and keeps what others put there", async () => {
  existing();
  const first = await publish();
  const sent = puts().length;
  const second = await publish();
  assert.deepEqual([second.outcome, second.commit, puts().length], ["unchanged", first.commit, sent]);
  const copy = copyOfDiff();
  writeFileSync(join(copy, "README.md"), "# another card\n");
  const notes: string[] = [];
  const third = await publish({ path: copy, onNote: (text) => notes.push(text) }).catch((error: unknown) => error);
  assert.ok(!(third instanceof Error), String(third));
  assert.deepEqual(
    (third as typeof second).files.flatMap(({ file, change }) => (change === "same" ? [] : [[file, change]])),
    [["README.md", "replaced"]],
  );
  assert.equal(puts().length, sent);
  assert.equal(published().get("notes.txt")?.bytes.toString(), "ours\n");
  assert.ok(notes.includes("team/diff: replaces the contents of README.md"), notes.join("\n"));
  assert.ok(notes.includes("team/diff: keeps notes.txt"), notes.join("\n"));
});

test("objects of a push that failed are not sent again", async () => {
  hub.fault(/^POST hub .*\/commit\//, { kind: "status", status: 403, headers: { "x-error-message": "not now" } });
  await refuses(() => publish(), "HUB_DENIED", /not now/);
  const sent = puts().length;
  await publish();
  assertComplete();
  assert.equal(puts().length, sent);
});

test("old weights beside the new ones are warned of, and never deleted", async () => {
  const repo = existing();
  commit(repo, "main", "old", new Map([["pytorch_model.bin", repoFile("pytorch_model.bin", Buffer.from("old"))]]));
  const warnings: string[] = [];
  await publish({ onWarning: (text) => warnings.push(text) });
  assert.ok(published().has("pytorch_model.bin"));
  assert.match(warnings.join("\n"), /^team\/diff: keeps pytorch_model\.bin: loaders may take them instead/);
});

test("a push to another branch leaves main as it is", async () => {
  const repo = existing();
  repo.branches.set("v2", repo.branches.get("main") ?? "");
  await publish({ repo: "team/diff@v2" });
  assert.ok(published("team/diff", "v2").has(WEIGHTS));
  assert.ok(!published().has(WEIGHTS));
  await refuses(() => publish({ repo: "team/diff@v3" }), "HUB_NO_REVISION", /no such branch/);
});

test("a dry run sends nothing and makes nothing", async () => {
  const { outcome, files } = await publish({ dryRun: true });
  assert.equal(outcome, "planned");
  assert.ok(files.every(({ change }) => change === "new"));
  assert.ok(hub.log.every(({ method }) => method === "GET"));
});

const PASSING = [
  ["a storage that is busy", /^PUT cdn/, { kind: "status", status: 503 }],
  ["a connection cut in the middle of an upload's answer", /^PUT cdn/, { kind: "cut", after: 0 }],
  ["too many requests", /preupload/, { kind: "status", status: 429, headers: { "retry-after": "0" } }],
  ["a Hub that fails once", /lfs\/objects\/batch/, { kind: "status", status: 500 }],
  ["a commit that is not taken at first", /\/commit\//, { kind: "status", status: 503 }],
  ["a lost answer to the commit", /\/commit\//, { kind: "lost" }],
  ["a listing that is cut", /\/tree\//, { kind: "cut", after: 10 }],
] as const;

for (const [what, when, fault] of PASSING) {
  test(`${what}: the push goes on, with one commit`, async () => {
    existing();
    hub.fault(when, fault);
    const report = await publish();
    assertComplete();
    assert.equal(report.outcome, "pushed");
    assert.equal(hub.repos.get("team/diff")?.commits.size, 3);
  });
}

test("an upload that stands still ends with an error of the network", async () => {
  hub.fault(/^PUT cdn/, { kind: "stall", after: 0 }, 100);
  const silent = { endpoint: hub.endpoint, token: TOKEN, environment: {}, patience: { attempts: 2, pauseMs: 1 } };
  await refuses(() => publish({ hub: silent, idleMs: 50 }), "NETWORK", /silence for 0\.05 s \(tried 2 times\)/);
});

test("a storage that stays busy is said to be so, and to be waited for", async () => {
  hub.fault(/^PUT cdn/, { kind: "status", status: 429, headers: { "retry-after": "0" } }, 100);
  const patience = { attempts: 2, pauseMs: 1 };
  const busy = { endpoint: hub.endpoint, token: TOKEN, environment: {}, patience };
  const error = await publish({ hub: busy }).catch((thrown: unknown) => thrown);
  assert.ok(error instanceof WeightDiffError, String(error));
  assert.match(error.message, /answers 429: too many requests \(tried 2 times\)$/);
  assert.match(error.hint ?? "", /cannot do it now: wait a while, then run the same command again/);
});

test("an answer that comes in drips ends with an error of the network", async () => {
  hub.fault(/^GET hub .*whoami/, { kind: "slow", chunk: 1, ms: 10 }, 10);
  const patience = { attempts: 2, pauseMs: 1, answerMs: 5000, silenceMs: 5000, wholeMs: 200 };
  const settings = { endpoint: hub.endpoint, token: TOKEN, environment: {}, patience };
  await refuses(() => publish({ hub: settings }), "NETWORK", /no whole answer for 0\.2 s/);
});

test("if one upload is refused while another waits for its next attempt, nothing more is sent", async () => {
  hub.fault(/^PUT cdn/, { kind: "status", status: 503 });
  hub.fault(/^PUT cdn/, { kind: "status", status: 400 });
  const settings = { endpoint: hub.endpoint, token: TOKEN, environment: {}, patience: { attempts: 3, pauseMs: 100 } };
  await refuses(() => publish({ hub: settings }), "NETWORK", /refuses the upload: status 400/);
  await hub.forget();
  await sleep(150);
  assert.deepEqual(hub.log, []);
});

test("an upload that is sent elsewhere is not followed, and nobody else sees the token", async () => {
  hub.fault(/^PUT cdn/, { kind: "foreign-host" }, 100);
  await refuses(() => publish(), "NETWORK", /redirects an upload to 127\.0\.0\.1:\d+: not followed/);
  hub.fault(/^GET hub \/api\/models/, { kind: "foreign-host" }, 1);
  await refuses(() => publish(), "NETWORK", /redirects|another host/);
  assert.deepEqual(
    hub.log.filter(({ port }) => port === "foreign"),
    [],
  );
});

test("a push notices that the Hub lists other contents after the commit", async () => {
  existing();
  const shown = hub.repos.get("team/diff");
  // The first listing is the one before the commit.
  hub.fault(/\/tree\//, { kind: "delay", ms: 0 });
  hub.fault(/\/tree\//, { kind: "json", body: [{ type: "file", path: WEIGHTS, size: 1, oid: "0".repeat(40) }] });
  await refuses(() => publish(), "CHECK_FAILED", /after the commit the Hub lists other contents for .*model-00001/);
  assert.equal(shown?.commits.size, 3);
});

test("a commit by somebody else during a push stops it, and the next push builds on that commit", async () => {
  const repo = existing();
  const meddle = (text: string): void => {
    if (text.startsWith("sending")) {
      commit(repo, "main", "meddle", new Map([["other.txt", repoFile("", Buffer.from("x"))]]));
    }
  };
  await refuses(() => publish({ onNote: meddle }), "INPUT_CHANGED", /somebody else has changed the repository/);
  await publish();
  assertComplete();
  assert.ok(published().has("other.txt"));
});

test("damage is not pushed, not even with force, and no repository is made for it", async () => {
  const copy = copyOfDiff();
  const bytes = readFileSync(join(copy, WEIGHTS));
  bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
  writeFileSync(join(copy, WEIGHTS), bytes);
  await refuses(() => publish({ path: copy }), "CHECK_FAILED", /model-00001.*nothing was pushed/);
  writeFileSync(join(copy, WEIGHTS), bytes.subarray(0, 1000));
  await refuses(() => publish({ path: copy, force: true }), "TRUNCATED", /has 1000 bytes/);
  assert.equal(hub.repos.size, 0);
  assert.ok(hub.log.every(({ method }) => method === "GET"));
});

test("a folder without a manifest is pushed only with force; an unfinished one and a single file are refused", async () => {
  const copy = copyOfDiff();
  rmSync(join(copy, "weight-diff.json"));
  await refuses(() => publish({ path: copy }), "CHECK_FAILED", /has no weight-diff\.json/);
  assert.equal((await publish({ path: copy, force: true })).outcome, "pushed");
  await refuses(() => publish({ path: join(DIFF, WEIGHTS) }), "USAGE", /a single file cannot be pushed/);
  mkdirSync(join(copy, ".weight-diff"));
  writeFileSync(join(copy, ".weight-diff/journal"), "");
  await refuses(() => publish({ path: copy, force: true }), "OUTPUT_REFUSED", /an unfinished run/);
});

test("a rule of the architecture does not stop a push that digests prove sound, and force does not push what they prove damaged", async () => {
  const copy = mkdtempSync(join(HOME, "odd-"));
  cpSync(join(HOME, "tuned"), copy, { recursive: true });
  // A layer more than there is: against the rules of a LLaMA, and no matter of the manifest's.
  const config = readFileSync(join(copy, "config.json"), "utf8");
  writeFileSync(join(copy, "config.json"), config.replace('"num_hidden_layers": 2', '"num_hidden_layers": 3'));
  const manifest = readFileSync(join(copy, "weight-diff.json"), "utf8");
  const byRule = /num_hidden_layers is 3, the number of layers among the tensors is 2/;
  const pushed = async (force: boolean): Promise<readonly string[]> => {
    const warnings: string[] = [];
    const { outcome } = await publish({ path: copy, force, onWarning: (text) => warnings.push(text) });
    assert.ok(outcome === "pushed" || outcome === "unchanged", outcome);
    return warnings;
  };

  // Approved by every digest.
  assert.ok((await pushed(false)).some((text) => byRule.test(text)));
  // Unknown to any: the user's to answer for.
  rmSync(join(copy, "weight-diff.json"));
  await refuses(() => publish({ path: copy }), "CHECK_FAILED", /has no weight-diff\.json/);
  assert.ok((await pushed(true)).some((text) => byRule.test(text)));

  // Disproved: one bit of a tensor, a digest of another, a manifest that is not what was written.
  const [weights = ""] = readdirSync(copy).filter((name) => name.endsWith(".safetensors"));
  const bytes = readFileSync(join(copy, weights));
  const flipped = Buffer.from(bytes);
  flipped.writeUInt8(flipped.readUInt8(flipped.length - 1) ^ 1, flipped.length - 1);
  const commits = hub.repos.get("team/diff")?.commits.size;
  for (const [text, content, words] of [
    [manifest, flipped, /its sha256 is not the one in the manifest/],
    [
      manifest.replace('"float32"', '"float64"').replace('"bfloat16"', '"float64"'),
      bytes,
      /its own digest does not fit/,
    ],
    [manifest.replace("\n", "\r\n"), bytes, /its text was changed since it was written/],
  ] as const) {
    writeFileSync(join(copy, weights), content);
    writeFileSync(join(copy, "weight-diff.json"), text);
    await refuses(() => publish({ path: copy }), "CHECK_FAILED", /nothing was pushed/);
    await refuses(() => publish({ path: copy, force: true }), "CHECK_FAILED", words);
  }
  assert.equal(hub.repos.get("team/diff")?.commits.size, commits);
});

test("files that belong to no model are named and stay", async () => {
  const copy = copyOfDiff();
  writeFileSync(join(copy, "optimizer.pt"), "x");
  writeFileSync(join(copy, ".env"), "SECRET=1");
  const notes: string[] = [];
  await publish({ path: copy, onNote: (text) => notes.push(text) });
  assert.ok(notes.includes("not pushed: optimizer.pt"), notes.join("\n"));
  assert.ok(!published().has("optimizer.pt") && !published().has(".env"));
});

test("a folder that cannot be pushed is refused before a token is needed or the Hub is asked", async () => {
  const nobody = { endpoint: hub.endpoint, token: null, environment: {} };
  const bare = copyOfDiff();
  rmSync(join(bare, "weight-diff.json"));
  const empty = mkdtempSync(join(HOME, "empty-"));
  const asked = hub.log.length;
  for (const [path, code, words] of [
    ["/nowhere", "NOT_FOUND", /no such file or directory/],
    [empty, "NOT_FOUND", /./],
    [bare, "CHECK_FAILED", /has no weight-diff\.json/],
  ] as const) {
    await refuses(() => publish({ path, hub: nobody }), code, words);
  }
  await refuses(() => publish({ path: "/nowhere", repo: "./team", hub: nobody }), "USAGE", /not the name of a/);
  assert.equal(hub.log.length, asked);
});

test("a token that may not write is refused before the weights are read", async () => {
  const damaged = copyOfDiff();
  const bytes = readFileSync(join(damaged, WEIGHTS));
  writeFileSync(join(damaged, WEIGHTS), bytes.fill(1, bytes.length - 1));
  const to = (token: string | null, repo = "team/diff", more: Partial<PushOptions> = {}) =>
    publish({ path: damaged, repo, hub: { endpoint: hub.endpoint, token, environment: {} }, ...more });
  hub.account("hf_reader", { role: "read" });
  await refuses(() => to(null), "HUB_DENIED", /pushing needs a token/);
  await refuses(() => to("hf_unknown"), "HUB_DENIED", /the token is not accepted/);
  await refuses(() => to("hf_reader"), "HUB_DENIED", /the token of tester may only read/);
  await refuses(() => to("hf_reader", "team/diff/sub"), "USAGE", /not the name of a repository/);
  await refuses(() => to("hf_reader", "./team"), "USAGE", /not the name of a repository/);
  existing();
  await refuses(() => to(TOKEN, "team/diff", { private: true }), "OUTPUT_REFUSED", /exists and is public/);
  const offline = { endpoint: hub.endpoint, token: TOKEN, environment: {}, offline: true };
  await refuses(() => publish({ hub: offline }), "HUB_OFFLINE", /nothing can be pushed/);
});

test("a push without the right to write, and one without room left on the Hub, are refused", async () => {
  hub.account("hf_other", { name: "other", namespaces: ["other"] });
  const warnings: string[] = [];
  const other = { endpoint: hub.endpoint, token: "hf_other", environment: {} };
  await refuses(
    () => publish({ hub: other, onWarning: (text) => warnings.push(text) }),
    "HUB_DENIED",
    /this token may not write there/,
  );
  assert.match(warnings[0] ?? "", /the token of other does not name the organisation team/);
  hub.quota = 1000;
  await refuses(() => publish(), "HUB_DENIED", /storage limit reached/);
});

test("a Hub that repeats the token in its answer does not make us show it", async () => {
  const headers = { "x-error-message": `bad token ${TOKEN}` };
  hub.fault(/whoami/, { kind: "status", status: 401, headers });
  await assert.rejects(publish(), (error) => !String(error).includes(TOKEN) && /bad token …/.test(String(error)));
});

test("a signal ends it at once", async () => {
  const stop = new AbortController();
  hub.fault(/^PUT cdn/, { kind: "stall", after: 0 }, 100);
  const onNote = (text: string): void => {
    if (text.startsWith("sending")) {
      setTimeout(() => stop.abort(new Error("stopped")), 50);
    }
  };
  await assert.rejects(publish({ signal: stop.signal, onNote }), /stopped/);
});
