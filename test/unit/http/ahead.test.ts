/** A stretch of a file that is read in order: one request, whatever the reader and the line do. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, beforeEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { WeightDiffError } from "../../../src/errors.js";
import type { RemoteFile } from "../../../src/http/access.js";
import { type Ahead, readAhead } from "../../../src/http/ahead.js";
import { openRanges } from "../../../src/http/ranges.js";
import type { TestHub } from "../../hub/server.js";
import { hubWithFile, rangesAsked, readWhole } from "../../support/hub-file.js";

/** More than sockets hold. */
const BYTES = randomBytes(24_000_000);
const [BEGIN, END] = [1000, 23_000_000];
let hub: TestHub;
let file: RemoteFile;

before(async () => {
  ({ hub, file } = await hubWithFile(BYTES, { silenceMs: 300 }));
});
after(() => hub.close());
beforeEach(() => hub.forget());

const stretch = (signal?: AbortSignal): Ahead => readAhead(openRanges(file, signal), BEGIN, END);

const readAll = (ahead: Ahead, length = 1_700_001, together = 3): Promise<void> =>
  readWhole(ahead, BYTES, () => length, together);

test("is one request, however many reads it has", async () => {
  await readAll(stretch());
  assert.deepEqual(rangesAsked(hub), [`bytes=${BEGIN}-${END - 1}`]);
});

test("reads of a few bytes come as well, and ends of pieces are no ends of reads", async () => {
  const ahead = readAhead(openRanges(file), 0, 70_000);
  await readAll(ahead, 997, 50);
  assert.equal(ahead.idle(), true);
});

test("goes on where a connection was cut", async () => {
  hub.fault(/^GET cdn/, { kind: "cut", after: 5_000_000 }, 2);
  await readAll(stretch());
  assert.equal(rangesAsked(hub).length, 3);
});

test("the time that nobody asks for bytes is not the server's", async () => {
  const ahead = stretch();
  await ahead.read(new Uint8Array(1000));
  assert.equal(ahead.idle(), true);
  await sleep(500);
  await readAll(ahead);
  assert.equal(rangesAsked(hub).length, 1);
});

test("whoever waits for bytes is told what the Hub says, and whoever asks later", async () => {
  hub.fault(/^GET cdn/, { kind: "stall", after: 2_000_000 });
  const ahead = stretch();
  const [first, second] = [new Uint8Array(1_000_000), new Uint8Array(9_000_000)];
  await ahead.read(first);
  hub.fault(/^GET cdn/, { kind: "status", status: 416 });
  const refused = (error: unknown): boolean => error instanceof WeightDiffError && error.code === "NETWORK";
  await assert.rejects(ahead.read(second), refused);
  await assert.rejects(ahead.read(second), refused);
  await ahead.over;
});

for (const [what, begin] of [
  ["while nobody asks for bytes", () => Promise.resolve()],
  ["while somebody waits for them", (ahead: Ahead) => assert.rejects(ahead.read(new Uint8Array(9_000_000)), /left/)],
] as const) {
  test(`can be left ${what}`, async () => {
    hub.fault(/^GET cdn/, { kind: "stall", after: 2_000_000 });
    const ahead = stretch();
    await ahead.read(new Uint8Array(1000));
    const waits = begin(ahead);
    await sleep(20);
    ahead.stop(new Error("left"));
    await Promise.all([waits, ahead.over]);
    assert.equal(rangesAsked(hub).length, 1);
  });
}

test("ends with the run", async () => {
  const stop = new AbortController();
  const ahead = stretch(stop.signal);
  await ahead.read(new Uint8Array(1000));
  const waits = assert.rejects(ahead.read(new Uint8Array(20_000_000)), /ended/);
  stop.abort(new Error("ended"));
  await Promise.all([waits, ahead.over]);
});
