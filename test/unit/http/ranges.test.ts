import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { after, before, beforeEach, test } from "node:test";
import { WeightDiffError } from "../../../src/errors.js";
import type { HubAccess, RemoteFile } from "../../../src/http/access.js";
import { networkOf } from "../../../src/http/network.js";
import { openRanges, withAddress } from "../../../src/http/ranges.js";
import { repoFile } from "../../hub/repo.js";
import { startHub, type TestHub } from "../../hub/server.js";
import { refuses } from "../../support/refusal.js";

const BYTES = randomBytes(300_000);
const NAME = "model.safetensors";
let hub: TestHub;
let url: string;

before(async () => {
  hub = await startHub();
  const repo = hub.add("org/name", new Map([[NAME, repoFile(NAME, BYTES)]]));
  hub.add("org/gated", new Map([[NAME, repoFile(NAME, BYTES)]]), { gated: true });
  hub.account("hf_secret", { namespaces: ["org"] });
  url = `${hub.endpoint}/org/name/resolve/${repo.branches.get("main")}/${NAME}`;
});
after(() => hub.close());
beforeEach(async () => {
  await hub.forget();
  hub.urlLifetimeMs = 3_600_000;
});

function remote(more: Partial<HubAccess> = {}, file: Partial<RemoteFile> = {}): RemoteFile {
  const etag = createHash("sha256").update(BYTES).digest("hex");
  const access = {
    endpoint: hub.endpoint,
    token: "hf_secret",
    answerMs: 2000,
    silenceMs: 300,
    wholeMs: 2000,
    rateMs: 30_000,
    attempts: 3,
    reachAttempts: 3,
    network: networkOf({}, null),
    pauseMs: 1,
    ...more,
  };
  return {
    name: "org/name@1: model.safetensors",
    repo: "org/name",
    url,
    page: `${hub.endpoint}/org/name`,
    size: BYTES.length,
    etag,
    access,
    ...file,
  };
}

async function read(file: RemoteFile, position: number, length: number): Promise<Buffer> {
  const target = new Uint8Array(length);
  await openRanges(file).read(target, position);
  return Buffer.from(target);
}

const EVERY = /^GET cdn /;

test("reads any range, and asks for the signed address once", async () => {
  const ranges = openRanges(remote());
  const places = [
    [0, 1],
    [0, BYTES.length],
    [BYTES.length - 1, 1],
    [12_345, 100_000],
    [7, 0],
  ] as const;
  await Promise.all(
    places.map(async ([position, length]) => {
      const target = new Uint8Array(length);
      await ranges.read(target, position);
      assert.ok(Buffer.from(target).equals(BYTES.subarray(position, position + length)), `${position} ${length}`);
    }),
  );
  assert.equal(hub.log.filter(({ port }) => port === "hub").length, 1);
  assert.equal(hub.log.filter(({ port }) => port === "cdn").length, places.length - 1);
});

test("the token goes to the Hub and to nobody else", async () => {
  await read(remote(), 5, 100);
  assert.deepEqual([...new Set(hub.log.map(({ port, token }) => `${port} ${token}`))].sort(), [
    "cdn false",
    "hub true",
  ]);
});

test("the token does not follow a redirect to another host", async () => {
  hub.fault(/^HEAD hub /, { kind: "foreign-host" });
  await refuses(() => read(remote({ attempts: 1 }), 5, 100), "NETWORK", /org\/name@1/);
  assert.deepEqual(
    hub.log.filter(({ port, token }) => port === "foreign" && token),
    [],
  );
});

test("a signed address that has expired is asked for again", async () => {
  hub.urlLifetimeMs = -1;
  const ranges = openRanges(remote());
  const reading = refuses(() => ranges.read(new Uint8Array(10), 0), "NETWORK", /expired/);
  await reading;
  hub.urlLifetimeMs = 3_600_000;
  const target = new Uint8Array(10);
  await ranges.read(target, 3);
  assert.ok(Buffer.from(target).equals(BYTES.subarray(3, 13)));
  hub.fault(EVERY, { kind: "status", status: 403 });
  await ranges.read(target, 4);
  assert.ok(Buffer.from(target).equals(BYTES.subarray(4, 14)));
});

