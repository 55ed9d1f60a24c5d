/**
 * XOR payloads and bases in repositories of a Hub: into the cache, from it, offline, and without one, all with the bytes of a local
 * run; and what is refused, before weights are fetched.
 */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import type { RecoverReport } from "../../src/commands/recover/report.js";
import { recover } from "../../src/commands/recover.js";
import { verify } from "../../src/commands/verify.js";
import { xor } from "../../src/commands/xor.js";
import { WeightDiffError } from "../../src/errors.js";
import type { HubOptions } from "../../src/hub/settings.js";
import { filesOf, type RepoFile, repoFile } from "../hub/repo.js";
import { startHub, type TestHub } from "../hub/server.js";
import { FIXTURES } from "../support/fixtures.js";
import { refuses } from "../support/refusal.js";

const XOR = join(FIXTURES, "xor");
const CARD = ["README.md", repoFile("README.md", Buffer.from("# a card\n"))] as const;

/** Name, base, payload: folders under fixtures/xor; and the folder of the repository that holds the payload, as published. */
const CASES = [
  ["oa-plain", "base", "oa-plain/payload", "oasst-xor/"],
  ["oa-gzip", "base", "oa-gzip/payload", ""],
  ["pygmalion", "base", "pygmalion/payload", "xor_encoded_files/"],
  ["enc-short-key", "enc-short-key/key", "enc-short-key/payload", ""],
  ["enc-long-key", "enc-long-key/key", "enc-long-key/payload", "encrypted/"],
] as const;

let hub: TestHub;
let place: string;
let runs = 0;

before(async () => {
  place = mkdtempSync(join(tmpdir(), "weight-diff-"));
  hub = await startHub();
  for (const [name, base, payload, folder] of CASES) {
    hub.add(`org/${name}-base`, new Map([CARD, ...filesOf(join(XOR, base))]));
    hub.add(`org/${name}`, new Map([CARD, ...inFolder(folder, filesOf(join(XOR, payload)))]));
    await recover({ raw: join(XOR, base), diff: join(XOR, payload), tuned: join(place, `${name}-local`) });
  }
});
after(async () => {
  await hub.close();
  rmSync(place, { recursive: true, force: true });
});
beforeEach(() => hub.forget());

function inFolder(folder: string, files: ReadonlyMap<string, RepoFile>): ReadonlyMap<string, RepoFile> {
  return new Map([...files].map(([file, content]) => [`${folder}${file}`, content]));
}

function hubOf(options: HubOptions): HubOptions {
  return {
    endpoint: hub.endpoint,
    environment: { HF_HOME: join(place, "home") },
    patience: { pauseMs: 1 },
    ...options,
  };
}

async function recovered(name: string, options: HubOptions): Promise<{ folder: string; report: RecoverReport }> {
  const folder = join(place, `run-${runs++}`);
  const report = await recover({ raw: `org/${name}-base`, diff: `org/${name}`, tuned: folder, hub: hubOf(options) });
  return { folder, report };
}

/** Every file but the manifest, which says where the inputs came from. */
function assertLocalBytes(name: string, folder: string): void {
  const local = join(place, `${name}-local`);
  assert.deepEqual(readdirSync(folder).sort(), readdirSync(local).sort());
  for (const file of readdirSync(local).filter((each) => each !== "weight-diff.json")) {
    assert.ok(readFileSync(join(local, file)).equals(readFileSync(join(folder, file))), file);
  }
  const manifest = JSON.parse(readFileSync(join(folder, "weight-diff.json"), "utf8"));
  assert.deepEqual([manifest.raw.repo, manifest.diff.repo], [`org/${name}-base`, `org/${name}`]);
  assert.equal(manifest.raw.commit, hub.repos.get(`org/${name}-base`)?.branches.get("main"));
}

function fetchedFromCdn(): number {
  return hub.log.filter(({ port }) => port === "cdn").reduce((sum, { sent }) => sum + sent, 0);
}

