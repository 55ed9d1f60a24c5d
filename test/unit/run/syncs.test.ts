/** Files are brought to the disk while they grow, one at a time, and no failure of that is lost. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { startSyncs } from "../../../src/run/syncs.js";

const MIB = 2 ** 20;
const SHARDS = [{ file: "a" }, { file: "b" }];

/** Syncs that end when they are told to. */
function disk() {
  const begun: string[] = [];
  const ends: ((error?: Error) => void)[] = [];
  return {
    begun,
    ends,
    seal(file: string): Promise<void> {
      begun.push(file);
      return new Promise((resolve, reject) => ends.push((error) => (error === undefined ? resolve() : reject(error))));
    },
  };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("a file is synced each time it has grown by 128 MiB, and once it is whole", async () => {
  const { begun, ends, seal } = disk();
  const syncs = startSyncs(SHARDS, seal);
  syncs.grown(0, 127 * MIB);
  syncs.grown(1, 127 * MIB);
  assert.deepEqual(begun, []);
  syncs.grown(0, MIB);
  assert.deepEqual(begun, ["a"]);
  // The disk is at work: nothing more is asked of it, and nothing is forgotten.
  syncs.grown(1, 500 * MIB);
  syncs.grown(0, 100 * MIB);
  assert.deepEqual(begun, ["a"]);
  ends[0]?.();
  await turn();
  syncs.grown(1, 1);
  assert.deepEqual(begun, ["a", "b"]);
  ends[1]?.();
  await turn();
  syncs.grown(0, 27 * MIB);
  assert.deepEqual(begun, ["a", "b"]);
  syncs.whole(0);
  syncs.whole(1);
  assert.deepEqual(begun, ["a", "b", "a", "b"]);
  let over = false;
  const waited = syncs.wait().then(() => {
    over = true;
  });
  ends[2]?.();
  await turn();
  assert.equal(over, false);
  ends[3]?.();
  await waited;
});

test("a sync on the way that fails is told, though the last one succeeds, and only once all have ended", async () => {
  const { ends, seal } = disk();
  const syncs = startSyncs(SHARDS, seal);
  syncs.grown(0, 128 * MIB);
  ends[0]?.(new Error("EIO"));
  await turn();
  syncs.whole(0);
  let over = false;
  const waited = assert.rejects(syncs.wait(), /EIO/).then(() => {
    over = true;
  });
  await turn();
  assert.equal(over, false);
  ends[1]?.();
  await waited;
  await assert.rejects(syncs.wait(), /EIO/);
});
