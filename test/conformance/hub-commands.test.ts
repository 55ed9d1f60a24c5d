/** The other commands on repositories, and runs that change over from one way of reading to another. */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { inspect } from "../../src/commands/inspect.js";
import { makeDiff } from "../../src/commands/make-diff.js";
import { recover } from "../../src/commands/recover.js";
import { type VerifyOptions, type VerifyReport, verify } from "../../src/commands/verify.js";
import type { HubOptions } from "../../src/hub/settings.js";
import type { ProgressState } from "../../src/run/run-plan.js";
import { BASE, DIFF, weightDiff } from "../cli/command.js";
import { filesOf, repoFile } from "../hub/repo.js";
import { startHub, type TestHub } from "../hub/server.js";
import { refuses } from "../support/refusal.js";

let hub: TestHub;
let place: string;
const at = (name: string): string => join(place, name);

before(async () => {
  place = mkdtempSync(join(tmpdir(), "weight-diff-"));
  hub = await startHub();
  hub.add("org/base", filesOf(BASE));
  hub.add("org/diff", filesOf(DIFF));
  await recover({ raw: BASE, diff: DIFF, tuned: at("tuned"), dtype: "BF16" });
  hub.add("org/tuned", filesOf(at("tuned")));
  await makeDiff({ raw: BASE, tuned: at("tuned"), diff: at("made") });
  hub.add("org/made", filesOf(at("made")));
});
after(async () => {
  await hub.close();
  rmSync(place, { recursive: true, force: true });
});
beforeEach(() => hub.forget());

function hubOf(options: HubOptions = {}): HubOptions {
  const patience = { pauseMs: 1, attempts: 2, silenceMs: 500 };
  return { endpoint: hub.endpoint, environment: { HOME: place }, patience, ...options };
}

const errors = ({ findings }: VerifyReport): readonly string[] =>
  findings.filter(({ level }) => level === "error").map(({ message }) => message);
const notes = ({ findings }: VerifyReport): readonly string[] =>
  findings.filter(({ level }) => level === "note").map(({ message }) => message);

async function verified(path: string, options: Partial<VerifyOptions> = {}): Promise<VerifyReport> {
  return verify({ path, hub: hubOf({ cache: null }), ...options });
}

test("make-diff takes both models from the Hub, with the bytes of a local run", async () => {
  for (const [name, cache] of [
    ["made-cached", at("cache-made")],
    ["made-streamed", null],
  ] as const) {
    await makeDiff({ raw: "org/base", tuned: "org/tuned", diff: at(name), hub: hubOf({ cache }) });
    assert.ok(readFileSync(at(`${name}/model.safetensors`)).equals(readFileSync(at("made/model.safetensors"))));
    assert.match(readFileSync(at(`${name}/README.md`), "utf8"), /^base_model: org\/base$/m);
  }
  assert.ok(
    readFileSync(at("made-cached/weight-diff.json")).equals(readFileSync(at("made-streamed/weight-diff.json"))),
  );
});

test("verify holds a published diff against its manifest and the Hub's digests, without a copy", async () => {
  const report = await verified("org/made", { requireDigests: true });
  assert.deepEqual(errors(report), []);
  assert.ok(report.sound);
  assert.equal(report.manifest, "weight-diff.json");
  assert.deepEqual(
    notes(report).filter((text) => text.includes("Hub")),
    ["1 weight file has the sha256 that the Hub lists"],
  );
});

test("verify with the base, all from the Hub", async () => {
  const report = await verified("org/made", { raw: "org/base" });
  assert.deepEqual([errors(report), report.recovered?.compared], [[], 21]);
});

test("verify against another repository", async () => {
  const report = await verified("org/tuned", { against: "org/tuned@main" });
  assert.equal(report.comparison?.verdict, "identical");
});

test("verify finds weights that are not those of the manifest", async () => {
  const files = new Map(filesOf(at("made")));
  const bytes = Buffer.from(files.get("model.safetensors")?.bytes ?? Buffer.alloc(0));
  bytes[bytes.length - 5] = (bytes[bytes.length - 5] ?? 0) ^ 1;
  hub.add("org/changed", files.set("model.safetensors", repoFile("model.safetensors", bytes)));
  for (const cache of [null, at("cache-changed")]) {
    const report = await verified("org/changed", { hub: hubOf({ cache }) });
    assert.ok(!report.sound);
    assert.ok(errors(report).some((text) => /differs: its sha256 is not the one in the manifest/.test(text)));
    assert.ok(errors(report).some((text) => /the Hub has another file than the manifest lists/.test(text)));
  }
});

test("verify without a manifest and without a copy finds what was changed on the way", async () => {
  const clean = await verified("org/diff");
  assert.deepEqual(errors(clean), []);
  assert.ok(notes(clean).includes("3 weight files have the sha256 that the Hub lists"));
  // The whole of a file is asked for only once, by the digest of it.
  hub.fault(/^GET cdn /, { kind: "flip", at: 70_000 }, 100);
  const report = await verified("org/diff");
  assert.ok(
    errors(report).some((text) => /the Hub lists/.test(text)),
    errors(report).join("\n"),
  );
  await drained();
});

/** Uses up what is left of a fault. */
async function drained(): Promise<void> {
  await hub.close();
  const repos = [...hub.repos];
  hub = await startHub();
  for (const [id, repo] of repos) {
    hub.repos.set(id, repo);
  }
}