test("whoever opens a file again, here or in another thread, does not ask for its address again", async () => {
  const file = remote();
  assert.equal((await withAddress(file)).address, undefined);
  await read(file, 5, 100);
  await read(file, 6, 100);
  const there = structuredClone(await withAddress(file));
  assert.match(there.address ?? "", /Signature=/);
  assert.ok((await read(there, 7, 100)).equals(BYTES.subarray(7, 107)));
  assert.equal(hub.log.filter(({ port }) => port === "hub").length, 1);
  assert.deepEqual(
    hub.log.filter(({ port, token }) => port === "cdn" && token),
    [],
  );
});

test("a given address that has expired is asked for again, once", async () => {
  hub.urlLifetimeMs = -1;
  const early = remote();
  await refuses(() => read(early, 5, 100), "NETWORK", /expired/);
  hub.urlLifetimeMs = 3_600_000;
  const expired = `${hub.cdn}/repos/${early.etag}?Expires=1&Signature=0`;
  const file = remote({}, { address: expired });
  await hub.forget();
  const ranges = openRanges(file);
  for (const at of [3, 4, 5]) {
    const target = new Uint8Array(10);
    await ranges.read(target, at);
    assert.ok(Buffer.from(target).equals(BYTES.subarray(at, at + 10)));
  }
  assert.deepEqual(
    hub.log.map(({ port, status }) => `${port} ${status}`),
    ["cdn 403", "hub 302", ...["cdn 206", "cdn 206", "cdn 206"]],
  );
});

for (const [what, fault] of [
  ["cut short", { kind: "cut", after: 1000 }],
  ["silent half way", { kind: "stall", after: 1000 }],
  ["429", { kind: "status", status: 429, headers: { "retry-after": "0" } }],
  ["500", { kind: "status", status: 500 }],
  ["503 until a date", { kind: "status", status: 503, headers: { "retry-after": new Date(0).toUTCString() } }],
  ["the whole file for a range", { kind: "ignore-range" }],
  ["another range", { kind: "content-range", value: "bytes 0-9/300000" }],
  ["a range of another file", { kind: "content-range", value: "bytes 100-50099/300001" }],
  ["an HTML page", { kind: "html" }],
  ["a packed body", { kind: "gzip" }],
] as const) {
  test(`once ${what}: asked again`, async () => {
    hub.fault(EVERY, fault);
    assert.ok((await read(remote(), 100, 50_000)).equals(BYTES.subarray(100, 50_100)));
  });

  test(`always ${what}: given up, in bounded time`, async () => {
    hub.fault(EVERY, fault, 3);
    await refuses(
      () => read(remote(), 100, 50_000),
      "NETWORK",
      /^org\/name@1: model\.safetensors: .* \(tried 3 times\)$/,
    );
    // The fault is used up: nothing is left for the next test.
    assert.ok((await read(remote(), 100, 50_000)).equals(BYTES.subarray(100, 50_100)));
  });
}

test("a body that drips is given up, however long it would go on; a slow one that brings enough is not", async () => {
  hub.fault(EVERY, { kind: "slow", chunk: 1, ms: 5 }, 3);
  const started = performance.now();
  await refuses(
    () => read(remote({ rateMs: 100 }), 0, 50_000),
    "NETWORK",
    /: \d\d? bytes in 0 s, which is too slow \(tried 3 times\)$/,
  );
  assert.ok(performance.now() - started < 10_000);
  hub.fault(EVERY, { kind: "slow", chunk: 5000, ms: 20 });
  assert.ok((await read(remote({ rateMs: 50 }), 0, 50_000)).equals(BYTES.subarray(0, 50_000)));
});

test("the time that the taker of bytes needs is not the server's", async () => {
  const file = remote({ rateMs: 20 });
  let got = 0;
  await openRanges(file).stream(0, 300_000, async (piece) => {
    got += piece.length;
    await new Promise((resolve) => setTimeout(resolve, 30));
  });
  assert.equal(got, 300_000);
});

