/** Who may take over a lock, and that only one does. */
import assert from "node:assert/strict";
import { type ChildProcess, fork, spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { chmod, lstat, mkdir, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { lockOutput, refuseLocked, removeStaleLocks } from "../../../src/output/lock.js";
import { withFolder, writeFiles } from "../../support/checkpoints.js";
import { refuses } from "../../support/refusal.js";
import { watchDisk } from "../../support/watched-disk.js";

const disk = watchDisk();
const LINUX = process.platform === "linux";
const onlyLinux = { skip: LINUX ? false : "needs /proc" };

/** The lock that this process writes. */
async function ownLock(): Promise<Record<string, unknown>> {
  return withFolder(async (folder) => {
    const unlock = await lockOutput(folder);
    const text = await readFile(join(folder, "lock/holder"), "utf8");
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
    await writeFiles(folder, { "lock/holder": text });
    const unlock = await lockOutput(folder);
    assert.equal(JSON.parse(await readFile(join(folder, "lock/holder"), "utf8")).pid, process.pid);
    assert.deepEqual(await readdir(folder), ["lock"]);
    await unlock();
    assert.deepEqual(await readdir(folder), []);
  });
}

test("is refused while this very process holds it, and free again afterwards", async () => {
  await withFolder(async (folder) => {
    const unlock = await lockOutput(folder);
    await refuses(
      () => lockOutput(folder),
      "OUTPUT_LOCKED",
      new RegExp(`another run is writing here \\(process ${process.pid} on `),
    );
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
    await writeFiles(folder, { "lock/holder": lock });
    await assert.rejects(lockOutput(folder), { code: "OUTPUT_LOCKED", hint: /delete .*lock$/ });
    assert.equal(await readFile(join(folder, "lock/holder"), "utf8"), lock);
    assert.deepEqual(await readdir(folder), ["lock"]);
  });
});

test("giving back leaves a lock alone that somebody else took", async () => {
  await withFolder(async (folder) => {
    const unlock = await lockOutput(folder);
    await writeFile(join(folder, "lock/holder"), "somebody else's");
    await unlock();
    assert.equal(await readFile(join(folder, "lock/holder"), "utf8"), "somebody else's");
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
        await writeFiles(folder, { "lock/holder": JSON.stringify({ ...own, pid, round }) });
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
    await writeFiles(folder, { "lock/holder": stale });
    // The claim's name follows from the stale lock.
    const claim = join(folder, `lock.${createHash("sha256").update(stale).digest("hex").slice(0, 8)}`);
    await writeFiles(claim, { holder: JSON.stringify({ ...(await ownLock()), pid: deadPid(), started: "2" }) });
    const unlock = await lockOutput(folder);
    assert.deepEqual(await readdir(folder), ["lock"]);
    await unlock();
  });
});

// --- what stands in a lock's place and is none ----------------------------------------------------------------------------

for (const [what, put, words] of [
  ["a file", (path: string) => writeFile(path, "{}"), /lock: is a file, where a folder of this tool's must be$/],
  ["a link that leads nowhere", (path: string) => symlink("nowhere", path), /lock: is a symbolic link, where/],
  ["a link to a folder", (path: string) => symlink(".", path), /lock: is a symbolic link, where/],
  ["a named pipe", async (path: string) => makePipe(path), /lock: is a named pipe, where/],
  ["a folder of somebody's", (path: string) => writeFiles(path, { mine: "" }), /lock\/mine: is in a lock, where/],
  [
    "a folder whose holder is a folder",
    (path: string) => mkdir(join(path, "holder"), { recursive: true }),
    /holder: is a d/,
  ],
  [
    "a folder whose holder is a link",
    async (path: string) => {
      await mkdir(path);
      await symlink("/dev/zero", join(path, "holder"));
    },
    /holder: is a symbolic link, where a file/,
  ],
  ["endless", (path: string) => writeFiles(path, { holder: "x".repeat(5000) }), /has 5000 bytes; .* at most 4096$/],
] as const) {
  test(`${what} in place of the lock is refused at once, and stays`, async () => {
    await withFolder(async (folder) => {
      const path = join(folder, "lock");
      await put(path);
      const before = await lstat(path);
      await refuses(() => lockOutput(folder), "OUTPUT_REFUSED", words);
      await refuses(() => refuseLocked(folder), "OUTPUT_REFUSED", words);
      assert.equal((await lstat(path)).ino, before.ino);
      assert.deepEqual(await readdir(folder), ["lock"]);
    });
  });
}

function makePipe(path: string): void {
  assert.equal(spawnSync("mkfifo", [path]).status, 0);
}

test("an empty folder in place of the lock is one that is being given back: free", async () => {
  await withFolder(async (folder) => {
    await mkdir(join(folder, "lock"));
    await refuseLocked(folder);
    await (await lockOutput(folder))();
    assert.deepEqual(await readdir(folder), []);
  });
});

for (const name of [".fuse_hidden0000178100000026", ".nfs000000000123456700000001"]) {
  test(`a removed holder that somebody still reads (${name.slice(0, 5)}…) is waited for`, async () => {
    await withFolder(async (folder) => {
      const path = join(folder, "lock", name);
      await writeFiles(folder, { [`lock/${name}`]: "" });
      const taking = lockOutput(folder);
      await pause(30);
      await rm(path);
      const unlock = await taking;
      assert.deepEqual(await readdir(folder), ["lock"]);
      await writeFile(path, "");
      const giving = unlock();
      await pause(30);
      await rm(path);
      await giving;
      assert.deepEqual(await readdir(folder), []);
    });
  });
}

test("files of killed takers are removed, those of live takers stay", async () => {
  await withFolder(async (folder) => {
    const own = await ownLock();
    await writeFiles(folder, {
      "lock.1.aa/holder": JSON.stringify({ ...own, pid: deadPid() }),
      "lock.2.bb/holder": JSON.stringify(own),
      "lock.3.cc/holder": "",
    });
    await mkdir(join(folder, "lock.4.dd"));
    const unlock = await lockOutput(folder);
    await removeStaleLocks(folder);
    assert.deepEqual(await readdir(folder), ["lock", "lock.2.bb"]);
    await unlock();
  });
});

test("a lock that the disk cannot read is an error of the disk, and no wait", async () => {
  await withFolder(async (folder) => {
    await writeFiles(folder, { "lock/holder": JSON.stringify(await ownLock()) });
    disk.fail = (call, path) => (call === "open" && path.endsWith("holder") ? "EIO" : null);
    try {
      await refuses(() => lockOutput(folder), "IO", /cannot lock: the disk reports an error \(EIO\)$/);
      disk.fail = (call) => (call === "rename" ? "EIO" : null);
      await refuses(() => lockOutput(folder), "IO", /cannot lock: the disk reports an error \(EIO\)$/);
    } finally {
      disk.fail = null;
    }
    assert.deepEqual(await readdir(folder), ["lock"]);
  });
});

test("needs no links of any kind: FAT and many network file systems have none", async () => {
  await withFolder(async (folder) => {
    const calls = await disk.watch(async () => {
      await writeFiles(folder, { "lock/holder": JSON.stringify({ ...(await ownLock()), pid: deadPid() }) });
      await (await lockOutput(folder))();
    });
    assert.ok(calls.length > 5);
    assert.deepEqual(
      calls.filter(({ call }) => call === "link" || call === "symlink"),
      [],
    );
  });
});

test("another user's run counts as alive where /proc hides it", onlyLinux, async (t) => {
  await withFolder(async (folder) => {
    const shell = "mount -t proc -o hidepid=2 proc /proc && exec setpriv --reuid 65534 --regid 65534 --clear-groups";
    const taker = fileURLToPath(new URL("./lock-taker.js", import.meta.url));
    await chmod(folder, 0o777);
    await writeFiles(folder, { "lock/holder": JSON.stringify(await ownLock()) });
    await chmod(join(folder, "lock"), 0o777);
    const found = spawnSync("unshare", ["-m", "sh", "-c", `${shell} "$@"`, "sh", process.execPath, taker, folder], {
      encoding: "utf8",
    });
    if (!/^(won|OUTPUT_)/.test(found.stdout)) {
      t.skip(`may not mount /proc as another user sees it: ${found.stderr}`);
      return;
    }
    assert.equal(found.stdout, "OUTPUT_LOCKED");
  });
});
