/**
 * recover from a Hub: cold, from our cache, from the Python client's cache, offline, and without a cache, all with the bytes of a local
 * run; and the Python client finds what we fetched. The test Hub is held against that client in hub-server.test.ts.
 */
import assert from "node:assert/strict";
import {
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type RecoverOptions, recover } from "../../src/commands/recover.js";
import type { HubOptions } from "../../src/hub/settings.js";
import { BASE, DIFF } from "../cli/command.js";
import { startPython } from "../hub/python.js";
import { commit, filesOf, type Repo, repoFile } from "../hub/repo.js";
import { startHub, type TestHub } from "../hub/server.js";
import { FIXTURES } from "../support/fixtures.js";
import { refuses } from "../support/refusal.js";

const python = process.env.WEIGHT_DIFF_PYTHON;
const skip = python === undefined && process.env.CI !== "true" ? "WEIGHT_DIFF_PYTHON names no Python" : false;

let hub: TestHub;
let base: Repo;
let place: string;
let runs = 0;

before(async () => {
  place = mkdtempSync(join(tmpdir(), "weight-diff-"));
  hub = await startHub();
  base = hub.add("org/base", filesOf(BASE));
  hub.add("org/diff", filesOf(DIFF));
  await recover({ raw: BASE, diff: DIFF, tuned: join(place, "local") });
});
after(async () => {
  await hub.close();
  rmSync(place, { recursive: true, force: true });
});
beforeEach(() => hub.forget());

/** Recovers into a folder of its own. @returns the folder. */
async function recovered(options: HubOptions, more: Partial<RecoverOptions> = {}): Promise<string> {
  const tuned = join(place, `run-${runs++}`);
  await recover({ raw: "org/base", diff: "org/diff", tuned, hub: hubOf(options), ...more });
  return tuned;
}

function hubOf(options: HubOptions): HubOptions {
  return {
    endpoint: hub.endpoint,
    environment: { HF_HOME: join(place, "home") },
    patience: { pauseMs: 1 },
    ...options,
  };
}

/** Every file but the manifest is that of the local run; the manifest differs in where the inputs came from, and only there. */
function assertLocalBytes(folder: string): void {
  const local = join(place, "local");
  assert.deepEqual(readdirSync(folder).sort(), readdirSync(local).sort());
  for (const file of readdirSync(local)) {
    if (file !== "weight-diff.json") {
      assert.ok(readFileSync(join(local, file)).equals(readFileSync(join(folder, file))), file);
    }
  }
  const manifest = (from: string) => JSON.parse(readFileSync(join(from, "weight-diff.json"), "utf8"));
  const { raw, diff, digest: _, ...rest } = manifest(folder);
  const { raw: _raw, diff: _diff, digest: __, ...expected } = manifest(local);
  assert.deepEqual(rest, expected);
  assert.deepEqual([raw.repo, diff.repo, raw.commit], ["org/base", "org/diff", base.branches.get("main")]);
  for (const { file, sha256 } of raw.files) {
    assert.equal(sha256, filesOf(BASE).get(file)?.lfs?.oid);
  }
}

function fetchedFromCdn(): number {
  return hub.log.filter(({ port }) => port === "cdn").reduce((sum, { sent }) => sum + sent, 0);
}

for (const name of ["one-spare-tied", "more-sharded", "gist-more"]) {
  test(`a base's rows are held against its tokenizer, which is fetched too: ${name}`, async () => {
    const pair = join(FIXTURES, "rows", name);
    hub.add(`rows/${name}-base`, filesOf(join(pair, "base")));
    hub.add(`rows/${name}-diff`, filesOf(join(pair, "diff")));
    const { scheme, tensors } = JSON.parse(readFileSync(join(pair, "expect.json"), "utf8"));
    for (const options of [{}, { cache: null }]) {
      const found = await recover({
        ...{ raw: `rows/${name}-base`, diff: `rows/${name}-diff`, scheme, ignore: ["bit-census"] },
        hub: hubOf(options),
      });
      const digests = (list: readonly { name: string; sha256: string }[]): unknown =>
        Object.fromEntries(list.map((tensor) => [tensor.name, tensor.sha256]));
      assert.deepEqual(digests(found.tensors), digests(tensors));
    }
  });
}

