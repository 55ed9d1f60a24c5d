/** make-diff killed with -9 and resumed: in the end every file, manifest and proofs included, is that of an undisturbed run. */
import assert from "node:assert/strict";
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { MANIFEST, STAGING } from "../../src/output/state.js";
import { withFolder } from "../support/checkpoints.js";
import { hashed } from "../support/kernels.js";
import { midSize, type Pair, treeOf, writePair } from "../support/models.js";
import { type Ended, reaches, start } from "./program.js";

const KILLS = 10;
/** Kills of one run, one after the other, before it may end. */
const KILLS_PER_RUN = 3;

/** The diff of the pair stands for a fine-tuned model. Several shards, for a sweep with several steps. */
function makeDiffArgs({ raw, diff: tuned }: Pair, diff: string, ...more: readonly string[]): readonly string[] {
  const shards = ["--max-shard-size", "9MB", "--no-progress", "--json"];
  return ["make-diff", "--path_raw", raw, "--path_tuned", tuned, "--path_diff", diff, ...shards, ...more];
}

interface Report {
  readonly inexact: unknown;
  readonly resumed_tensors: number;
}
const reportOf = ({ code, stdout, stderr }: Ended): Report => {
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout) as Report;
};

const ENCODINGS = {
  additive: ["--encoding", "additive"],
  exact: ["--encoding", "exact"],
  compressed: ["--compress"],
} as const;

for (const [encoding, flags] of Object.entries(ENCODINGS)) {
  test(`${encoding}: after ${KILLS / 2} kills at random moments, every resumed run ends as an undisturbed one`, async (t) => {
    await withFolder(async (folder) => {
      const pair = await writePair(folder, midSize());
      const began = performance.now();
      const whole = reportOf(await start(makeDiffArgs(pair, join(folder, "whole"), ...flags)).ended);
      let duration = performance.now() - began;
      assert.equal(Array.isArray(whole.inexact) && whole.inexact.length > 0, encoding === "additive");
      const expected = await treeOf(join(folder, "whole"));

      const diff = join(folder, "made");
      let kills = 0;
      let resumedTensors = 0;
      for (let attempt = 0; kills < KILLS / 2; attempt++) {
        assert.ok(attempt < 4 * KILLS, `only ${kills} of ${attempt} processes lived long enough to be killed`);
        const args = makeDiffArgs(pair, diff, "--resume", ...flags);
        for (let k = 0; k < KILLS_PER_RUN && kills < KILLS / 2; k++) {
          const started = performance.now();
          const program = start(args);
          const moment = (0.2 + 0.8 * ((hashed(attempt, 1, k)[0] ?? 0) / 2 ** 32)) * duration;
          await Promise.race([pause(moment), program.ended]);
          program.child.kill("SIGKILL");
          const { code, signal, stderr } = await program.ended;
          if (signal !== "SIGKILL") {
            assert.equal(code, 0, stderr);
            // The machine has become quicker than it was for the first run.
            duration = Math.min(duration, performance.now() - started);
            break;
          }
          kills++;
          const names = await readdir(diff).catch((): string[] => []);
          if (names.includes(MANIFEST)) {
            const missing = Object.keys(expected).filter((name) => !names.includes(name));
            assert.deepEqual(missing, [], "a manifest stands for a finished run");
          }
        }
        const last = reportOf(await start(args).ended);
        resumedTensors += last.resumed_tensors;
        assert.deepEqual(await treeOf(diff), expected, `after ${kills} kills`);
        await rm(diff, { recursive: true });
      }
      t.diagnostic(`${kills} kills within ${Math.round(duration)} ms of start; ${resumedTensors} tensors taken over`);
    });
  });
}

test("a run that was killed half way resumes with the proofs in its journal, and counts the same elements as a whole run", async () => {
  await withFolder(async (folder) => {
    const pair = await writePair(folder, midSize());
    const whole = reportOf(await start(makeDiffArgs(pair, join(folder, "whole"))).ended);
    const diff = join(folder, "made");
    const program = start(makeDiffArgs(pair, diff, "--threads", "1"), "slow-disk");
    assert.ok(await reaches(program, diff, 5), "the run ended before it could be killed");
    program.child.kill("SIGKILL");
    await program.ended;
    const resumed = reportOf(await start(makeDiffArgs(pair, diff, "--resume")).ended);
    assert.ok(resumed.resumed_tensors >= 5, `${resumed.resumed_tensors} tensors were taken over`);
    assert.deepEqual(resumed.inexact, whole.inexact);
    assert.deepEqual(await treeOf(diff), await treeOf(join(folder, "whole")));
  });
});

test("tensors whose lines in the journal have no proof are made again", async () => {
  await withFolder(async (folder) => {
    const pair = await writePair(folder, midSize());
    const whole = reportOf(await start(makeDiffArgs(pair, join(folder, "whole"))).ended);
    const diff = join(folder, "made");
    const program = start(makeDiffArgs(pair, diff, "--threads", "1"), "slow-disk");
    assert.ok(await reaches(program, diff, 5), "the run ended before it could be killed");
    program.child.kill("SIGKILL");
    await program.ended;
    const journal = join(diff, STAGING, "journal");
    const [head, ...lines] = (await readFile(journal, "utf8")).split("\n");
    const stripped = lines.map((line, i) =>
      i < 3 ? line.replace(/,"proof":\{[^}]*\}/, i === 0 ? "" : ',"proof":{"raw":1}') : line,
    );
    assert.notDeepEqual(stripped, lines);
    await writeFile(journal, [head, ...stripped].join("\n"));
    const resumed = reportOf(await start(makeDiffArgs(pair, diff, "--resume")).ended);
    assert.deepEqual(resumed.inexact, whole.inexact);
    assert.deepEqual(await treeOf(diff), await treeOf(join(folder, "whole")));
  });
});