for (const [name] of CASES) {
  test(`${name}: a cold cache, a warm one, offline, and none: the bytes of a local run, and the same manifest`, async () => {
    const cache = join(place, `${name}-cache`);
    const cold = await recovered(name, { cache });
    assertLocalBytes(name, cold.folder);
    await hub.forget();
    const warm = await recovered(name, { cache });
    assert.equal(fetchedFromCdn(), 0, "fetched again");
    await hub.forget();
    const offline = await recovered(name, { cache, offline: true });
    assert.deepEqual(hub.log, [], "asked the Hub while offline");
    const streamed = await recovered(name, { cache: null });
    const manifest = readFileSync(join(cold.folder, "weight-diff.json"));
    for (const { folder, report } of [warm, offline, streamed]) {
      assertLocalBytes(name, folder);
      assert.ok(readFileSync(join(folder, "weight-diff.json")).equals(manifest), folder);
      assert.equal(report.scheme, cold.report.scheme);
    }
  });
}

test("a dry run fetches no weights, and says what would be fetched", async () => {
  const notes: string[] = [];
  const cache = join(place, "dry");
  const options = { raw: "org/oa-plain-base", diff: "org/oa-plain", hub: hubOf({ cache }) };
  const report = await recover({ ...options, dryRun: true, onNote: (text) => notes.push(text) });
  assert.equal(report.outcome, "planned");
  assert.ok(
    notes.some((text) => /^[\d.]+ kB of weights would be fetched into the cache$/.test(text)),
    notes.join("\n"),
  );
  assertNoWeights(cache);
});

/** Small files only: no blob in the cache is one of the weight files. */
function assertNoWeights(cache: string): void {
  const blobs = readdirSync(cache, { recursive: true, encoding: "utf8" });
  assert.ok(blobs.some((path) => path.includes("blobs/")));
  const weights = blobs.filter((path) => /snapshots\/.*\.(bin|pth|enc)$/.test(path));
  assert.deepEqual(
    weights.filter((path) => !/tokenizer/.test(path)),
    [],
  );
}

test("a wrong base is refused before weights are fetched, by the names that the user gave", async () => {
  const other = new Map(
    [...filesOf(join(XOR, "base"))].map(([file, { bytes }]) => {
      return [file, repoFile(file, Buffer.from(bytes.map((byte) => byte ^ 0x55)))] as const;
    }),
  );
  hub.add("org/other", other);
  const cache = join(place, "refused");
  for (const [raw, diff, code, message] of [
    [
      "org/other",
      "org/oa-plain",
      "MISMATCH",
      /^org\/other@[0-9a-f]{8}: .*: not the file that the payload was made with/,
    ],
    ["org/oa-plain", "org/oa-plain-base", "NOT_A_DIFF", /^base and diff are swapped: org\/oa-plain holds/],
    ["org/oa-plain-base", "org/enc-short-key", "NOT_FOUND", /^org\/oa-plain-base: holds no consolidated\.00\.pth/],
    ["org/enc-short-key-base", "org/oa-plain", "MISMATCH", /^org\/enc-short-key-base: has no config\.json/],
    ["org/missing", "org/oa-plain", "HUB_NO_REPO", /org\/missing/],
    ["org/oa-plain-base", "org/missing", "HUB_NO_REPO", /org\/missing/],
  ] as const) {
    await refuses(() => recover({ raw, diff, hub: hubOf({ cache }) }), code, message);
  }
  assertNoWeights(cache);
});

