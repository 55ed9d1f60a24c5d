/** A stretch of a file that is read in order, by several requests: its bytes, whatever the line and the reader do. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, beforeEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { WeightDiffError } from "../../../src/errors.js";
import type { RemoteFile } from "../../../src/http/access.js";
import type { Ahead } from "../../../src/http/ahead.js";
import { readInPieces } from "../../../src/http/pieces.js";
import { openRanges } from "../../../src/http/ranges.js";
import { newRequestCount, type RequestCount } from "../../../src/http/request-count.js";
import type { TestHub } from "../../hub/server.js";
import { hubWithFile, rangesAsked, readWhole } from "../../support/hub-file.js";

const BYTES = randomBytes(8_000_000);
const [BEGIN, END, PIECE] = [1000, 7_000_500, 1_000_000];
const PIECES = 7;
let hub: TestHub;
let file: RemoteFile;

before(async () => {
  ({ hub, file } = await hubWithFile(BYTES, { silenceMs: 300 }));
});
after(() => hub.close());
beforeEach(() => hub.forget());

function stretch(count: RequestCount = newRequestCount(8), signal?: AbortSignal): Ahead {
  return readInPieces(openRanges(file, signal, count.busy), BEGIN, END, count, PIECE);
}

/** Each byte of the stretch once, in order of their places. */
function assertAskedOnce(): void {
  const asked = rangesAsked(hub).map((range) => (/^bytes=(\d+)-(\d+)$/.exec(range ?? "") ?? []).slice(1).map(Number));
  const ranges = asked.sort(([a = 0], [b = 0]) => a - b).map(([begin = 0, end = 0]) => [begin, end + 1]);
  const expected = Array.from({ length: PIECES }, (_, index) => BEGIN + index * PIECE);
  assert.deepEqual(
    ranges,
    expected.map((at) => [at, Math.min(END, at + PIECE)]),
  );
}

for (const [length, together] of [
  [300_001, 6],
  [2_500_000, 3],
  [997, 50],
  [6_999_500, 1],
] as const) {
  test(`reads of ${length} bytes, ${together} at a time`, async () => {
    await readWhole(stretch(), BYTES, () => length, together);
    assertAskedOnce();
  });
}

/** A few here; PIECES_ROUNDS asks for more. */
const ROUNDS = Number(process.env.PIECES_ROUNDS ?? 6);
for (let seed = 1; seed <= ROUNDS; seed++) {
  test(`reads of any length, on connections that are cut, fall silent, or answer something else: seed ${seed}`, async () => {
    const random = generator(seed);
    const own = await hubWithFile(BYTES, { silenceMs: 200, attempts: 8 });
    try {
      for (const fault of [
        { kind: "cut", after: Math.floor(random() * 900_000) },
        { kind: "stall", after: Math.floor(random() * 900_000) },
        { kind: "status", status: 503, headers: { "retry-after": "0" } },
        { kind: "status", status: 403 },
        { kind: "content-range", value: "bytes 0-9/300000" },
        { kind: "ignore-range" },
        { kind: "content-length", by: -1000 },
      ] as const) {
        const at = BEGIN + Math.floor(random() * PIECES) * PIECE;
        own.hub.fault(new RegExp(`^GET cdn .*bytes=${at}-`), fault, random() < 0.5 ? 1 : 0);
      }
      const count = newRequestCount(seed % 9);
      const ahead = readInPieces(openRanges(own.file, undefined, count.busy), BEGIN, END, count, PIECE);
      await readWhole(ahead, BYTES, () => 1 + Math.floor(random() ** 2 * 2_000_000), 1 + Math.floor(random() * 6));
    } finally {
      await own.hub.close();
    }
  });
}

/** A linear congruential generator (Knuth's MMIX, the upper bits), from 0 to 1. */
function generator(seed: number): () => number {
  let state = BigInt(seed);
  return () => {
    state = BigInt.asUintN(64, state * 6_364_136_223_846_793_005n + 1_442_695_040_888_963_407n);
    return Number(state >> 32n) / 2 ** 32;
  };
}

test("no more requests are under way than may be, and those are under way before they are read", async () => {
  let underWay = 0;
  let most = 0;
  const two: RequestCount = {
    ...newRequestCount(8),
    take: (own) => {
      const may = own < 2;
      underWay += may ? 1 : 0;
      most = Math.max(most, underWay);
      return may;
    },
    give: () => {
      underWay--;
    },
  };
  const ahead = stretch(two);
  await sleep(50);
  assert.equal(rangesAsked(hub).length, 2);
  await readWhole(ahead, BYTES, () => 300_000, 5);
  assert.deepEqual([underWay, most], [0, 2]);
  assertAskedOnce();
});

test("a piece that cannot be had ends the stretch: whoever waits is told, and whoever asks later", async () => {
  hub.fault(new RegExp(`^GET cdn .*bytes=${BEGIN + 2 * PIECE}-`), { kind: "status", status: 416 }, 2);
  const ahead = stretch();
  const refused = (error: unknown): boolean => error instanceof WeightDiffError && error.code === "NETWORK";
  const reads = [ahead.read(new Uint8Array(PIECE)), ahead.read(new Uint8Array(2 * PIECE))];
  const [, second] = await Promise.allSettled(reads);
  assert.ok(second?.status === "rejected" && refused(second.reason));
  await assert.rejects(ahead.read(new Uint8Array(10)), refused);
  await ahead.over;
  assert.ok(refused(ahead.fault()?.reason));
});

test("a server that has too many requests is told of", async () => {
  let told = 0;
  const count = { ...newRequestCount(8), busy: () => void told++ };
  hub.fault(/^GET cdn/, { kind: "status", status: 429, headers: { "retry-after": "0" } }, 2);
  await readWhole(stretch(count), BYTES, () => 500_000, 4);
  assert.equal(told, 2);
});

for (const [what, begin] of [
  ["while nobody asks for bytes", () => Promise.resolve()],
  ["while somebody waits for them", (ahead: Ahead) => assert.rejects(ahead.read(new Uint8Array(5_000_000)), /left/)],
] as const) {
  test(`can be left ${what}`, async () => {
    hub.fault(/^GET cdn/, { kind: "stall", after: 200_000 }, 4);
    const ahead = stretch();
    await ahead.read(new Uint8Array(1000));
    const waits = begin(ahead);
    await sleep(20);
    const asked = rangesAsked(hub).length;
    ahead.stop(new Error("left"));
    await Promise.all([waits, ahead.over]);
    await sleep(50);
    assert.equal(rangesAsked(hub).length, asked);
    await hub.forget();
  });
}

test("ends with the run", async () => {
  const stop = new AbortController();
  const ahead = stretch(newRequestCount(8), stop.signal);
  await ahead.read(new Uint8Array(1000));
  hub.fault(/^GET cdn/, { kind: "stall", after: 0 }, 1);
  const waits = assert.rejects(ahead.read(new Uint8Array(6_000_000)), /ended/);
  stop.abort(new Error("ended"));
  await Promise.all([waits, ahead.over]);
});
