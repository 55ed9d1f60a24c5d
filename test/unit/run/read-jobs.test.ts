/** Jobs that only read: with several threads, none of them is left with a large one at the end. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import type { DigestJob } from "../../../src/engine/job/job.js";
import { readAll } from "../../../src/run/read-jobs.js";
import { memoryFile } from "../../support/faulty-disk.js";

const BYTES = Uint8Array.from({ length: 1000 }, (_, k) => k % 251);
const RANGES = [
  [0, 10],
  [10, 510],
  [510, 520],
  [520, 1000],
] as const;

for (const [threads, order] of [
  [0, [0, 1, 2, 3]],
  [1, [0, 1, 2, 3]],
  [2, [1, 3, 0, 2]],
] as const) {
  test(`with ${threads} threads, the jobs come in the order ${order.join(", ")}`, async () => {
    const jobs = RANGES.map(([begin, end], id): DigestJob => {
      const range = { begin, end };
      const source = { kind: "stored", input: 0, name: `${id}`, dtype: "U8", shape: [end - begin], range } as const;
      return { kind: "digest", id, name: `${id}`, source };
    });
    const read: number[] = [];
    const file = memoryFile(BYTES, "a");
    const disk = {
      openFile: async () => ({
        ...file,
        async read(target: Uint8Array, position: number) {
          read.push(RANGES.findIndex(([begin]) => begin === position));
          return file.read(target, position);
        },
      }),
    };
    const shards = [{ path: "a", size: BYTES.length, modified: "0" }];
    const { results } = await readAll(shards, jobs, { threads, disk, directIo: false });
    assert.deepEqual(read, order);
    for (const [id, [begin, end]] of RANGES.entries()) {
      const expected = createHash("sha256").update(BYTES.subarray(begin, end)).digest("hex");
      assert.equal(results.get(id)?.sha256, expected);
    }
  });
}
