/** The library's calls stop when their signal is aborted, as the command line does at a SIGINT, and leave as much to be continued. */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { WeightDiffError } from "../../src/errors.js";
import { inspect, makeDiff, push, recover, verify } from "../../src/index.js";
import { STAGING } from "../../src/output/state.js";
import { BASE, DIFF } from "../cli/command.js";
import { filesOf } from "../hub/repo.js";
import { startHub, type TestHub } from "../hub/server.js";
import { midSize, type Pair, treeOf, writePair } from "../support/models.js";

const HOME = mkdtempSync(join(tmpdir(), "weight-diff-"));
const whole = join(HOME, "whole");
let pair: Pair;
let hub: TestHub;

before(async () => {
  pair = await writePair(HOME, midSize());
  hub = await startHub();
  hub.account("hf_writer", { name: "org", namespaces: ["org"] });
  hub.add("org/base", filesOf(BASE));
  await recover({ ...pair, tuned: whole, maxShardSize: 9_000_000 });
});
after(async () => {
  await hub.close();
  rmSync(HOME, { recursive: true });
});

/** Aborts `work` at its first progress. @returns the error, which must have come soon. */
async function stopped(
  work: (signal: AbortSignal, onProgress: () => void) => Promise<unknown>,
): Promise<WeightDiffError> {
  const stop = new AbortController();
  let at = 0;
  const onProgress = (): void => {
    at ||= performance.now();
    stop.abort();
  };
  try {
    await work(stop.signal, onProgress);
  } catch (error) {
    assert.ok(at > 0, `ended before there was progress: ${error}`);
    assert.ok(performance.now() - at < 2500, `it took ${performance.now() - at} ms to stop`);
    assert.ok(error instanceof WeightDiffError && error.code === "INTERRUPTED", String(error));
    assert.equal(error.cause, stop.signal.reason);
    return error;
  }
  return assert.fail("went on to its end");
}

for (const threads of [0, 1, 2]) {
  test(`recover with ${threads} threads leaves what is finished, and is continued`, async () => {
    const tuned = join(HOME, `tuned-${threads}`);
    const options = { ...pair, tuned, threads, maxShardSize: 9_000_000 };
    const { advice } = await stopped((signal, onProgress) => recover({ ...options, signal, onProgress }));
    assert.deepEqual(advice, [{ to: "continue", option: "mode", value: "resume" }]);
    assert.deepEqual(readdirSync(tuned), [STAGING]);
    await recover({ ...options, mode: "resume" });
    assert.deepEqual(await treeOf(tuned), await treeOf(whole));
  });
}

for (const [what, work] of [
  [
    "makeDiff",
    (signal, onProgress) => makeDiff({ raw: pair.raw, tuned: whole, diff: join(HOME, "diff-2"), signal, onProgress }),
  ],
  ["verify", (signal, onProgress) => verify({ path: whole, requireDigests: true, signal, onProgress })],
  ["inspect", (signal, onProgress) => inspect({ path: whole, digest: true, signal, onProgress })],
  ["recover that writes nothing", (signal, onProgress) => recover({ ...pair, signal, onProgress })],
] as const satisfies readonly (readonly [string, Parameters<typeof stopped>[0]])[]) {
  test(`${what} stops`, async () => {
    const { advice } = await stopped(work);
    assert.equal(advice.length, what === "makeDiff" ? 1 : 0);
  });
}

test("a Hub that does not answer does not keep a run waiting", async () => {
  hub.fault(/revision/, { kind: "delay", ms: 4000 }, 2);
  const stop = new AbortController();
  const began = performance.now();
  setTimeout(() => stop.abort("enough"), 100);
  const options = { endpoint: hub.endpoint, token: null, cache: null, environment: {} };
  await assert.rejects(recover({ raw: "org/base", diff: DIFF, hub: options, signal: stop.signal }), (error) => {
    assert.ok(error instanceof WeightDiffError && error.code === "INTERRUPTED", String(error));
    assert.equal(error.cause, "enough");
    return true;
  });
  assert.ok(performance.now() - began < 2500);
});

test("push stops", async () => {
  const made = join(HOME, "made");
  await recover({ raw: BASE, diff: DIFF, tuned: made });
  const stop = new AbortController();
  hub.fault(/^PUT cdn/, { kind: "delay", ms: 4000 }, 5);
  await assert.rejects(
    push({
      path: made,
      repo: "org/new",
      hub: { endpoint: hub.endpoint, token: "hf_writer", environment: {} },
      signal: stop.signal,
      onNote: (text) => {
        if (text.startsWith("sending")) {
          setTimeout(() => stop.abort(), 200);
        }
      },
    }),
    (error) => error instanceof WeightDiffError && error.code === "INTERRUPTED",
  );
});

test("a signal that is aborted already stops a call before it looks at anything", async () => {
  const nothing = join(HOME, "nothing");
  for (const work of [
    recover({ raw: nothing, diff: nothing, signal: AbortSignal.abort() }),
    verify({ path: nothing, signal: AbortSignal.abort(new Error("why")) }),
    push({ path: nothing, repo: "x/y", signal: AbortSignal.abort() }),
  ]) {
    await assert.rejects(work, (error) => error instanceof WeightDiffError && error.code === "INTERRUPTED");
  }
});

test("a WeightDiffError that is the reason of an abort is thrown unchanged", async () => {
  const reason = new WeightDiffError("TERMINATED", "told to");
  await assert.rejects(inspect({ path: whole, signal: AbortSignal.abort(reason) }), (error) => error === reason);
});
