import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { PATIENCE, type RemoteFile } from "../../../src/http/access.js";
import { networkOf } from "../../../src/http/network.js";
import { downloadFile, inParallel } from "../../../src/hub/download.js";
import { repoFile } from "../../hub/repo.js";
import { startHub, type TestHub } from "../../hub/server.js";
import { refuses } from "../../support/refusal.js";

const BYTES = randomBytes(400_000);
const NAME = "pytorch_model.bin";
const GET = /^GET cdn /;
let hub: TestHub;
let place: string;
let folder: string;

before(async () => {
  hub = await startHub();
  hub.add(
    "org/name",
    new Map([
      [NAME, repoFile(NAME, BYTES)],
      ["config.json", repoFile("config.json", Buffer.from("{}"))],
      ["empty.txt", repoFile("empty.txt", Buffer.alloc(0))],
    ]),
  );
  place = mkdtempSync(join(tmpdir(), "weight-diff-"));
});
after(async () => {
  await hub.close();
  rmSync(place, { recursive: true, force: true });
});
beforeEach(async () => {
  await hub.forget();
  folder = mkdtempSync(join(place, "blobs-"));
});

function remote(name: string = NAME, bytes: Buffer = BYTES): RemoteFile {
  const { lfs, oid } = repoFile(name, bytes);
  return {
    name: `org/name@1: ${name}`,
    repo: "org/name",
    url: `${hub.endpoint}/org/name/resolve/main/${name}`,
    page: `${hub.endpoint}/org/name`,
    size: bytes.length,
    etag: lfs?.oid ?? oid,
    access: {
      endpoint: hub.endpoint,
      token: null,
      network: networkOf({}, null),
      ...PATIENCE,
      silenceMs: 300,
      attempts: 2,
      pauseMs: 1,
    },
  };
}

const target = (): string => join(folder, remote().etag);
const ranges = (): readonly (string | null)[] =>
  hub.log.filter(({ port, method }) => port === "cdn" && method === "GET").map(({ range }) => range);

/** Leaves a part behind, of about `bytes` bytes. @returns its path. */
async function interrupted(bytes: number): Promise<string> {
  hub.fault(GET, { kind: "cut", after: bytes });
  hub.fault(GET, { kind: "status", status: 500 });
  await refuses(() => downloadFile(remote(), target(), undefined), "NETWORK", /tried 2 times/);
  const [part, ...others] = readdirSync(folder).filter((name) => name.endsWith(".incomplete"));
  assert.deepEqual(others, []);
  await hub.forget();
  return join(folder, part ?? "");
}

for (const [name, bytes] of [
  [NAME, BYTES],
  ["config.json", Buffer.from("{}")],
  ["empty.txt", Buffer.alloc(0)],
] as const) {
  test(`fetches ${name} whole, and leaves nothing beside it`, async () => {
    const file = remote(name, bytes);
    await downloadFile(file, join(folder, "file"), undefined);
    assert.ok(readFileSync(join(folder, "file")).equals(bytes));
    assert.deepEqual(readdirSync(folder), ["file"]);
  });
}

test("goes on from a part that was left, and asks for the rest only", async () => {
  await interrupted(150_000);
  let counted = 0;
  await downloadFile(remote(), target(), undefined, (count) => {
    counted += count;
  });
  assert.ok(readFileSync(target()).equals(BYTES));
  assert.match(ranges()[0] ?? "", /^bytes=[1-9]\d*-399999$/);
  assert.equal(counted, BYTES.length);
  assert.deepEqual(readdirSync(folder), [remote().etag]);
});

for (const [what, spoil] of [
  ["has other bytes", (bytes: Buffer) => Buffer.from(bytes.map((byte, at) => (at === 5 ? byte ^ 1 : byte)))],
  ["is too long", () => Buffer.alloc(500_000)],
  ["is whole, and of other bytes", () => Buffer.alloc(400_000)],
  ["is empty", () => Buffer.alloc(0)],
] as const) {
  test(`a part that ${what} does not come into the file`, async () => {
    const part = await interrupted(150_000);
    writeFileSync(part, spoil(readFileSync(part)));
    await downloadFile(remote(), target(), undefined);
    assert.ok(readFileSync(target()).equals(BYTES));
    assert.deepEqual(readdirSync(folder), [remote().etag]);
  });
}

test("a part that is whole already needs no request", async () => {
  const part = await interrupted(150_000);
  writeFileSync(part, BYTES);
  await downloadFile(remote(), target(), undefined);
  assert.deepEqual(hub.log, []);
});

test("parts of others are left alone", async () => {
  const theirs = [
    `${remote().etag}.1a2b3c4d.incomplete`,
    `${remote().etag}.incomplete`,
    `${remote().etag}.00000000-1.incomplete`,
  ];
  for (const name of theirs) {
    writeFileSync(join(folder, name), "theirs");
  }
  await downloadFile(remote(), target(), undefined);
  assert.deepEqual(readdirSync(folder).sort(), [remote().etag, ...theirs].sort());
});

test("two at once, of the same file, do not meet", async () => {
  await Promise.all([downloadFile(remote(), target(), undefined), downloadFile(remote(), target(), undefined)]);
  assert.ok(readFileSync(target()).equals(BYTES));
  assert.deepEqual(readdirSync(folder), [remote().etag]);
});

test("one flipped bit is asked for again; always one is refused by name, and nothing is kept", async () => {
  hub.fault(GET, { kind: "flip", at: 200_000 });
  await downloadFile(remote(), target(), undefined);
  assert.ok(readFileSync(target()).equals(BYTES));
  rmSync(target());
  hub.fault(GET, { kind: "flip", at: 200_000 }, 2);
  const digest = createHash("sha256").update(BYTES).digest("hex");
  await refuses(
    () => downloadFile(remote(), target(), undefined),
    "NETWORK",
    new RegExp(`pytorch_model\\.bin: arrived damaged 2 times: its digest must be ${digest}`),
  );
  assert.deepEqual(readdirSync(folder), []);
});

test("the first failure ends what else is under way, and is the one that is told", async () => {
  const ended: string[] = [];
  await assert.rejects(
    inParallel(["a", "b", "c"], undefined, async (item, signal) => {
      if (item === "b") {
        throw new Error("b failed");
      }
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
      ended.push(item);
      throw new Error(`${item} was ended`);
    }),
    /b failed/,
  );
  assert.deepEqual(ended, ["a", "c"]);
});