test("a cold cache, a warm one, offline, and no cache: the bytes of a local run, and the same manifest", async () => {
  const cache = join(place, "ours");
  const cold = await recovered({ cache });
  assertLocalBytes(cold);
  await hub.forget();
  const warm = await recovered({ cache });
  assert.equal(fetchedFromCdn(), 0, "fetched again");
  await hub.forget();
  const offline = await recovered({ cache, offline: true });
  assert.deepEqual(hub.log, [], "asked the Hub while offline");
  const streamed = await recovered({ cache: null });
  const manifest = readFileSync(join(cold, "weight-diff.json"));
  for (const folder of [warm, offline, streamed]) {
    assertLocalBytes(folder);
    assert.ok(readFileSync(join(folder, "weight-diff.json")).equals(manifest), folder);
  }
});

test("without a cache, nothing is left on the disk but the output", async () => {
  const temporary = mkdtempSync(join(place, "tmp-"));
  const before = process.env.TMPDIR;
  process.env.TMPDIR = temporary;
  try {
    assertLocalBytes(await recovered({ cache: null }));
  } finally {
    if (before === undefined) {
      delete process.env.TMPDIR;
    } else {
      process.env.TMPDIR = before;
    }
  }
  assert.deepEqual(readdirSync(temporary), []);
});

test("threads read from the Hub too", async () => {
  assertLocalBytes(await recovered({ cache: null }, { threads: 2 }));
});

test("without a cache, no address is asked for twice, and no sample", async () => {
  assertLocalBytes(await recovered({ cache: null }, { threads: 2 }));
  const asked = hub.log.filter(({ method, port }) => method === "HEAD" && port === "hub").map(({ url }) => url);
  assert.equal(new Set(asked).size, asked.length);
  // Before the run, both ends of a file and the places of all samples; in it, each tensor once.
  const ranges = hub.log.filter(({ port }) => port === "cdn").map(({ url, range }) => `${url} ${range}`);
  assert.equal(new Set(ranges).size, ranges.length);
});

test("a base whose bytes do not come keeps nobody who mistyped the diff, and is asked no more", async () => {
  const silent = await startHub();
  try {
    silent.add("org/base", filesOf(BASE));
    silent.fault(/^GET cdn .*[.](bin|safetensors)/, { kind: "stall", after: 0 }, Number.POSITIVE_INFINITY);
    const started = performance.now();
    const asked = { endpoint: silent.endpoint, cache: null };
    await refuses(() => recovered(asked, { diff: join(place, "nothing-here") }), "NOT_FOUND", /nothing-here/);
    assert.ok(performance.now() - started < 5000);
    await silent.forget();
    await sleep(100);
    assert.deepEqual(silent.log, []);
  } finally {
    await silent.close();
  }
});

test("the cache is laid out as the Python client lays it out", async () => {
  const cache = join(place, "layout");
  await recovered({ cache });
  const folder = join(cache, "models--org--base");
  const commitOf = base.branches.get("main") ?? "";
  assert.equal(readFileSync(join(folder, "refs/main"), "utf8"), commitOf);
  assert.match(readFileSync(join(cache, "CACHEDIR.TAG"), "utf8"), /^Signature: 8a477f597d28d172789f06886806bc55\n/);
  const expected = filesOf(BASE);
  const names = readdirSync(join(folder, "snapshots", commitOf));
  assert.ok(names.includes("pytorch_model-00002-of-00002.bin"));
  for (const name of names) {
    const file = expected.get(name);
    assert.equal(
      readlinkSync(join(folder, "snapshots", commitOf, name)),
      join("../../blobs", file?.lfs?.oid ?? file?.oid ?? ""),
    );
    assert.ok(readFileSync(join(folder, "snapshots", commitOf, name)).equals(file?.bytes ?? Buffer.alloc(0)), name);
  }
  assert.deepEqual(
    readdirSync(join(folder, "blobs")).filter((name) => name.includes(".")),
    [],
    "parts are left",
  );
});

