/** Threads that start before their work is planned: they are taken once, ended where nobody takes them, and replaced where they ended. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import type { Worker } from "node:worker_threads";
import { type EarlyThreads, withEarlyThreads } from "../../../src/engine/early.js";
import type { Job } from "../../../src/engine/job/job.js";
import { digestOf } from "../../../src/engine/job/result.js";
import { runJobs } from "../../../src/engine/pool.js";
import { needsOf } from "../../../src/engine/setup.js";

const BYTES = 100_000;

/** The digests of a file's four quarters. */
async function digests(early: EarlyThreads): Promise<readonly string[]> {
  const folder = await mkdtemp(join(tmpdir(), "weight-diff-early-"));
  try {
    const path = join(folder, "file");
    await writeFile(path, new Uint8Array(4 * BYTES).fill(7));
    const { size, mtimeNs } = await stat(path, { bigint: true });
    const jobs = Array.from({ length: 4 }, (_, id): Job => {
      const range = { begin: id * BYTES, end: (id + 1) * BYTES };
      return {
        ...{ kind: "digest", id, name: `${id}` },
        source: { kind: "stored", input: 0, name: `${id}`, dtype: "U8", shape: [BYTES], range },
      };
    });
    const setup = {
      inputs: [{ path, size: Number(size), modified: String(mtimeNs), direct: false }],
      outputs: [],
      ...{ windowBytes: 1 << 16, slots: 3, decoders: 1, fileWindowBytes: 1 << 16 },
      ...needsOf(jobs),
    };
    const found: string[] = [];
    await runJobs(setup, jobs, { threads: 2, early, onResult: (job, result) => (found[job.id] = digestOf(result)) });
    return found;
  } finally {
    await rm(folder, { recursive: true });
  }
}

const EXPECTED = Array.from({ length: 4 }, () =>
  createHash("sha256").update(new Uint8Array(BYTES).fill(7)).digest("hex"),
);

/** All threads that `work` starts, here or elsewhere. */
async function watching(work: () => Promise<unknown>): Promise<readonly Worker[]> {
  const started: Worker[] = [];
  const note = (worker: Worker): void => {
    started.push(worker);
  };
  process.on("worker", note);
  try {
    await work();
  } finally {
    process.off("worker", note);
  }
  return started;
}

/** Threads that have ended have no number any more. */
const ended = (workers: readonly Worker[]): number => workers.filter(({ threadId }) => threadId === -1).length;

for (const [early, all] of [
  [0, 2],
  [1, 2],
  [2, 2],
  [3, 3],
] as const) {
  test(`with ${early} threads started early, a run of 2 makes the same, starts what is missing, and all of them end`, async () => {
    const started = await watching(() =>
      withEarlyThreads(async (threads) => {
        threads.start(early);
        assert.deepEqual(await digests(threads), EXPECTED);
      }),
    );
    assert.equal(started.length, all);
    assert.equal(ended(started), all);
  });
}

test("where the work is refused, its threads are ended", async () => {
  const started = await watching(() =>
    assert.rejects(
      withEarlyThreads(async (threads) => {
        threads.start(2);
        throw new Error("refused");
      }),
      /refused/,
    ),
  );
  assert.deepEqual([started.length, ended(started)], [2, 2]);
});

test("a thread that has ended meanwhile is replaced", async () => {
  const started = await watching(() =>
    withEarlyThreads(async (threads) => {
      const [first] = await watching(async () => {
        threads.start(2);
        await setImmediate(); // they are told of a moment later
      });
      await first?.terminate();
      assert.deepEqual(await digests(threads), EXPECTED);
    }),
  );
  assert.deepEqual([started.length, ended(started)], [3, 3]);
});