test("a body that is cut goes on where it stopped", async () => {
  hub.fault(EVERY, { kind: "cut", after: 100_000 }, 2);
  assert.ok((await read(remote({ attempts: 2 }), 0, BYTES.length)).equals(BYTES));
  const asked = hub.log.filter(({ port }) => port === "cdn").map(({ range }) => range);
  assert.equal(asked.length, 3);
  assert.equal(asked[0], null);
  assert.match(asked[1] ?? "", /^bytes=[1-9]\d*-299999$/);
});

test("a server that wants an hour is not waited for", async () => {
  hub.fault(EVERY, { kind: "status", status: 429, headers: { "retry-after": "3600" } });
  await refuses(() => read(remote(), 0, 10), "NETWORK", /429: too many requests, and asks for 60 minutes$/);
});

for (const [what, fault, token, hint] of [
  [
    "a limit that a token would lift",
    { kind: "status", status: 429 },
    null,
    /^wait a while, or give a token.*HF_TOKEN/,
  ],
  [
    "a limit with a token",
    { kind: "status", status: 429 },
    "hf_secret",
    /^the server is there, .*: wait a while, then/,
  ],
  ["a server out of order", { kind: "status", status: 503 }, null, /^the server is there, .*: wait a while, then/],
  ["a line that is cut", { kind: "cut", after: 0 }, null, /^check the connection, then run the same command again/],
] as const) {
  test(`the remedy is that of ${what}`, async () => {
    hub.fault(EVERY, fault, 2);
    const error = await read(remote({ attempts: 2, token }), 0, 10).catch((thrown: unknown) => thrown);
    assert.ok(error instanceof WeightDiffError && error.code === "NETWORK");
    assert.match(error.hint ?? "", hint);
  });
}

test("a signal ends the wait", async () => {
  const stop = new AbortController();
  hub.fault(EVERY, { kind: "stall", after: 10 });
  const reading = openRanges(remote({ silenceMs: 60_000 }), stop.signal).read(new Uint8Array(1000), 0);
  setTimeout(() => stop.abort(new Error("enough")), 50);
  await assert.rejects(reading, /enough/);
});

test("a host that is not there", async () => {
  const file = remote(
    { endpoint: "http://127.0.0.1:9", attempts: 2 },
    { url: "http://127.0.0.1:9/org/name/resolve/x/y" },
  );
  await refuses(() => read(file, 0, 10), "NETWORK", /127\.0\.0\.1:9: cannot be reached|bad port/);
});

test("gated, missing and unauthorised are told apart", async () => {
  const gated = url.replace("org/name", "org/gated");
  await refuses(() => read(remote({ token: null }, { url: gated }), 0, 10), "HUB_GATED", /gated/);
  await refuses(() => read(remote({}, { url: url.replace(NAME, "other.bin") }), 0, 10), "HUB_NO_FILE", /no such file/);
  await refuses(
    () => read(remote({}, { url: url.replace("org/name", "org/nothing") }), 0, 10),
    "HUB_NO_REPO",
    /no such repository/,
  );
  await refuses(
    () => read(remote({}, { url: url.replace(/resolve\/[0-9a-f]+/, "resolve/nowhere") }), 0, 10),
    "HUB_NO_REVISION",
    /no such revision/,
  );
});

test("a file of another length or digest than the list says is refused", async () => {
  await refuses(() => read(remote({}, { size: BYTES.length + 1 }), 0, 10), "INPUT_CHANGED", /300001 bytes, its server/);
  await refuses(
    () => read(remote({}, { etag: "0".repeat(64) }), 0, 10),
    "INPUT_CHANGED",
    /the repository's list has 000/,
  );
});

test("bytes past the end are refused before anything is asked", async () => {
  await refuses(() => read(remote(), BYTES.length - 5, 10), "TRUNCATED", /300005 are wanted/);
  assert.deepEqual(hub.log, []);
});