test("where links are not wanted, the snapshot holds the files themselves, and they are used again", async () => {
  const cache = join(place, "copies");
  const environment = { HF_HOME: join(place, "home"), HF_HUB_DISABLE_SYMLINKS: "1" };
  assertLocalBytes(await recovered({ cache, environment }));
  const snapshot = join(cache, "models--org--base/snapshots", base.branches.get("main") ?? "");
  assert.ok(readdirSync(snapshot).every((name) => lstatSync(join(snapshot, name)).isFile()));
  await hub.forget();
  await recovered({ cache, environment });
  assert.equal(fetchedFromCdn(), 0);
});

test("only what the plan needs is fetched: one set of weights, no training state, no other folder", async () => {
  const more = new Map([
    ["model.safetensors.index.json.bak", repoFile("", Buffer.from("x"))],
    ["training_args.bin", repoFile("training_args.bin", Buffer.alloc(5000, 1))],
    ["tf_model.h5", repoFile("tf_model.h5", Buffer.alloc(5000, 1))],
    ["checkpoint-1/pytorch_model.bin", repoFile("pytorch_model.bin", Buffer.alloc(5000, 1))],
  ]);
  hub.add("org/full", new Map([...filesOf(DIFF), ...more]));
  assertOnlyNeeded(await recovered({ cache: join(place, "needed") }, { diff: "org/full" }));
  function assertOnlyNeeded(folder: string): void {
    assert.ok(statSync(join(folder, "model.safetensors")).size > 0);
    const asked = hub.log.filter(({ url }) => /training_args|tf_model|checkpoint-1\/|\.bak/.test(url));
    assert.deepEqual(asked, []);
  }
});

test("a dry run and a refusal fetch no weights", async () => {
  const notes: string[] = [];
  const options = { raw: "org/base", diff: "org/diff", hub: hubOf({ cache: join(place, "dry") }) };
  await recover({ ...options, dryRun: true, onNote: (text) => notes.push(text) });
  assert.ok(
    notes.some((text) => /^1\.\d+ MB of weights would be fetched into the cache$/.test(text)),
    notes.join("\n"),
  );
  await refuses(() => recover({ ...options, diff: "org/base" }), "NOT_A_DIFF", /org\/base/);
  const blobs = readdirSync(join(place, "dry/models--org--base/blobs"));
  assert.ok(blobs.length > 0);
  const large = [...filesOf(BASE)].filter(([name]) => name.endsWith(".bin")).map(([, { lfs }]) => lfs?.oid ?? "");
  assert.deepEqual(
    blobs.filter((name) => large.includes(name)),
    [],
  );
});

test("a damaged blob is found and fetched again: of another size, and of the same", async () => {
  const cache = join(place, "damaged");
  await recovered({ cache });
  const blob = (name: string): string =>
    join(cache, "models--org--base/blobs", filesOf(BASE).get(name)?.lfs?.oid ?? "");
  truncateSync(blob("pytorch_model-00001-of-00002.bin"), 100_000);
  const bytes = readFileSync(blob("pytorch_model-00002-of-00002.bin"));
  bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
  writeFileSync(blob("pytorch_model-00002-of-00002.bin"), bytes);
  await hub.forget();
  assertLocalBytes(await recovered({ cache }));
  assert.ok(fetchedFromCdn() > 0);
});

test("offline, a damaged blob is refused by name", async () => {
  const cache = join(place, "damaged-offline");
  await recovered({ cache });
  const blob = join(
    cache,
    "models--org--base/blobs",
    filesOf(BASE).get("pytorch_model-00002-of-00002.bin")?.lfs?.oid ?? "",
  );
  const bytes = readFileSync(blob);
  bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
  writeFileSync(blob, bytes);
  await refuses(
    () => recovered({ cache, offline: true }),
    "HUB_OFFLINE",
    /pytorch_model-00002-of-00002\.bin: damaged in the cache/,
  );
});

