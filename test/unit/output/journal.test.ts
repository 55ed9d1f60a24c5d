/** What a journal keeps through a crash. */
import assert from "node:assert/strict";
import { appendFile, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import type { TensorResult } from "../../../src/engine/job/job.js";
import { JOURNAL, resumeJournal, startJournal } from "../../../src/output/journal.js";
import { withFolder } from "../../support/checkpoints.js";
import { refuses } from "../../support/refusal.js";

const PLAN = { "--dtype": "F32", "raw a.bin": "10 bytes" };

function result(id: number, sum = 0): TensorResult {
  return { id, sha256: String(id).padStart(64, "0"), sum, overflow: id };
}

async function started(folder: string, results: readonly TensorResult[], replace = false): Promise<void> {
  const journal = await startJournal(folder, PLAN, replace);
  results.forEach(journal.add);
  await journal.sync();
  await journal.close();
}

async function finishedIn(folder: string): Promise<readonly TensorResult[]> {
  const journal = await resumeJournal(folder, PLAN);
  await journal.close();
  return journal.finished;
}

test("gives back every result, bit for bit", async () => {
  await withFolder(async (folder) => {
    const sums = [
      -0,
      0,
      Number.NaN,
      Number.POSITIVE_INFINITY,
      Number.NEGATIVE_INFINITY,
      0.1,
      2 ** 52,
      Math.fround(1e-40),
    ];
    const results = sums.map((sum, id) => result(id, sum));
    await started(folder, results);
    const found = await finishedIn(folder);
    assert.deepEqual(found, results);
    found.forEach(({ sum }, id) => {
      assert.ok(Object.is(sum, sums[id]), `${sum} for ${sums[id]}`);
    });
  });
});

test("is never seen without its first line", async () => {
  await withFolder(async (folder) => {
    await started(folder, []);
    assert.deepEqual(await readdir(folder), [JOURNAL]);
    assert.match(await readFile(join(folder, JOURNAL), "utf8"), /^\{"plan":.*\}\n$/);
  });
});

test("a torn last line counts as not written, and the next one is whole", async () => {
  await withFolder(async (folder) => {
    await started(folder, [result(0), result(1)]);
    await appendFile(join(folder, JOURNAL), '{"id":2,"sha256":"00');
    const journal = await resumeJournal(folder, PLAN);
    assert.deepEqual(journal.finished, [result(0), result(1)]);
    journal.add(result(3));
    await journal.close();
    assert.deepEqual(await finishedIn(folder), [result(0), result(1), result(3)]);
  });
});

test("lines that a power loss filled with zeros count as not written", async () => {
  await withFolder(async (folder) => {
    await started(folder, [result(0)]);
    await appendFile(join(folder, JOURNAL), `${"\0".repeat(4096)}\n`);
    assert.deepEqual(await finishedIn(folder), [result(0)]);
  });
});

test("names what differs from the earlier run", async () => {
  await withFolder(async (folder) => {
    await started(folder, []);
    const other = { ...PLAN, "raw a.bin": "11 bytes", "diff b.bin": "1 byte" };
    await refuses(() => resumeJournal(folder, other), "OUTPUT_REFUSED", /what differs is raw a\.bin, diff b\.bin$/);
    await refuses(() => resumeJournal(folder, { "--dtype": "F32" }), "OUTPUT_REFUSED", /what differs is raw a\.bin$/);
  });
});

for (const [what, text] of [
  ["empty", ""],
  ["another program's", "hello\n"],
  ["an array", "[]\n"],
  ["null", "null\n"],
] as const) {
  test(`a journal that is ${what} is not continued`, async () => {
    await withFolder(async (folder) => {
      await writeFile(join(folder, JOURNAL), text);
      await refuses(() => resumeJournal(folder, PLAN), "OUTPUT_REFUSED", /another one/);
    });
  });
}

test("no journal is nothing to resume from", async () => {
  await withFolder((folder) => refuses(() => resumeJournal(folder, PLAN), "OUTPUT_REFUSED", /no journal/));
});

test("remembers that an old model is to be replaced, and that final names were given", async () => {
  await withFolder(async (folder) => {
    await started(folder, [result(0)], true);
    const journal = await resumeJournal(folder, PLAN);
    assert.deepEqual([journal.replace, journal.swept], [true, false]);
    await journal.beginSweep();
    await journal.close();
    const later = await resumeJournal(folder, PLAN);
    await later.close();
    assert.deepEqual([later.replace, later.swept, later.finished], [true, true, [result(0)]]);
  });
});
