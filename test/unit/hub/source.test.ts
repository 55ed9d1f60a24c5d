/** What is kept of files at the Hub: small reads that several ask for. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, beforeEach, test } from "node:test";
import type { FileSource } from "../../../src/files/file-source.js";
import type { RemoteFile } from "../../../src/http/access.js";
import type { HubFile } from "../../../src/hub/place.js";
import { openShardSource } from "../../../src/hub/source.js";
import type { TestHub } from "../../hub/server.js";
import { hubWithFile, rangesAsked } from "../../support/hub-file.js";
import { refuses } from "../../support/refusal.js";

const BYTES = randomBytes(12_000_000);
let hub: TestHub;
let file: RemoteFile;

before(async () => {
  ({ hub, file } = await hubWithFile(BYTES));
});
after(() => hub.close());
beforeEach(() => hub.forget());

/** Nothing of an earlier test is kept of it: another file. */
function open(more: Partial<HubFile> = {}): Promise<FileSource> {
  const about = { sha256: file.etag, path: "model.safetensors", snapshot: null, cached: false };
  return openShardSource({ path: "model.safetensors", hub: { ...file, ...about, ...more } });
}

async function reads(source: FileSource, offset: number, length: number): Promise<void> {
  const bytes = await source.readAt(offset, length);
  assert.ok(BYTES.subarray(offset, offset + length).equals(bytes), `${length} at ${offset}`);
}

test("what several look at is asked for once, whether it is here or on its way", async () => {
  const source = await open();
  const places = Array.from({ length: 100 }, (_, index) => 70_000 + index * 50_000);
  await Promise.all(places.map((at) => reads(source, at, 4096)));
  await Promise.all(places.map((at) => reads(source, at + 10, 1000)));
  const [first, second] = [reads(source, 9_000_000, 10), reads(source, 9_000_000, 8000)];
  await Promise.all([first, second]);
  assert.equal(rangesAsked(hub).length, 101);
});

test("a header is one request with what follows the first bytes", async () => {
  const source = await open();
  await reads(source, 0, 8);
  await reads(source, 8, 60_000);
  assert.deepEqual(rangesAsked(hub), ["bytes=0-65535"]);
});

test("no more than some megabytes are kept, of all files together", async () => {
  const [one, two] = [await open(), await open()];
  await reads(one, 1_000_000, 10);
  for (let at = 2_000_000; at < 8_000_000; at += 100_000) {
    await reads(two, at, 100_000);
  }
  await hub.forget();
  await reads(two, 7_900_000, 100_000);
  assert.deepEqual(rangesAsked(hub), []);
  await reads(one, 1_000_000, 10);
  assert.equal(rangesAsked(hub).length, 1);
});

test("what could not be read is asked for again", async () => {
  const source = await open();
  hub.fault(/^GET cdn/, { kind: "cut", after: 10 }, 2);
  await refuses(() => source.readAt(500_000, 100), "NETWORK", /model\.safetensors/);
  await reads(source, 500_000, 100);
});

test("reads end with the command", async () => {
  const stop = new AbortController();
  const source = await open({ ended: stop.signal });
  hub.fault(/^GET cdn/, { kind: "stall", after: 10 });
  const reading = assert.rejects(source.readAt(500_000, 100), /over/);
  stop.abort(new Error("over"));
  await reading;
});