test("a branch that moved is followed, and the older commit is still there by its name", async () => {
  const repo = hub.add("org/moving", filesOf(DIFF));
  const cache = join(place, "moving");
  const first = repo.branches.get("main") ?? "";
  await recovered({ cache }, { diff: "org/moving" });
  commit(repo, "main", "card", new Map([["README.md", repoFile("README.md", Buffer.from("new\n"))]]));
  await hub.forget();
  await recovered({ cache }, { diff: "org/moving" });
  assert.equal(fetchedFromCdn(), 0, "weights are the same blobs");
  const folder = await recovered({ cache, offline: true }, { diff: `org/moving@${first}` });
  assert.equal(JSON.parse(readFileSync(join(folder, "weight-diff.json"), "utf8")).diff.commit, first);
});

test("revisions, folders and single files are named", async () => {
  const nested = new Map([...filesOf(DIFF)].map(([name, file]) => [`exports/v1/${name}`, file] as const));
  const repo = hub.add("org/nested", nested);
  repo.tags.set("v1.0", repo.branches.get("main") ?? "");
  assertSame(await recovered({ cache: join(place, "nested") }, { diff: "hf://org/nested@v1.0/exports/v1" }));
  assertSame(await recovered({ cache: null }, { diff: "hf://org/nested/exports/v1" }));
  function assertSame(folder: string): void {
    assert.ok(
      readFileSync(join(folder, "model.safetensors")).equals(readFileSync(join(place, "local/model.safetensors"))),
    );
    assert.ok(readdirSync(folder).includes("tokenizer_config.json"));
  }
});

test("a directory of that name wins", async () => {
  const { chdir, cwd } = process;
  const here = cwd();
  const folder = mkdtempSync(join(place, "cwd-"));
  const { cpSync } = await import("node:fs");
  cpSync(BASE, join(folder, "org/base"), { recursive: true });
  chdir(folder);
  try {
    await recover({ raw: "org/base", diff: DIFF, hub: hubOf({ cache: null }) });
  } finally {
    chdir(here);
  }
  assert.deepEqual(hub.log, []);
});

test("what the Python client fetched is used, and it finds what we fetched", { skip }, async () => {
  assert.ok(python !== undefined);
  const theirs = join(place, "theirs");
  const online = startPython(python, { HF_ENDPOINT: hub.endpoint, HF_HOME: theirs });
  for (const id of ["org/base", "org/diff"]) {
    assert.equal((await online.call("snapshot_download", { repo_id: id })).error, undefined);
  }
  await online.close();
  await hub.forget();
  const cache = join(theirs, "hub");
  assertLocalBytes(await recovered({ cache }));
  assert.equal(fetchedFromCdn(), 0, "fetched again");
  assertLocalBytes(await recovered({ cache, offline: true }));

  const ours = join(place, "for-python");
  await recovered({ cache: join(ours, "hub") });
  const offline = startPython(python, { HF_ENDPOINT: hub.endpoint, HF_HOME: ours, HF_HUB_OFFLINE: "1" });
  await hub.forget();
  const { value, error, message } = await offline.call("hf_hub_download", {
    repo_id: "org/base",
    filename: "pytorch_model-00001-of-00002.bin",
  });
  assert.equal(error, undefined, message);
  assert.ok(
    readFileSync(String(value)).equals(filesOf(BASE).get("pytorch_model-00001-of-00002.bin")?.bytes ?? Buffer.alloc(0)),
  );
  const scanned = await offline.call("scan_cache_dir", {});
  assert.deepEqual((scanned.value as { warnings?: readonly unknown[] }).warnings, []);
  await offline.close();
  assert.deepEqual(hub.log, []);
});