test("xor takes repositories at a revision, a folder, and the key's file; either input may be on this disk", async () => {
  const commit = hub.repos.get("org/oa-plain")?.branches.get("main");
  const local = join(XOR, "base");
  for (const [name, payload, raw] of [
    ["oa-plain", `org/oa-plain@${commit}`, local],
    ["oa-plain", "hf://org/oa-plain/oasst-xor", "hf://org/oa-plain-base@main"],
    ["oa-plain", join(XOR, "oa-plain/payload"), "org/oa-plain-base"],
    ["enc-short-key", "org/enc-short-key", "hf://org/enc-short-key-base/consolidated.00.pth"],
  ] as const) {
    const output = join(place, `run-${runs++}`);
    const report = await xor({ payload, raw, output, hub: hubOf({ cache: null }) });
    assert.equal(report.outcome, "made");
    for (const { file } of report.files) {
      assert.ok(readFileSync(join(output, file)).equals(readFileSync(join(place, `${name}-local`, file))), file);
    }
  }
});

test("an interrupted run without a cache is continued", async () => {
  const output = join(place, "continued");
  const options = { payload: "org/oa-plain", raw: "org/oa-plain-base", output, hub: hubOf({ cache: null }) };
  const stop = new AbortController();
  const started = xor({
    ...options,
    signal: stop.signal,
    onProgress: ({ tensor }) => tensor.endsWith("2.bin") && stop.abort(new WeightDiffError("INTERRUPTED", "stopped")),
  });
  await refuses(() => started, "INTERRUPTED", /stopped/);
  const report = await xor({ ...options, mode: "resume", hub: hubOf({ cache: null }) });
  assert.ok(report.resumed > 0 && report.resumed < report.files.length, String(report.resumed));
  assertLocalBytes("oa-plain", output);
  assert.equal((await xor({ ...options, mode: "resume", hub: hubOf({}) })).outcome, "verified");
});

test("a payload is encoded from repositories", async () => {
  hub.add("org/tuned", filesOf(join(place, "oa-plain-local")));
  const output = join(place, "encoded");
  await xor({
    payload: "org/tuned",
    raw: "org/oa-plain-base",
    output,
    direction: "encode",
    scheme: "oa-xor",
    hub: hubOf({}),
  });
  for (const file of readdirSync(join(XOR, "oa-plain/payload"))) {
    assert.ok(readFileSync(join(output, file)).equals(readFileSync(join(XOR, "oa-plain/payload", file))), file);
  }
});

test("verify holds results and payloads at the Hub against its digests, without fetching weights", async () => {
  const result = filesOf(join(place, "oa-plain-local"));
  const encoded = join(place, "verified-payload");
  await xor({
    ...{ payload: join(place, "oa-plain-local"), raw: join(XOR, "base"), output: encoded },
    ...{ direction: "encode", scheme: "oa-xor" },
  });
  const weights = "pytorch_model-00001-of-00002.bin";
  const broken = Buffer.from(result.get(weights)?.bytes ?? []);
  broken[700] = (broken[700] ?? 0) ^ 1;
  hub.add("org/result", new Map([CARD, ...result]));
  hub.add("org/encoded", filesOf(encoded));
  const damaged = new Map([...result, [weights, repoFile(weights, broken)]]);
  damaged.delete("config.json");
  hub.add("org/damaged", damaged);
  for (const options of [{ cache: null }, { cache: join(place, "verify-cache") }]) {
    const sound = await verify({ path: "org/result", hub: hubOf(options) });
    assert.deepEqual([sound.sound, sound.manifest, sound.whole], [true, "weight-diff.json", false]);
    await hub.forget();
    const payload = await verify({ path: "org/encoded", hub: hubOf(options) });
    assert.deepEqual([payload.sound, payload.files, payload.whole, payload.findings], [true, 9, true, []]);
    assert.deepEqual(
      hub.log.filter(({ url }) => url.includes("pytorch_model-")),
      [],
    );
    const { findings } = await verify({ path: "org/damaged", hub: hubOf(options) });
    const digests = findings
      .filter(({ check, level }) => check === "digests" && level === "error")
      .map(({ file, message }) => [file, message]);
    assert.deepEqual(digests, [
      ["config.json", "missing: the manifest lists it"],
      [weights, "differs: its sha256 is not the one in the manifest"],
    ]);
  }
});
