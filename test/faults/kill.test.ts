/** kill -9 at random moments, 50 times, and --resume: in the end every file is that of an undisturbed run. */
import assert from "node:assert/strict";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { MANIFEST } from "../../src/output/state.js";
import { withFolder } from "../support/checkpoints.js";
import { hashed } from "../support/kernels.js";
import { midSize, treeOf, writePair } from "../support/models.js";
import { recoverArgs, start } from "./program.js";

const KILLS = 50;
/** Kills of one run, one after the other, before it may end. */
const KILLS_PER_RUN = 5;

test(`after ${KILLS} kills at random moments, every resumed run ends as an undisturbed one`, async (t) => {
  await withFolder(async (folder) => {
    const pair = await writePair(folder, midSize());
    const began = performance.now();
    const whole = await start(recoverArgs(pair, join(folder, "whole"))).ended;
    const duration = performance.now() - began;
    assert.equal(whole.code, 0, whole.stderr);
    const expected = await treeOf(join(folder, "whole"));
    const { tensors } = JSON.parse(whole.stdout) as { tensors: unknown };

    let kills = 0;
    let resumedTensors = 0;
    for (let attempt = 0; kills < KILLS; attempt++) {
      assert.ok(attempt < 4 * KILLS, `only ${kills} of ${attempt} processes lived long enough to be killed`);
      const tuned = join(folder, "tuned");
      for (let k = 0; k < KILLS_PER_RUN && kills < KILLS; k++) {
        const program = start(recoverArgs(pair, tuned, "--resume"));
        // Moments are spread over start-up, run and final sweep.
        const moment = ((hashed(attempt, 1, k)[0] ?? 0) / 2 ** 32) * duration * 1.05;
        await Promise.race([pause(moment), program.ended]);
        program.child.kill("SIGKILL");
        const { code, signal, stderr } = await program.ended;
        if (signal !== "SIGKILL") {
          assert.equal(code, 0, stderr);
          break;
        }
        kills++;
        const names = await readdir(tuned).catch((): string[] => []);
        if (names.includes(MANIFEST)) {
          const missing = Object.keys(expected).filter((name) => !names.includes(name));
          assert.deepEqual(missing, [], "a manifest stands for a finished run");
        }
      }
      const last = await start(recoverArgs(pair, tuned, "--resume")).ended;
      assert.equal(last.code, 0, last.stderr);
      const report = JSON.parse(last.stdout) as { tensors: unknown; resumed_tensors: number };
      assert.deepEqual(report.tensors, tensors);
      resumedTensors += report.resumed_tensors;
      assert.deepEqual(await treeOf(tuned), expected, `after ${kills} kills`);
      await rm(tuned, { recursive: true });
    }
    const again = await start(recoverArgs(pair, join(folder, "whole"), "--resume")).ended;
    assert.equal(again.code, 0, again.stderr);
    assert.equal((JSON.parse(again.stdout) as { outcome: string }).outcome, "verified");
    assert.deepEqual(await treeOf(join(folder, "whole")), expected);
    t.diagnostic(`${kills} kills within ${Math.round(duration)} ms of start; ${resumedTensors} tensors taken over`);
  });
});
