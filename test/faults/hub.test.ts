/** A Hub and a line that fail, lie and attack: every run ends with the bytes of a local one, or with the right error and no token out. */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import type { RecoverReport } from "../../src/commands/recover/report.js";
import { type RecoverOptions, recover } from "../../src/commands/recover.js";
import { type ErrorCode, EXIT_CODES, WeightDiffError } from "../../src/errors.js";
import type { HubOptions } from "../../src/hub/settings.js";
import { BASE, DIFF } from "../cli/command.js";
import type { Fault } from "../hub/faults.js";
import { filesOf, type RepoFile, repoFile } from "../hub/repo.js";
import { startHub, type TestHub } from "../hub/server.js";
import { writePair } from "../support/models.js";
import { refuses } from "../support/refusal.js";

const TOKEN = "hf_secret_of_a_user";
const WEIGHTS = "model-00001-of-00002.safetensors";
const HOME = mkdtempSync(join(tmpdir(), "weight-diff-"));
/** Files of some 80 (base) and 160 kB (diff). */
const MATRICES = [
  { name: "model.embed_tokens.weight", rows: 50, columns: 128, newRows: 1 },
  ...[0, 1, 2, 3, 4].map((k) => ({ name: `model.layers.${k}.mlp.up_proj.weight`, rows: 100, columns: 128 })),
];
let base: ReadonlyMap<string, RepoFile>;
let diff: ReadonlyMap<string, RepoFile>;
let local: RecoverReport["tensors"];
let hub: TestHub;
let runs = 0;

before(async () => {
  const pair = await writePair(HOME, MATRICES);
  base = filesOf(pair.raw);
  diff = filesOf(pair.diff);
  local = (await recover(pair)).tensors;
});
beforeEach(async (t) => {
  hub = await startHub();
  hub.add("org/base", base);
  hub.add("org/diff", diff);
  hub.account(TOKEN, { namespaces: [] });
  if ("after" in t) {
    t.after(() => hub.close());
  }
});
after(() => rmSync(HOME, { recursive: true }));

/** Recovers from the Hub, with little patience; nothing is written but the cache. */
function run(
  how: "cached" | "streamed",
  more: Partial<RecoverOptions> = {},
  options: HubOptions = {},
): Promise<RecoverReport> {
  const settings: HubOptions = {
    endpoint: hub.endpoint,
    token: TOKEN,
    cache: how === "cached" ? join(HOME, `cache-${runs++}`) : null,
    environment: {},
    patience: { attempts: 4, pauseMs: 1, answerMs: 5000, silenceMs: 5000 },
    ...options,
  };
  return recover({ raw: "org/base", diff: "org/diff", threads: 0, hub: settings, ...more });
}

/** Every tensor has the digest that a local run gives. */
function assertLocalBytes({ tensors }: RecoverReport): void {
  assert.deepEqual(tensors, local);
}

/** Whatever happens, the token stays between us and the Hub. */
function assertTokenAtHome(): void {
  assert.deepEqual(
    hub.log.filter(({ port, token }) => port !== "hub" && token),
    [],
  );
}

