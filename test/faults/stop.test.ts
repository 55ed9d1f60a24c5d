/** What ends a run from outside: signals, a full disk, a dead worker, a second run. The first three leave a run to resume. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { STAGING } from "../../src/output/state.js";
import { withFolder } from "../support/checkpoints.js";
import { midSize, type Pair, treeOf, writePair } from "../support/models.js";
import { type Ended, reaches, recoverArgs, start } from "./program.js";

let release: () => void = () => {};
let pair: Pair;
let expected: Readonly<Record<string, string>>;
let count: number;

before(async () => {
  // The folder lives until all tests have run.
  await new Promise<void>((ready, fail) => {
    void withFolder(async (folder) => {
      pair = await writePair(folder, midSize());
      count = midSize().length;
      const whole = await start(recoverArgs(pair, join(folder, "whole"))).ended;
      assert.equal(whole.code, 0, whole.stderr);
      expected = await treeOf(join(folder, "whole"));
      await new Promise<void>((done) => {
        release = done;
        ready();
      });
    }).catch(fail);
  });
});
after(() => release());

/** Resumes; the tensors that were finished must have been taken over. */
async function resumes(tuned: string, atLeast: number): Promise<void> {
  const { code, stdout, stderr } = await start(recoverArgs(pair, tuned, "--resume")).ended;
  assert.equal(code, 0, stderr);
  const { resumed_tensors: resumed } = JSON.parse(stdout) as { resumed_tensors: number };
  assert.ok(resumed >= atLeast && resumed < count, `${resumed} of ${count} tensors were taken over`);
  assert.deepEqual(await treeOf(tuned), expected);
}

async function leftToResume(tuned: string, { stderr }: Ended): Promise<void> {
  assert.deepEqual(await readdir(tuned), [STAGING]);
  assert.match(stderr, /^weight-diff: hint: .*--resume/m);
}

for (const [signal, code] of [
  ["SIGINT", 130],
  ["SIGTERM", 143],
] as const) {
  for (const threads of ["2", "1"]) {
    test(`${signal} ends a run of ${threads} threads with ${code} and leaves it to be resumed`, async (t) => {
      await withFolder(async (folder) => {
        const tuned = join(folder, "tuned");
        const program = start(recoverArgs(pair, tuned, "--threads", threads), "slow-disk");
        assert.ok(await reaches(program, tuned, 3), "the run ended before it could be interrupted");
        const began = performance.now();
        program.child.kill(signal);
        const ended = await program.ended;
        const took = performance.now() - began;
        assert.ok(took < 2500, `it took ${took} ms to stop`);
        t.diagnostic(`stopped after ${Math.round(took)} ms`);
        assert.equal(ended.code, code, ended.stderr);
        const { error } = JSON.parse(ended.stdout);
        assert.deepEqual(error, {
          code: signal === "SIGINT" ? "INTERRUPTED" : "TERMINATED",
          message: "interrupted: what is finished stays",
          hint: "continue with --resume",
          at: null,
        });
        await leftToResume(tuned, ended);
        await resumes(tuned, 3);
      });
    });
  }
}

test("a signal before the first tensor ends the run too", async () => {
  await withFolder(async (folder) => {
    const tuned = join(folder, "tuned");
    const program = start(recoverArgs(pair, tuned, "--threads", "2"), "slow-disk");
    assert.ok(await reaches(program, tuned, 0));
    program.child.kill("SIGTERM");
    assert.equal((await program.ended).code, 143);
  });
});

test("a worker that dies ends the run with 5, and it can be resumed", async () => {
  await withFolder(async (folder) => {
    const tuned = join(folder, "tuned");
    const ended = await start(recoverArgs(pair, tuned, "--threads", "2"), "dying-worker").ended;
    assert.equal(ended.code, 5, ended.stderr);
    assert.match(ended.stderr, /^weight-diff: error: a worker thread died: exit code 1$/m);
    await leftToResume(tuned, ended);
    await resumes(tuned, 1);
  });
});

test("a second run on the same directory is refused, and the first one ends normally", async () => {
  await withFolder(async (folder) => {
    const tuned = join(folder, "tuned");
    const first = start(recoverArgs(pair, tuned), "slow-disk");
    assert.ok(await reaches(first, tuned, 1));
    // Held where it is: the others meet it in the middle of its work.
    first.child.kill("SIGSTOP");
    for (const flag of ["--resume", "--force"]) {
      const second = await start(recoverArgs(pair, tuned, flag)).ended;
      assert.equal(second.code, 4, second.stderr);
      assert.match(second.stderr, /another run is writing here/);
    }
    first.child.kill("SIGCONT");
    const ended = await first.ended;
    assert.equal(ended.code, 0, ended.stderr);
    assert.deepEqual(await treeOf(tuned), expected);
  });
});

test("a disk that fills up ends the run with exit code 5, and with room again the run can be continued", async (t) => {
  await withFolder(async (folder) => {
    const small = join(folder, "small");
    await mkdir(small);
    // Twice the output fits; a file that takes the rest comes once the room has been checked.
    const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=64m", "tmpfs", small]).status === 0;
    if (!mounted) {
      t.skip("may not mount a tmpfs; the injected full disk is tested all the same");
      return;
    }
    try {
      const tuned = join(small, "tuned");
      const program = start(recoverArgs(pair, tuned), "slow-disk");
      assert.ok(await reaches(program, tuned, 2));
      await writeFile(join(small, "filler"), new Uint8Array(64 << 20)).catch(() => {}); // until it is full
      const ended = await program.ended;
      assert.equal(ended.code, 5, ended.stderr);
      assert.match(ended.stderr, /^weight-diff: error: .*: no room left on the disk/m);
      await leftToResume(tuned, ended);
      await rm(join(small, "filler"));
      await resumes(tuned, 2);
    } finally {
      spawnSync("umount", [small]);
    }
  });
});
