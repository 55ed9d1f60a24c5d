/** Repositories found and not found: what the Hub may answer, and what is made of it. */
import assert from "node:assert/strict";
import { lstatSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { openCheckpoint } from "../../../src/checkpoint/checkpoint.js";
import { WeightDiffError } from "../../../src/errors.js";
import type { Hub, HubPlace } from "../../../src/hub/place.js";
import { openHub } from "../../../src/hub/session.js";
import type { HubOptions } from "../../../src/hub/settings.js";
import { DIFF } from "../../cli/command.js";
import { filesOf, repoFile } from "../../hub/repo.js";
import { startHub, type TestHub } from "../../hub/server.js";
import { refuses } from "../../support/refusal.js";

const TOKEN = "hf_verysecret";
const TREE = /^GET hub \/api\/models\/[^/]+\/[^/]+\/tree\//;
const files = filesOf(DIFF);
let server: TestHub;
let place: string;

before(async () => {
  place = mkdtempSync(join(tmpdir(), "weight-diff-"));
  server = await startHub();
  server.add("org/diff", files);
  server.add("org/gated", files, { gated: true });
  server.add("org/private", files, { private: true });
  server.add("org/closed", files, { disabled: true });
  server.add("org/words", new Map([["README.md", repoFile("README.md", Buffer.from("# nothing\n"))]]));
  server.renames.set("org/old", "org/diff");
  server.account(TOKEN, { name: "someone", namespaces: ["org"], accepted: [] });
});
after(async () => {
  await server.close();
  rmSync(place, { recursive: true, force: true });
});
beforeEach(() => server.forget());

/** Opens a Hub with a cache of its own for as long as `work` takes. */
async function withHub<T>(options: HubOptions, work: (hub: Hub, cache: string) => Promise<T>): Promise<T> {
  const cache = mkdtempSync(join(place, "cache-"));
  const hub = openHub({
    endpoint: server.endpoint,
    environment: { HOME: place },
    patience: { attempts: 2, pauseMs: 1, silenceMs: 500 },
    cache,
    ...options,
  });
  try {
    return await work(hub, cache);
  } finally {
    await hub.close();
  }
}

const find = (name: string, options: HubOptions = {}): Promise<HubPlace | null> =>
  withHub(options, (hub) => hub.find(name));

for (const [what, name, token, code, message, hint] of [
  [
    "a gated repository, without a token",
    "org/gated",
    null,
    "HUB_GATED",
    /org\/gated: a gated repository/,
    /accept them at \S+\/org\/gated, then give a token/,
  ],
  [
    "a gated repository, with a token",
    "org/gated",
    TOKEN,
    "HUB_GATED",
    /a gated repository/,
    /accept them at \S+\/org\/gated, with the account/,
  ],
  ["a private repository, without a token", "org/private", null, "HUB_NO_REPO", /or a private one/, /HF_TOKEN/],
  [
    "a missing repository",
    "org/nothing",
    TOKEN,
    "HUB_NO_REPO",
    /org\/nothing: no such repository/,
    /check the name: \S+\/org\/nothing/,
  ],
  [
    "a missing revision",
    "org/diff@nowhere",
    null,
    "HUB_NO_REVISION",
    /org\/diff@nowhere: the repository has no such revision/,
    /\/org\/diff\/tree\/main/,
  ],
  ["a missing folder", "hf://org/diff@main/sub", null, "HUB_NO_FILE", /no such file/, /\/org\/diff\/tree\/main/],
  [
    "a missing file",
    "hf://org/diff/other.safetensors",
    null,
    "HUB_NO_FILE",
    /no file other\.safetensors/,
    /\/org\/diff\/tree\/[0-9a-f]{40}/,
  ],
  ["a disabled repository", "org/closed", null, "HUB_DENIED", /org\/closed/, /\/org\/closed/],
  ["a token that is not accepted", "org/diff", "hf_wrong", "HUB_DENIED", /token is not accepted/, /settings\/tokens/],
] as const) {
  test(`${what} has an error and a remedy of its own`, async () => {
    await assert.rejects(find(name, { token }), (error) => {
      assert.ok(error instanceof WeightDiffError, String(error));
      assert.equal(error.code, code, error.message);
      assert.match(error.message, message);
      assert.match(error.hint ?? "", hint);
      assert.doesNotMatch(`${error.message} ${error.hint}`, /secret|hf_wrong/);
      assert.ok(name !== "org/closed" || error.advice.length === 0, "no token opens what the Hub has disabled");
      return true;
    });
  });
}

test("a repository without weights says so, and where to look", () =>
  withHub({}, async (hub) => {
    await assert.rejects(openCheckpoint("org/words", hub), (error) => {
      assert.ok(error instanceof WeightDiffError);
      assert.equal(error.code, "NOT_FOUND");
      assert.match(error.message, /^org\/words: no weights here/);
      assert.match(error.hint ?? "", /\/org\/words\/tree\/[0-9a-f]{40}$/);
      return true;
    });
  }));

test("a name that could be a path tells both readings", () =>
  refuses(
    () => find("org/nothing"),
    "HUB_NO_REPO",
    /^org\/nothing: no file or directory here; as a repository of the Hub: /,
  ));

test("a renamed repository is followed", async () => {
  assert.equal((await find("org/old"))?.id, "org/old");
});

test("the token is sent to the Hub, and shown to nobody else", async () => {
  await withHub({ token: TOKEN }, async (hub) => {
    const checkpoint = await openCheckpoint("org/diff", hub);
    assert.ok(checkpoint.stateDict.size > 0);
  });
  assert.deepEqual([...new Set(server.log.map(({ port, token }) => `${port} ${token}`))].sort(), [
    "cdn false",
    "hub true",
  ]);
});

test("each name is asked for once in a session", () =>
  withHub({}, async (hub) => {
    await Promise.all([hub.find("org/diff"), hub.find("org/diff")]);
    await hub.find("org/diff");
    assert.equal(server.log.filter(({ url }) => url.includes("/revision/")).length, 1);
  }));

test("a list in pages is read to its end", async () => {
  server.pageSize = 3;
  try {
    const found = await find("org/diff");
    assert.deepEqual(
      [...(found?.names ?? [])].sort(),
      [".gitattributes", ...[...files.keys()].filter((name) => !name.includes("/"))].sort(),
    );
  } finally {
    server.pageSize = 1000;
  }
});

const entry = (path: string, more: object = {}): object => ({
  type: "file",
  path,
  size: 10,
  oid: "a".repeat(40),
  ...more,
});

test("names that lead out of the folder, or are two files on one disk, are left out and told", async () => {
  const hostile = [
    "../evil.json",
    "../../../../evil.bin",
    "/etc/evil.bin",
    "a\\evil.bin",
    "C:evil.bin",
    "nul.bin",
    "COM1",
    "evil.bin.",
    "evil\u0000.bin",
    "evil\n.bin",
    "",
    "..",
    "sub/inner.bin",
  ];
  server.fault(TREE, {
    kind: "json",
    body: [
      ...hostile.map((path) => entry(path)),
      entry("model.bin"),
      entry("MODEL.BIN"),
      entry("x.bin", { oid: "../../evil" }),
      entry("y.bin", { size: -1 }),
      7,
      null,
    ],
  });
  await withHub({}, async (hub, cache) => {
    const found = await hub.find("org/diff");
    assert.deepEqual(found?.names, ["model.bin"]);
    assert.equal(found?.notes.length, hostile.length + 5);
    const written = readdirSync(cache, { recursive: true, encoding: "utf8" });
    assert.ok(written.every((name) => !name.includes("evil") && !relative(cache, join(cache, name)).startsWith("..")));
  });
});

test("of a hundred odd names, twenty are told and the rest is counted", async () => {
  server.fault(TREE, { kind: "json", body: [entry("model.bin"), ...Array.from({ length: 100 }, () => ({}))] });
  const { names, notes = [] } = (await find("org/diff")) ?? {};
  assert.deepEqual([names, notes.length], [["model.bin"], 21]);
  assert.match(notes[20] ?? "", /^80 more entries of the Hub's list: left out$/);
});

for (const [what, body] of [
  ["many", Array.from({ length: 501 }, (_, k) => entry(`tokenizer_${k}.json`))],
  ["large", Array.from({ length: 9 }, (_, k) => entry(`tokenizer_${k}.json`, { size: 140_000_000 }))],
] as const) {
  test(`small files that are too ${what} together are refused before one is fetched`, async () => {
    await server.forget();
    server.fault(TREE, { kind: "json", body });
    await refuses(
      () => find("org/diff"),
      "LIMIT",
      /(501 small files of 5010 bytes|9 small files of 1260000000 bytes) beside the weights, at most 500 of 200000000/,
    );
    assert.equal(server.log.filter(({ url }) => url.includes("/resolve/")).length, 0);
  });
}

for (const [what, fault, code, message] of [
  ["is a page of HTML", { kind: "html" }, "NETWORK", /no list of files/],
  ["is an object", { kind: "json", body: { files: [] } }, "NETWORK", /no list of files/],
  [
    "holds too many entries",
    { kind: "json", body: Array.from({ length: 20_001 }, () => ({})) },
    "LIMIT",
    /20000 files/,
  ],
  ["holds one entry of a million values", { kind: "json", body: [Array(1_000_000).fill(0)] }, "LIMIT", /500000 values/],
  ["is too long", { kind: "huge-json", bytes: 40_000_000 }, "NETWORK", /more than 8000000 bytes/],
  ["has no end", { kind: "endless-pages" }, "LIMIT", /more than 100 pages/],
] as const) {
  test(`a list that ${what} is refused`, async () => {
    server.fault(TREE, fault, fault.kind === "endless-pages" ? 101 : 2);
    await refuses(() => find("org/diff"), code, message);
    // What is left of the fault must not meet the next test.
    await find("org/diff").catch(() => {});
  });
}

test("an answer that names no commit is refused", async () => {
  server.fault(/\/revision\//, { kind: "json", body: { sha: "../../x" } });
  await refuses(() => find("org/diff"), "NETWORK", /names no commit/);
});

test("a small file that arrives damaged is asked for again, and never kept", async () => {
  server.fault(/^GET \w+ \/org\/diff\/resolve\/\w+\/config\.json/, { kind: "flip", at: 3 });
  await withHub({}, async (hub) => {
    const checkpoint = await openCheckpoint("org/diff", hub);
    assert.ok(checkpoint.stateDict.size > 0);
  });
  server.fault(/^GET \w+ \/org\/diff\/resolve\/\w+\/config\.json/, { kind: "flip", at: 3 }, 2);
  await withHub({}, async (hub, cache) => {
    await refuses(() => hub.find("org/diff"), "NETWORK", /config\.json: arrived damaged 2 times/);
    const kept = readdirSync(cache, { recursive: true, encoding: "utf8" });
    assert.ok(!kept.some((name) => name.endsWith("/config.json")));
  });
});

/** Every file below the cache, and when it was last written. */
function stateOf(cache: string): readonly string[] {
  return readdirSync(cache, { recursive: true, encoding: "utf8" }).map(
    (name) => `${name} ${lstatSync(join(cache, name)).mtimeMs}`,
  );
}

/** Fails if anything is asked or written in the next moments, in which what the server held back arrives. */
async function staysQuiet(cache: string): Promise<void> {
  await server.forget();
  const before = stateOf(cache);
  await sleep(150);
  assert.deepEqual(server.log, []);
  assert.deepEqual(stateOf(cache), before);
}

for (const [what, slow] of [
  ["its address", /^HEAD hub \/org\/diff\/resolve\/\w+\/(tokenizer|special|generation)/],
  ["its bytes", /^GET \w+ .*(tokenizer|special|generation)/],
] as const) {
  test(`where one small file fails while another waits for ${what}, nothing is asked or written afterwards`, async () => {
    server.fault(slow, { kind: "delay", ms: 100 }, 4);
    server.fault(/^GET \w+ \/org\/diff\/resolve\/\w+\/config\.json/, { kind: "flip", at: 3 }, 2);
    await withHub({}, async (hub, cache) => {
      await refuses(() => hub.find("org/diff"), "NETWORK", /config\.json: arrived damaged 2 times/);
      await staysQuiet(cache);
    });
    await server.forget();
    await find("org/diff"); // what is left of the faults must not meet the next test
  });
}

for (const [what, slow] of [
  ["a list", TREE],
  ["a small file", /^GET \w+ \/org\/diff\/resolve\//],
] as const) {
  test(`a Hub that is closed while ${what} is on its way asks and writes nothing afterwards`, async () => {
    server.fault(slow, { kind: "delay", ms: 100 });
    const cache = mkdtempSync(join(place, "cache-"));
    let found: Promise<void> | undefined;
    await withHub({ cache }, async (hub) => {
      found = refuses(() => hub.find("org/diff"), "INTERRUPTED", /interrupted/);
      while (!server.log.some(({ method, port, url }) => slow.test(`${method} ${port} ${url}`))) {
        await sleep(1);
      }
    });
    await staysQuiet(cache);
    await found;
  });
}

test("offline: what is not in the cache is named, with the way to get it", async () => {
  await withHub({ offline: true }, async (hub) => {
    await assert.rejects(hub.find("org/diff@v1"), (error) => {
      assert.ok(error instanceof WeightDiffError);
      assert.equal(error.code, "HUB_OFFLINE");
      assert.match(error.message, /org\/diff@v1: offline, and it is not in the cache /);
      assert.match(error.hint ?? "", /go online once.*hf download org\/diff --revision v1/);
      return true;
    });
  });
  assert.deepEqual(server.log, []);
});

test("offline: weights that were never fetched are named", async () => {
  const cache = mkdtempSync(join(place, "cache-"));
  await withHub({ cache }, (hub) => hub.find("org/diff"));
  await withHub({ cache, offline: true }, async (hub) => {
    await refuses(
      () => openCheckpoint("org/diff", hub),
      "NOT_FOUND",
      /shard is missing, pytorch_model\.bin\.index\.json lists it/,
    );
  });
});