test("inspect reads headers, and fetches no weights", async () => {
  const cache = at("cache-inspect");
  const report = await inspect({ path: "org/diff", hub: hubOf({ cache }) });
  assert.equal(report.repo, "org/diff");
  assert.match(report.commit ?? "", /^[0-9a-f]{40}$/);
  assert.equal(report.identity.kind, "diff");
  const blobs = readdirSync(join(cache, "models--org--diff/blobs"));
  assert.ok(
    [...filesOf(DIFF)].every(
      ([name, { lfs }]) => !name.startsWith("pytorch_model-") || !blobs.includes(lfs?.oid ?? ""),
    ),
  );
  const local = await inspect({ path: DIFF });
  assert.deepEqual(report.tensors, local.tensors);
});

for (const [how, first, second] of [
  ["it streamed is continued from the cache", null, "cache-resume"],
  ["it read the cache is continued by streaming", "cache-resume", null],
] as const) {
  test(`a run that ended while ${how}`, async () => {
    const tuned = mkdtempSync(at("resume-"));
    const options = { raw: "org/base", diff: "org/diff", tuned, threads: 0 };
    const cached = (name: string | null): HubOptions => hubOf({ cache: name === null ? null : at(name) });
    const stop = new AbortController();
    let tensors = 0;
    const onProgress = ({ tensor }: ProgressState): void => {
      tensors += tensor.startsWith("is being") ? 0 : 1;
      if (tensors === 10) {
        stop.abort();
      }
    };
    await refuses(
      () => recover({ ...options, hub: cached(first), signal: stop.signal, onProgress }),
      "INTERRUPTED",
      /interrupted/,
    );
    const report = await recover({ ...options, hub: cached(second), mode: "resume" });
    assert.ok(report.resumed > 0);
    await recover({ ...options, raw: BASE, diff: DIFF, tuned: `${tuned}-local` });
    assert.ok(
      readFileSync(join(tuned, "model.safetensors")).equals(readFileSync(join(`${tuned}-local`, "model.safetensors"))),
    );
  });
}

test("a download that ends leaves no output behind, and what came stays for the next run", async () => {
  const cache = at("cache-ended");
  const options = { raw: "org/base", diff: "org/diff", tuned: at("ended"), hub: hubOf({ cache }) };
  const stop = new AbortController();
  const onProgress = ({ tensor, done }: ProgressState): void => {
    if (tensor === "is being fetched" && done > 300_000) {
      stop.abort();
    }
  };
  await refuses(() => recover({ ...options, signal: stop.signal, onProgress }), "INTERRUPTED", /interrupted/);
  assert.ok(!readdirSync(place).includes("ended"));
  await hub.forget();
  await recover(options);
  const all = [BASE, DIFF].flatMap((folder) => [...filesOf(folder)].filter(([name]) => name.endsWith(".bin")));
  const total = all.reduce((sum, [, { bytes }]) => sum + bytes.length, 0);
  const fetched = hub.log
    .filter(({ port, range }) => port === "cdn" && range === null)
    .reduce((sum, { sent }) => sum + sent, 0);
  assert.ok(fetched < total, `${fetched} of ${total} bytes came whole`);
});

test("a signal ends requests that a server leaves open, in threads too", async () => {
  for (const threads of [0, 1]) {
    const stop = new AbortController();
    const patience = { silenceMs: 600_000, answerMs: 600_000 };
    // Headers and samples are small; what the threads ask for is not.
    const onNote = (text: string): void => {
      if (text.startsWith("the base is the one")) {
        hub.fault(/^GET cdn /, { kind: "stall", after: 10 }, 500);
        setTimeout(() => stop.abort(), 300);
      }
    };
    const run = recover({
      raw: "org/base",
      diff: "org/diff",
      hub: hubOf({ cache: null, patience }),
      threads,
      signal: stop.signal,
      onNote,
    });
    await refuses(() => run, "INTERRUPTED", /interrupted/);
    await drained();
  }
});

test("the command line: names, --no-cache, --offline, --token-file", async () => {
  const env = {
    HF_ENDPOINT: hub.endpoint,
    HF_HOME: at("cli-home"),
    HF_TOKEN: "",
    HF_HUB_CACHE: "",
    HF_HUB_OFFLINE: "",
  };
  const streamed = await weightDiff(["verify", "org/made", "--no-cache"], env);
  assert.deepEqual([streamed.code, streamed.said], [0, []], streamed.said.join("\n"));
  assert.ok(!readdirSync(place).includes("cli-home"));
  const cold = await weightDiff(["inspect", "org/diff", "--json"], env);
  assert.equal(JSON.parse(cold.out).repo, "org/diff");
  const offline = await weightDiff(["verify", "org/diff", "--offline"], env);
  assert.equal(offline.code, 4);
  assert.match(offline.said.join("\n"), /error: .*(missing|not in the cache)/);
  hub.account("hf_filed", { name: "someone", namespaces: ["org"], accepted: ["org/gated"] });
  hub.add("org/gated", filesOf(DIFF), { gated: true });
  const refused = await weightDiff(["inspect", "org/gated"], env);
  assert.equal(refused.code, 4);
  assert.match(refused.said[0] ?? "", /^weight-diff: error: org\/gated: a gated repository/);
  writeFileSync(at("token"), "hf_filed\n");
  const allowed = await weightDiff(["inspect", "org/gated", "--token-file", at("token")], env);
  assert.equal(allowed.code, 0, allowed.said.join("\n"));
  assert.doesNotMatch(allowed.out + allowed.said.join("\n") + refused.said.join("\n"), /hf_filed/);
  const both = await weightDiff(["inspect", "org/diff", "--offline", "--no-cache"], env);
  assert.equal(both.code, 2);
});
