/** Locks of other machines: held as long as their part says something, and taken over once it is silent. */
import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { takeLock } from "../../../src/output/lock.js";
import { isHeard, type ReportedState, readState, writeState } from "../../../src/output/part-state.js";
import { withFolder } from "../../support/checkpoints.js";
import { refuses } from "../../support/refusal.js";

const SAID: ReportedState = { state: "running", done: 1, total: 2, rate: 3, whole: 4 };
const FOREIGN = JSON.stringify({ pid: 1, host: "another-machine", boot: "b", started: "1", token: "t" });

async function lockedElsewhere(folder: string): Promise<void> {
  await mkdir(join(folder, "lock"), { recursive: true });
  await writeFile(join(folder, "lock", "holder"), FOREIGN);
}

test("a lock of another machine is held by default, and while its part is heard", async () => {
  await withFolder(async (folder) => {
    await lockedElsewhere(folder);
    await refuses(() => takeLock(folder), "OUTPUT_LOCKED", /process 1 on another-machine/);
    let asked = 0;
    const heard = async (): Promise<boolean> => {
      asked++;
      return true;
    };
    await refuses(() => takeLock(folder, heard), "OUTPUT_LOCKED", /process 1 on another-machine/);
    assert.equal(asked, 1);
  });
});

test("the lock of a silent part is taken over, and its former holder can tell", async () => {
  await withFolder(async (folder) => {
    await lockedElsewhere(folder);
    await writeState(folder, SAID, 7);
    const lock = await takeLock(folder, () => isHeard(folder, undefined, 30));
    assert.equal(await lock.isMine(), true);
    await writeFile(join(folder, "lock", "holder"), FOREIGN);
    assert.equal(await lock.isMine(), false);
    await lock.release(); // it is another's now
    await refuses(() => takeLock(folder), "OUTPUT_LOCKED", /another-machine/);
  });
});

test("a part counts as alive once it reports something new", async () => {
  await withFolder(async (folder) => {
    await writeState(folder, SAID, 1);
    const later = setTimeout(() => void writeState(folder, SAID, 2), 20);
    assert.equal(await isHeard(folder, undefined, 1500), true);
    clearTimeout(later);
    assert.equal(await isHeard(folder, undefined, 30), false);
    assert.equal(await isHeard(folder, AbortSignal.abort(), 1e9), true, "whoever is told to end does not take over");
  });
});

test("an invalid state counts as no report", async () => {
  await withFolder(async (folder) => {
    assert.equal(await readState(folder), null);
    for (const text of ["", "{", "null", "[]", '{"state":"running"}', '{"state":5}', "\0\0"]) {
      await writeFile(join(folder, "state"), text);
      assert.equal(await readState(folder), null, text);
    }
    await writeState(folder, { ...SAID, error: { code: "IO", message: "x" } }, 3);
    assert.equal((await readState(folder))?.error?.message, "x");
  });
});
