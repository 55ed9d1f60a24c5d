/** What a journal keeps through a crash. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { appendFile, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import type { TensorResult } from "../../../src/engine/job/result.js";
import { JOURNAL, type Journal, listedFiles, resumeJournal, startJournal } from "../../../src/output/journal.js";
import { withFolder } from "../../support/checkpoints.js";
import { refuses } from "../../support/refusal.js";

const PLAN = { "--dtype": "F32", "raw a.bin": "10 bytes" };

function result(id: number, sum = 0): TensorResult {
  return { id, sha256: String(id).padStart(64, "0"), sum, overflow: id };
}

async function started(folder: string, results: readonly TensorResult[], replace = false): Promise<void> {
  const journal = await startJournal(folder, { plan: PLAN, replace, files: ["a.bin"] });
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
    assert.match(await readFile(join(folder, JOURNAL), "utf8"), /^[0-9a-f]{32} \{"journal":2,.*\}\n$/);
  });
});

test("a torn last line counts as not written, and the next one is whole", async () => {
  await withFolder(async (folder) => {
    await started(folder, [result(0), result(1)]);
    const whole = (await readFile(join(folder, JOURNAL), "utf8")).split("\n")[2] ?? "";
    await appendFile(join(folder, JOURNAL), whole.slice(0, -10));
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
      await refuses(
        () => resumeJournal(folder, PLAN),
        "OUTPUT_REFUSED",
        /journal: the journal .* is damaged, or another version/,
      );
    });
  });
}

test("no journal is nothing to resume from", async () => {
  await withFolder((folder) => refuses(() => resumeJournal(folder, PLAN), "OUTPUT_REFUSED", /no journal/));
});

test("remembers that an old model is to be replaced, and that final names were given and taken back", async () => {
  await withFolder(async (folder) => {
    await started(folder, [result(0)], true);
    const journal = await resumeJournal(folder, PLAN);
    assert.deepEqual([journal.replace, journal.swept], [true, false]);
    await journal.beginSweep();
    await journal.close();
    const later = await resumeJournal(folder, PLAN);
    await later.close();
    assert.deepEqual([later.replace, later.swept, later.finished], [true, true, [result(0)]]);
    await continues(folder, (again) => again.undoSweep());
    const last = await continues(folder, async () => {});
    assert.deepEqual([last.replace, last.swept, last.finished], [true, false, [result(0)]]);
  });
});

async function continues(folder: string, body: (journal: Journal) => Promise<void>): Promise<Journal> {
  const journal = await resumeJournal(folder, PLAN);
  await body(journal);
  await journal.close();
  return journal;
}

test("remembers every file that may be in the folder, before it is there", async () => {
  await withFolder(async (folder) => {
    assert.deepEqual(await listedFiles(folder), new Set());
    await started(folder, []);
    await continues(folder, (journal) => journal.addFiles(["config.json"]));
    assert.deepEqual(await listedFiles(folder), new Set(["a.bin", "config.json"]));
    assert.deepEqual((await continues(folder, async () => {})).files, new Set(["a.bin", "config.json"]));
  });
});

test("a line with one changed byte counts as not written, whichever byte it is", async () => {
  await withFolder(async (folder) => {
    await started(folder, [result(0), result(1), result(2)]);
    const path = join(folder, JOURNAL);
    const text = await readFile(path, "utf8");
    const [head = "", , second = ""] = text.split("\n");
    const begin = text.indexOf(second);
    for (let at = begin; at < begin + second.length; at++) {
      const bytes = Buffer.from(text);
      bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
      await writeFile(path, bytes);
      assert.deepEqual(await finishedIn(folder), [result(0), result(2)], `byte ${at}`);
    }
    for (const at of [0, 10, 40, head.length - 1]) {
      const bytes = Buffer.from(text);
      bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
      await writeFile(path, bytes);
      await refuses(() => finishedIn(folder), "OUTPUT_REFUSED", /damaged, or another version/);
    }
  });
});

test("a line of another journal is not accepted", async () => {
  await withFolder(async (folder) => {
    await started(folder, [result(0)]);
    const [, foreign] = (await readFile(join(folder, JOURNAL), "utf8")).split("\n");
    await started(folder, [], true);
    await appendFile(join(folder, JOURNAL), `${foreign}\n`);
    assert.deepEqual(await finishedIn(folder), []);
  });
});

test("a journal of version 0.2 is refused by name, with the remedy", async () => {
  await withFolder(async (folder) => {
    await writeFile(
      join(folder, JOURNAL),
      `{"plan":${JSON.stringify(PLAN)},"replace":false}\n{"id":0,"sha256":"00"}\n`,
    );
    await assert.rejects(resumeJournal(folder, PLAN), {
      code: "OUTPUT_REFUSED",
      message: /journal: the journal of the earlier run is damaged, or another version of weight-diff wrote it$/,
      hint: "continue with that version",
      advice: [{ to: "start over", option: "mode", value: "force" }],
    });
    assert.deepEqual(await listedFiles(folder), new Set());
  });
});

test("text that has the right checksum and is no document is refused like any other", async () => {
  await withFolder(async (folder) => {
    for (const json of ["null", "[]", "7", "{", '{"journal":2,"plan":null,"replace":true,"files":[]}']) {
      const sum = createHash("sha256").update(json).digest("hex").slice(0, 32);
      await writeFile(join(folder, JOURNAL), `${sum} ${json}\n`);
      await refuses(() => resumeJournal(folder, PLAN), "OUTPUT_REFUSED", /damaged/);
    }
  });
});
