/** A file at the Hub that is read during a run: what is said where the line gives out. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { DiskFile } from "../../../../src/engine/io/disk.js";
import { openRemote } from "../../../../src/engine/io/remote.js";
import { WeightDiffError } from "../../../../src/errors.js";
import type { RemoteFile } from "../../../../src/http/access.js";
import { newRequestCount } from "../../../../src/http/request-count.js";
import type { TestHub } from "../../../hub/server.js";
import { hubWithFile, rangesAsked } from "../../../support/hub-file.js";

const BYTES = Buffer.alloc(100_000, 7);

let hub: TestHub;
let file: RemoteFile;

before(async () => {
  ({ hub, file } = await hubWithFile(BYTES));
});
after(() => hub.close());

async function part(remote: DiskFile, position: number, length: number): Promise<void> {
  const target = new Uint8Array(length);
  assert.equal(await remote.read(target, position), length);
  assert.ok(BYTES.subarray(position, position + length).equals(target), `at ${position}`);
}

test("what is expected to be read in order comes by one request; what is read elsewhere has its own", async () => {
  await hub.forget();
  const remote = openRemote(file, newRequestCount(8));
  for (let at = 10_000; at < 90_000; at += 20_000) {
    remote.expect?.(at, 90_000);
    await Promise.all([part(remote, at, 20_000), part(remote, at - 5000, 100)]);
  }
  await remote.close();
  const asked = rangesAsked(hub);
  assert.equal(asked.filter((range) => range === "bytes=10000-89999").length, 1);
  assert.equal(asked.length, 5);
});

test("stretches that nobody reads on keep no read from its bytes, and end with the file", async () => {
  const remote = openRemote(file, newRequestCount(8));
  for (let at = 0; at < 40_000; at += 1000) {
    remote.expect?.(at, BYTES.length);
    await part(remote, at, 10);
  }
  await part(remote, 50_000, 10_000);
  const started = performance.now();
  await remote.close();
  assert.ok(performance.now() - started < 2000);
});

test("what is expected past the end, or of no bytes, is not asked for", async () => {
  await hub.forget();
  const remote = openRemote(file, newRequestCount(8));
  remote.expect?.(5, 5);
  remote.expect?.(5, BYTES.length + 1);
  await remote.close();
  assert.deepEqual(hub.log, []);
});

test("a run that the line ended is to be continued: the same command again would find its output begun", async () => {
  const remote = openRemote(file, newRequestCount(8));
  const target = new Uint8Array(BYTES.length);
  assert.equal(await remote.read(target, 0), BYTES.length);
  assert.ok(BYTES.equals(target));
  hub.fault(/^GET cdn/, { kind: "cut", after: 10 }, 100);
  await assert.rejects(remote.read(target, 0), (error) => {
    assert.ok(error instanceof WeightDiffError);
    assert.equal(error.code, "NETWORK");
    assert.equal(error.hint, "check the connection");
    assert.deepEqual(error.advice, [{ to: "continue", option: "mode", value: "resume", afterwards: true }]);
    return true;
  });
});
