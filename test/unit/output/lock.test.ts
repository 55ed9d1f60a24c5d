/** Who may take over a lock, and that only one does. */
import assert from "node:assert/strict";
import { type ChildProcess, fork, spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { lockOutput } from "../../../src/output/lock.js";
import { withFolder } from "../../support/checkpoints.js";
import { refuses } from "../../support/refusal.js";

const LINUX = process.platform === "linux";
const onlyLinux = { skip: LINUX ? false : "needs /proc" };

/** The lock that this process writes. */
async function ownLock(): Promise<Record<string, unknown>> {
  return withFolder(async (folder) => {
    const unlock = await lockOutput(folder);
    const text = await readFile(join(folder, "lock"), "utf8");
    await unlock();
    return JSON.parse(text) as Record<string, unknown>;
  });
}

async function startedOf(pid: number): Promise<string | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8");
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
}

function deadPid(): number {
  return spawnSync(process.execPath, ["--version"]).pid;
}

async function takesOver(text: string): Promise<void> {
  await withFolder(async (folder) => {
    await writeFile(join(folder, "lock"), text);
    const unlock = await lockOutput(folder);
    assert.equal(JSON.parse(await readFile(join(folder, "lock"), "utf8")).pid, process.pid);
    assert.deepEqual(await readdir(folder), ["lock"]);
    await unlock();
    assert.deepEqual(await readdir(folder), []);
  });
}

test("is refused while this very process holds it, and free again afterwards", async () => {
  await withFolder(async (folder) => {
    const unlock = await lockOutput(folder);
    await refuses(() => lockOutput(folder), "OUTPUT_LOCKED", new RegExp(`another run.*"pid":${process.pid}`));
    assert.deepEqual(await readdir(folder), ["lock"]);
    await unlock();
    await (await lockOutput(folder))();
    assert.deepEqual(await readdir(folder), []);
  });
});

test("is taken over when the process is gone", async () => {
  await takesOver(JSON.stringify({ ...(await ownLock()), pid: deadPid() }));
});

test("is taken over when the number belongs to another process by now", onlyLinux, async () => {
  await takesOver(JSON.stringify({ ...(await ownLock()), started: "1" }));
});

test("is taken over after a restart of the machine", onlyLinux, async () => {
  await takesOver(JSON.stringify({ ...(await ownLock()), boot: "another" }));
});

test("is taken over when the process only waits to be buried", onlyLinux, async () => {
  // The shell becomes a program that never asks for its child, and only then the child may end.
  const shell = spawn("sh", ["-c", "exec 3<&0; (read line <&3) & echo $!; exec sleep 600"]);
  const shows = async (file: string, wanted: RegExp): Promise<void> => {
    const deadline = Date.now() + 60_000;
    while (!wanted.test(await readFile(file, "utf8"))) {
      assert.ok(Date.now() < deadline, `${file} never showed ${wanted}`);
      await pause(2);
    }
  };
  try {
    const [line] = (await once(shell.stdout, "data")) as [Buffer];
    const pid = Number(line.toString());
    await shows(`/proc/${shell.pid}/comm`, /^sleep/);
    shell.stdin.end("\n");
    await shows(`/proc/${pid}/stat`, /\) Z /);
    await takesOver(JSON.stringify({ ...(await ownLock()), pid, started: await startedOf(pid) }));
  } finally {
    shell.kill("SIGKILL");
  }
});

for (const [what, text] of [
  ["empty", ""],
  ["torn", '{"pid":1,"host":"'],
  ["of another form", '{"pid":"1","host":"h","boot":"","started":""}'],
  ["no object", "null"],
] as const) {
  test(`a lock that is ${what} holds nobody off`, () => takesOver(text));
}

test("is refused when its holder runs on another host, and says which file to delete", async () => {
  const lock = JSON.stringify({ ...(await ownLock()), host: `not-${hostname()}`, pid: deadPid() });
  await withFolder(async (folder) => {
    await writeFile(join(folder, "lock"), lock);
    await assert.rejects(lockOutput(folder), { code: "OUTPUT_LOCKED", hint: /delete .*lock$/ });
    assert.equal(await readFile(join(folder, "lock"), "utf8"), lock);
    assert.deepEqual(await readdir(folder), ["lock"]);
  });
});

test("giving back leaves a lock alone that somebody else took", async () => {
  await withFolder(async (folder) => {
    const unlock = await lockOutput(folder);
    await writeFile(join(folder, "lock"), "somebody else's");
    await unlock();
    assert.equal(await readFile(join(folder, "lock"), "utf8"), "somebody else's");
  });
});

test("a folder that is not there is an error of the disk", async () => {
  await refuses(() => lockOutput(join("no", "such", "folder")), "IO", /cannot lock: no such file/);
});

test("of four that find the same stale lock at once, exactly one wins, each of 150 times", async () => {
  const takers = Array.from({ length: 4 }, () => fork(fileURLToPath(new URL("./lock-taker.js", import.meta.url))));
  const answerOf = async (taker: ChildProcess, question: Parameters<ChildProcess["send"]>[0]): Promise<unknown> => {
    const answer = once(taker, "message");
    taker.send(question);
    return (await answer)[0];
  };
  const pid = deadPid();
  const own = await ownLock();
  try {
    for (let round = 0; round < 150; round++) {
      await withFolder(async (folder) => {
        await writeFile(join(folder, "lock"), JSON.stringify({ ...own, pid, round }));
        const at = Date.now() + 2;
        const answers = await Promise.all(takers.map((taker) => answerOf(taker, { folder, at })));
        assert.deepEqual(
          answers.toSorted(),
          ["OUTPUT_LOCKED", "OUTPUT_LOCKED", "OUTPUT_LOCKED", "won"],
          `round ${round}`,
        );
        assert.deepEqual(await readdir(folder), ["lock"]);
        await Promise.all(takers.map((taker) => answerOf(taker, "release")));
        assert.deepEqual(await readdir(folder), []);
      });
    }
  } finally {
    for (const taker of takers) {
      taker.disconnect();
    }
  }
});

test("a run that was killed while taking over does not stand in the way", async () => {
  await withFolder(async (folder) => {
    const stale = JSON.stringify({ ...(await ownLock()), pid: deadPid() });
    await writeFile(join(folder, "lock"), stale);
    // The claim's name follows from the stale lock.
    const claim = join(folder, `lock.${createHash("sha256").update(stale).digest("hex").slice(0, 8)}`);
    await writeFile(claim, JSON.stringify({ ...(await ownLock()), pid: deadPid(), started: "2" }));
    const unlock = await lockOutput(folder);
    assert.deepEqual(await readdir(folder), ["lock"]);
    await unlock();
  });
});
