/** Progress is true: it ends at what was announced, also where a run is continued and where whole files are digested. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { makeDiff } from "../../../src/commands/make-diff.js";
import { recover } from "../../../src/commands/recover.js";
import { WeightDiffError } from "../../../src/errors.js";
import type { ProgressState } from "../../../src/run/run-plan.js";
import { withFolder } from "../../support/checkpoints.js";
import { FIXTURES } from "../../support/fixtures.js";

const DEMO = { raw: join(FIXTURES, "demo", "base"), diff: join(FIXTURES, "demo", "diff") };

test("progress ends at the bytes it announced", async () => {
  await withFolder(async (folder) => {
    const states: ProgressState[] = [];
    const report = await recover({ ...DEMO, tuned: join(folder, "out"), onProgress: (state) => states.push(state) });
    const last = states.at(-1);
    assert.equal(last?.done, last?.total);
    assert.equal(last?.done, report.bytesRead + report.bytesWritten);
  });
});

test("progress of a continued run counts the bytes that it verifies, not those that it saves", async () => {
  await withFolder(async (folder) => {
    const tuned = join(folder, "out");
    const stop = new AbortController();
    const started: ProgressState[] = [];
    await assert.rejects(
      recover({
        ...DEMO,
        tuned,
        signal: stop.signal,
        onProgress(state) {
          started.push(state);
          if (started.length === 9) {
            stop.abort(new WeightDiffError("INTERRUPTED", "stopped"));
          }
        },
      }),
    );
    const states: ProgressState[] = [];
    const report = await recover({ ...DEMO, tuned, mode: "resume", onProgress: (state) => states.push(state) });
    assert.ok(report.resumed > 0 && report.resumed < report.tensors.length, String(report.resumed));
    const last = states.at(-1);
    assert.equal(last?.done, last?.total);
    assert.ok(states.every(({ done, total }) => done <= total));
  });
});

test("progress of make-diff counts the digests of whole files, too, and never goes back", async () => {
  await withFolder(async (folder) => {
    const tuned = join(folder, "tuned");
    await recover({ ...DEMO, tuned, dtype: "BF16" });
    const states: ProgressState[] = [];
    await makeDiff({ raw: DEMO.raw, tuned, diff: join(folder, "diff"), onProgress: (state) => states.push(state) });
    assert.ok(states.every(({ done }, index) => done > (states[index - 1]?.done ?? 0)));
    const last = states.at(-1);
    assert.equal(last?.done, last?.total);
    assert.equal(last?.shard, "model.safetensors");
  });
});