const CDN = /^GET cdn/;
const BUSY = { kind: "status", status: 503 } as const;
/** What a later attempt gets over. `times` is below the number of attempts. */
const PASSING: readonly (readonly [what: string, when: RegExp, fault: Fault, times: number])[] = [
  ["a busy storage", CDN, BUSY, 3],
  ["a busy Hub, when a file is looked up", /^HEAD hub/, { kind: "status", status: 500 }, 3],
  ["a busy Hub, when files are listed", /\/tree\//, { kind: "status", status: 502 }, 3],
  ["a busy Hub, when the commit is asked for", /\/revision\//, { kind: "status", status: 504 }, 3],
  ["too many requests", /^HEAD hub/, { kind: "status", status: 429, headers: { "retry-after": "0" } }, 3],
  ["a request that took too long for the server", CDN, { kind: "status", status: 408 }, 2],
  ["cut connections", CDN, { kind: "cut", after: 40_000 }, 6],
  ["connections cut at once", CDN, { kind: "cut", after: 0 }, 3],
  ["a lost answer", /^HEAD hub/, { kind: "lost" }, 3],
  ["a storage that falls silent", CDN, { kind: "stall", after: 1000 }, 2],
  ["a storage that never answers", CDN, { kind: "stall", after: 0 }, 2],
  ["a Hub that falls silent in a listing", /\/tree\//, { kind: "stall", after: 10 }, 1],
  ["an expired address", CDN, { kind: "status", status: 403 }, 3],
  ["a whole file instead of a range", CDN, { kind: "ignore-range" }, 3],
  ["another range", CDN, { kind: "content-range", value: "bytes 0-9/10" }, 3],
  ["a range that is none", CDN, { kind: "content-range", value: "nonsense" }, 3],
  ["a login page instead of a file", CDN, { kind: "html" }, 3],
  ["a login page instead of a listing", /\/tree\//, { kind: "html" }, 3],
  ["a packed answer", CDN, { kind: "gzip" }, 3],
  ["fewer bytes than announced", CDN, { kind: "content-length", by: 10 }, 3],
  ["more bytes than announced", CDN, { kind: "content-length", by: -10 }, 3],
  ["small files that are cut", /config\.json/, { kind: "cut", after: 3 }, 3],
];

/** What comes before any weights is the same with and without a cache. */
function waysFor(when: RegExp): readonly ("cached" | "streamed")[] {
  return when === CDN ? ["cached", "streamed"] : ["streamed"];
}

/** Silence is not waited for; whatever is slow because the machine is busy must not look like it. */
function patienceFor(fault: Fault): HubOptions {
  const patience = { attempts: 4, pauseMs: 1, answerMs: 5000, silenceMs: 5000 };
  return fault.kind === "stall"
    ? { patience: { ...patience, answerMs: 400, silenceMs: 400 } }
    : fault.kind === "slow"
      ? { patience: { ...patience, wholeMs: 300, rateMs: 300 } }
      : {};
}

for (const [what, when, fault, times] of PASSING) {
  for (const how of waysFor(when)) {
    test(`${what}, ${how}: the bytes of a local run`, async () => {
      hub.fault(when, fault, times);
      assertLocalBytes(await run(how, {}, patienceFor(fault)));
      assertTokenAtHome();
      const [rule] = hub.log.filter(({ method, port, url }) => when.test(`${method} ${port} ${url}`));
      assert.ok(rule !== undefined, "nothing was asked that the fault could meet");
    });
  }
}

/** Whichever is noticed first. */
const DRIPS = /no whole answer for 0\.3 s|bytes in 0 s, which is too slow/;
/** What does not pass: [what, requests, fault, code, words]. */
const LASTING: readonly (readonly [what: string, when: RegExp, fault: Fault, code: ErrorCode, words: RegExp])[] = [
  ["a storage that stays busy", CDN, BUSY, "NETWORK", /model-0000.*answers 503 \(tried 4 times\)/],
  ["a storage that never answers", CDN, { kind: "stall", after: 0 }, "NETWORK", /no answer for 0\.4 s/],
  ["a storage that falls silent at once", CDN, { kind: "stall", after: 1 }, "NETWORK", /silence for 0\.4 s/],
  ["an address that is always expired", CDN, { kind: "status", status: 403 }, "NETWORK", /expired/],
  ["a login page for every file", CDN, { kind: "html" }, "NETWORK", /HTML page/],
  ["a login page for every listing", /\/tree\//, { kind: "html" }, "NETWORK", /no list of files/],
  ["a listing without end", /\/tree\//, { kind: "endless-pages" }, "LIMIT", /more than \d+ pages/],
  ["a listing of forty megabytes", /\/tree\//, { kind: "huge-json", bytes: 4e7 }, "NETWORK", /more than \d+ bytes/],
  ["a listing of something else", /\/tree\//, { kind: "json", body: [1, null, "x"] }, "NOT_FOUND", /no weights/],
  ["a commit that is a path", /\/revision\//, { kind: "json", body: { sha: "../../.." } }, "NETWORK", /no commit/],
  ["no commit at all", /\/revision\//, { kind: "json", body: [] }, "NETWORK", /./],
  [
    "a redirect to another scheme",
    /^HEAD hub/,
    { kind: "location", to: "file:///etc/passwd" },
    "NETWORK",
    /not followed/,
  ],
  ["a storage that drips", CDN, { kind: "slow", chunk: 1, ms: 5 }, "NETWORK", /bytes in 0 s, which is too slow/],
  ["a listing that drips", /\/tree\//, { kind: "slow", chunk: 1, ms: 5 }, "NETWORK", DRIPS],
  ["a commit that drips", /\/revision\//, { kind: "slow", chunk: 1, ms: 5 }, "NETWORK", DRIPS],
  ["a small file that drips", /tokenizer\.json/, { kind: "slow", chunk: 1, ms: 200 }, "NETWORK", /too slow/],
  ["a redirect to itself", /^HEAD hub/, { kind: "location", to: "?again" }, "NETWORK", /redirects/],
];

for (const [what, when, fault, code, words] of LASTING) {
  for (const how of waysFor(when)) {
    test(`${what}, ${how}: ${code}`, async () => {
      hub.fault(when, fault, 10_000);
      await refuses(() => run(how, {}, patienceFor(fault)), code, words);
      assertTokenAtHome();
    });
  }
}

test("a repository that was found is not taken for a mistyped path", async () => {
  hub.fault(/\/tree\//, BUSY, 100);
  await refuses(() => run("streamed"), "NETWORK", /^org\/diff@[0-9a-f]{8}: 127\.0\.0\.1:\d+ answers 503/);
});

for (const how of ["cached", "streamed"] as const) {
  test(`files that are in Xet storage come over plain HTTP, and nobody asks its servers, ${how}`, async () => {
    const auth = `<${hub.foreign}/api/models/org/diff/xet-read-token/1>; rel="xet-auth"`;
    const rebuild = `<${hub.foreign}/v1/reconstructions/0>; rel="xet-reconstruction-info"`;
    const headers = { "x-xet-hash": "0".repeat(64), link: `${auth}, ${rebuild}` };
    hub.fault(/^HEAD hub .*safetensors/, { kind: "headers", headers }, 100);
    assertLocalBytes(await run(how));
    assert.ok(hub.log.every(({ port }) => port !== "foreign"));
    assertTokenAtHome();
  });
}

test("a flipped byte is fetched again into the cache; one that always comes is an error that says so", async () => {
  const whole = /^GET cdn \S+$/;
  hub.fault(whole, { kind: "flip", at: 777 });
  assertLocalBytes(await run("cached"));
  hub.fault(whole, { kind: "flip", at: 777 }, 10_000);
  await refuses(() => run("cached"), "NETWORK", /arrived damaged 2 times: its digest must be [0-9a-f]{64}/);
});

test("a flipped byte in a small file is noticed too, with and without a cache", async () => {
  for (const how of ["cached", "streamed"] as const) {
    const before = hub.log.length;
    hub.fault(/^GET hub .*tokenizer\.json/, { kind: "flip", at: 7 });
    assertLocalBytes(await run(how));
    assert.equal(
      hub.log.slice(before).filter(({ method, url }) => method === "GET" && url.includes("tokenizer.json")).length,
      2,
    );
  }
});

test("a flipped byte in a stream is found by the sum of the archive's record", async () => {
  hub.add("org/torch", filesOf(DIFF));
  hub.add("org/torch-base", filesOf(BASE));
  hub.fault(/^GET cdn.*pytorch_model-00002-of-00003.* bytes=/, { kind: "flip", at: 20_000 }, 10_000);
  await refuses(() => run("streamed", { raw: "org/torch-base", diff: "org/torch" }), "CRC_MISMATCH", /CRC/);
});

test("a server without ranges cannot be streamed from", async () => {
  hub.fault(CDN, { kind: "ignore-range" }, 10_000);
  await refuses(() => run("streamed"), "NETWORK", /the whole file came, and a range of it was asked for/);
});

test("bytes that another host has are fetched without the token, and are not trusted", async () => {
  for (const how of ["cached", "streamed"] as const) {
    hub.fault(/^HEAD hub/, { kind: "foreign-host" }, 10_000);
    await refuses(() => run(how), "NETWORK", /./);
  }
  assertTokenAtHome();
  assert.ok(hub.log.some(({ port }) => port === "foreign"));
});

test("a listing that goes on at another host is not followed", async () => {
  const link = `<${hub.foreign}/api/models/org/diff/tree/main>; rel="next"`;
  hub.fault(/\/tree\//, { kind: "json", body: [], headers: { link } }, 100);
  await refuses(() => run("cached"), "NETWORK", /goes on at another host/);
  assert.ok(hub.log.every(({ port }) => port !== "foreign"));
});

/** [what repeats the token, requests, fault]. */
const ECHOES: readonly (readonly [what: string, when: RegExp, fault: Fault])[] = [
  ["an ETag", /^HEAD hub/, { kind: "headers", headers: { "x-linked-etag": `"${TOKEN}"` } }],
  ["a size", /^HEAD hub/, { kind: "headers", headers: { "x-linked-size": TOKEN } }],
  ["a range", CDN, { kind: "content-range", value: `bytes ${TOKEN}` }],
  ["an encoding", CDN, { kind: "headers", headers: { "content-encoding": TOKEN } }],
  ["a host", /^HEAD hub/, { kind: "location", to: `http://${TOKEN}.invalid/x` }],
  [
    "words",
    /\/tree\//,
    { kind: "status", status: 418, headers: { "x-error-message": `no, ${"x".repeat(150)}${TOKEN}` } },
  ],
  ["a commit", /\/revision\//, { kind: "json", body: { sha: TOKEN } }],
  ["a page", /\/tree\//, { kind: "json", body: [], headers: { link: `<http://${TOKEN}.invalid/>; rel="next"` } }],
  ["a key", /\/tree\//, { kind: "json", body: [{ type: "file", path: "a", size: 1, oid: TOKEN, [TOKEN]: 1 }] }],
  [
    "the names of files",
    /models\/org\/diff\/tree\//,
    {
      kind: "json",
      body: [`tokenizer_${TOKEN}.json`, `${TOKEN}.bin`, TOKEN].map((path) => {
        return { type: "file", path, size: 3, oid: "0".repeat(40) };
      }),
    },
  ],
];

for (const [what, when, fault] of ECHOES) {
  test(`${what} that repeats the token does not bring it into a message or onto the disk`, async () => {
    hub.fault(when, fault, 10_000);
    const told: string[] = [];
    const listen = { onNote: (text: string) => told.push(text), onWarning: (text: string) => told.push(text) };
    const error: unknown = await run("cached", listen).catch((caught: unknown) => caught);
    assert.ok(error instanceof WeightDiffError, String(error));
    told.push(error.message, error.hint ?? "", error.fact);
    for (let cause: unknown = error; cause instanceof WeightDiffError; cause = cause.cause) {
      told.push(cause.message);
    }
    const names = readdirSync(HOME, { recursive: true, encoding: "utf8" });
    assert.deepEqual(
      [...told, ...names].filter((text) => text.toLowerCase().includes(TOKEN)),
      [],
    );
    assertTokenAtHome();
  });
}

const HOSTILE = [
  "../../outside",
  "..",
  "/etc/outside",
  "C:\\outside",
  "a\\..\\..\\outside",
  "a/../../outside",
  "outside\0.json",
  "CON",
  "nul.json",
  `tokenizer${"x".repeat(100_000)}.json`,
  "CONFIG.JSON",
  "tokenizer.json",
  "__proto__",
  "",
];

test("hostile names in a listing reach no disk, and the rest is recovered", async () => {
  for (const how of ["cached", "streamed"] as const) {
    const listed = [...diff].map(([path, { bytes, oid, lfs }]) => ({
      ...{ type: "file", path, size: bytes.length, oid },
      ...(lfs === null ? {} : { lfs: { oid: lfs.oid, size: bytes.length, pointerSize: lfs.pointerSize } }),
    }));
    const hostile = HOSTILE.map((path) => ({ type: "file", path, size: 3, oid: "0".repeat(40) }));
    hub.fault(/models\/org\/diff\/tree\//, { kind: "json", body: [...listed, ...hostile] });
    assertLocalBytes(await run(how));
    const names = [...readdirSync(HOME, { recursive: true, encoding: "utf8" }), ...readdirSync(join(HOME, ".."))];
    assert.deepEqual(
      names.filter((name) => /outside|xxxx/.test(name)),
      [],
    );
  }
});

test("a file of another size or digest than the list has is refused before it is read", async () => {
  for (const how of ["cached", "streamed"] as const) {
    const listed = [...diff].map(([path, { bytes, oid, lfs }]) => ({
      ...{ type: "file", path, size: bytes.length, oid },
      ...(lfs === null
        ? {}
        : { lfs: { oid: lfs.oid, size: bytes.length + (path === WEIGHTS ? 64 : 0), pointerSize: 1 } }),
    }));
    hub.fault(/models\/org\/diff\/tree\//, { kind: "json", body: listed });
    await refuses(() => run(how), "INPUT_CHANGED", new RegExp(`${WEIGHTS}: the repository's list has`));
  }
});

/** What to do is always said, and where. */
const REFUSED: readonly (readonly [
  what: string,
  repo: string,
  token: string | null,
  code: ErrorCode,
  words: RegExp,
  hint: RegExp,
])[] = [
  ["gated, without a token", "org/gated", null, "HUB_GATED", /terms must be accepted/, /org\/gated.*HF_TOKEN/],
  ["gated, not let in", "org/gated", TOKEN, "HUB_GATED", /terms must be accepted/, /org\/gated, with the account/],
  ["private or missing, without a token", "org/hidden", null, "HUB_NO_REPO", /private/, /HF_TOKEN/],
  ["private, with a stranger's token", "org/hidden", TOKEN, "HUB_NO_REPO", /this token may see/, /org\/hidden/],
  ["missing", "org/nothing", TOKEN, "HUB_NO_REPO", /no such repository/, /org\/nothing/],
  ["a bad token", "org/diff", "hf_bad", "HUB_DENIED", /token is not accepted/, /settings\/tokens/],
  ["a missing revision", "org/diff@v9", null, "HUB_NO_REVISION", /no such revision/, /org\/diff/],
  ["a missing file", "hf://org/diff/none.bin", null, "HUB_NO_FILE", /no file none\.bin/, /org\/diff\/tree/],
  ["a missing folder", "hf://org/diff/none", null, "HUB_NO_FILE", /none/, /org\/diff/],
  ["a disabled repository", "org/closed", TOKEN, "HUB_DENIED", /disabled/, /org\/closed/],
  ["no weights", "org/card", null, "NOT_FOUND", /no weights|index|shard/, /./],
  ["a shard that is not there", "org/hole", null, "NOT_FOUND", new RegExp(WEIGHTS), /./],
];

for (const [what, repo, token, code, words, hint] of REFUSED) {
  test(`${what}: ${code}, with what to do`, async () => {
    hub.add("org/gated", diff, { gated: true });
    hub.add("org/hidden", diff, { private: true });
    hub.add("org/closed", diff, { disabled: true });
    hub.add("org/card", new Map([...diff].filter(([name]) => !/safetensors/.test(name))));
    hub.add("org/hole", new Map([...diff].filter(([name]) => name !== WEIGHTS)));
    await assert.rejects(run("cached", { diff: repo }, { token }), (error) => {
      assert.ok(error instanceof WeightDiffError, String(error));
      assert.equal(error.code, code, error.message);
      assert.equal(EXIT_CODES[error.code], 4);
      assert.match(error.message, words);
      assert.match(error.hint ?? "", hint);
      assert.ok(!`${error.message}${error.hint}`.includes(TOKEN));
      return true;
    });
    assertTokenAtHome();
  });
}

test("a renamed repository, redirected small files and lists in pages of two change nothing", async () => {
  hub.renames.set("org/old", "org/diff");
  hub.resolveCache = true;
  hub.pageSize = 2;
  for (const how of ["cached", "streamed"] as const) {
    assertLocalBytes(await run(how, { diff: "org/old" }));
  }
  assertTokenAtHome();
});

test("addresses that live shorter than a download are asked for again", async () => {
  hub.urlLifetimeMs = 100;
  hub.fault(CDN, { kind: "slow", chunk: 20_000, ms: 25 }, 3);
  hub.fault(CDN, { kind: "cut", after: 50_000 }, 3);
  assertLocalBytes(await run("cached"));
});

test("private repositories, whose addresses expire before threads read from them: the token stays at the Hub", async () => {
  hub.add("org/private-base", base, { private: true });
  hub.add("org/private-diff", diff, { private: true });
  hub.account(TOKEN, { namespaces: ["org"] });
  hub.urlLifetimeMs = 60;
  hub.fault(CDN, { kind: "delay", ms: 60 }, 30);
  assertLocalBytes(await run("streamed", { raw: "org/private-base", diff: "org/private-diff", threads: 2 }));
  assert.ok(hub.log.some(({ status }) => status === 403));
  assertTokenAtHome();
});

test("a server that sends one byte at a time cannot keep a run for ever", async () => {
  hub.fault(CDN, { kind: "cut", after: 1 }, 10_000);
  await refuses(() => run("cached"), "NETWORK", /model-0000/);
  assert.ok(hub.log.length < 500, String(hub.log.length));
});

test("a server that repeats the token does not make us show it", async () => {
  const headers = { "x-error-message": `who is ${TOKEN}?`, "x-error-code": "Custom" };
  hub.fault(/\/revision\//, { kind: "status", status: 403, headers }, 10);
  await assert.rejects(run("cached"), (error) => error instanceof WeightDiffError && !error.message.includes(TOKEN));
});

test("the token is in no file that a run leaves", async () => {
  hub.add("org/gated", new Map<string, RepoFile>([...diff, ["notes.txt", repoFile("", Buffer.from("x"))]]), {
    gated: true,
  });
  hub.account(TOKEN, { accepted: ["org/gated"] });
  assertLocalBytes(await run("cached", { diff: "org/gated", tuned: join(HOME, "gated") }));
  for (const entry of readdirSync(HOME, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    assert.ok(!entry.isFile() || !readFileSync(path).includes(TOKEN), path);
  }
});
