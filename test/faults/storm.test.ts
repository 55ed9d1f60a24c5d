/**
 * Every command that writes, ended at calls that change the disk: nothing is left that claims to be more than it is,
 * and --resume ends as an undisturbed run does. Also when the resumed run is ended in its turn, and with real kills.
 */
import assert from "node:assert/strict";
import { cp, rm } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { MANIFEST, STAGING } from "../../src/output/state.js";
import { withFolder } from "../support/checkpoints.js";
import { treeOf } from "../support/models.js";
import { forgetHolder, type Writer, writers } from "../support/storm.js";
import { watchDisk } from "../support/watched-disk.js";
import { type Ended, start } from "./program.js";

const disk = watchDisk();
const NAMES = [
  ...["recover", "recover into float16", "make-diff", "make-diff, exact", "make-diff, compressed", "convert", "xor"],
] as const;
/**
 * One in so many calls ends the first run; one in so many of those, and of the calls of the second run after it, ends both; and one
 * in so many is a real kill -9. WEIGHT_DIFF_STORM=all leaves none out.
 */
const EVERY =
  process.env.WEIGHT_DIFF_STORM === "all"
    ? { first: 1, second: 1, again: 1, killed: 1 }
    : { first: 5, second: 9, again: 9, killed: 20 };

type Tree = Readonly<Record<string, string>>;

/** What stands beside a manifest is whole, staging folder aside. */
async function refuseHalves(out: string, expected: Tree, what: string): Promise<void> {
  const found = await treeOf(out).catch((): Tree => ({}));
  if (found[MANIFEST] === expected[MANIFEST]) {
    const final = Object.entries(found).filter(([name]) => name.split("/", 1)[0] !== STAGING);
    assert.deepEqual(Object.fromEntries(final), expected, `${what}: the manifest is there`);
  }
}

/** One in EVERY.first, not the same for every command, and the last eight: the sweep, where most can go wrong. */
function crashesOf(calls: number, offset: number): readonly number[] {
  return Array.from({ length: calls }, (_, call) => call).filter(
    (call) => call % EVERY.first === offset % EVERY.first || call >= calls - 8,
  );
}

async function crashedAt(writer: Writer, out: string, mode: "new" | "resume", crashAt: number): Promise<boolean> {
  return disk
    .watch(async () => void (await writer.run(out, mode)), crashAt)
    .then(
      () => false,
      () => true,
    );
}

for (const name of NAMES) {
  test(`${name}: ended at calls that change the disk, it ends well once resumed`, async (t) => {
    await withFolder(async (folder) => {
      const { [name]: writer } = await writers(join(folder, "inputs"));
      assert.ok(writer !== undefined);
      const inputs = await treeOf(join(folder, "inputs"));
      const whole = join(folder, "whole");
      const calls = await disk.watch(async () => void (await writer.run(whole, "new")));
      const expected = await treeOf(whole);
      assert.ok(MANIFEST in expected);
      let ends = 0;
      const out = join(folder, "out");
      for (const [index, crashAt] of crashesOf(calls.length, NAMES.indexOf(name)).entries()) {
        const what = `ended at call ${crashAt}: ${JSON.stringify(calls[crashAt])}`;
        assert.ok(await crashedAt(writer, out, "new", crashAt), what);
        ends++;
        await refuseHalves(out, expected, what);
        await forgetHolder(out);
        if (index % EVERY.second === EVERY.second - 1) {
          const left = join(folder, "left");
          await cp(out, left, { recursive: true, preserveTimestamps: true });
          for (let again = 0; await crashedAt(writer, out, "resume", again); again += EVERY.again) {
            ends++;
            await refuseHalves(out, expected, `${what}, then at call ${again}`);
            await forgetHolder(out);
            await writer.run(out, "resume");
            assert.deepEqual(await treeOf(out), expected, `${what}, then at call ${again}`);
            await rm(out, { recursive: true });
            await cp(left, out, { recursive: true, preserveTimestamps: true });
          }
          await rm(left, { recursive: true });
        } else {
          await writer.run(out, "resume");
        }
        assert.deepEqual(await treeOf(out), expected, what);
        await rm(out, { recursive: true });
      }
      assert.deepEqual(await treeOf(join(folder, "inputs")), inputs, "inputs are only read");
      t.diagnostic(`${calls.length} calls, ended ${ends} times`);
    });
  });

  test(`${name}: killed with -9 at such calls, it ends well once resumed`, async (t) => {
    await withFolder(async (folder) => {
      const { [name]: writer } = await writers(join(folder, "inputs"));
      assert.ok(writer !== undefined);
      const whole = join(folder, "whole");
      assert.equal((await start([...writer.args(whole), "--quiet"]).ended).code, 0);
      const expected = await treeOf(whole);
      let kills = 0;
      const out = join(folder, "out");
      for (let crashAt = EVERY.killed - 1; ; crashAt += EVERY.killed) {
        const env = { CRASH_AT: String(crashAt) };
        const ended: Ended = await start([...writer.args(out), "--quiet"], "crash-at", env).ended;
        if (ended.code === 0) {
          break; // it has fewer calls than that
        }
        assert.equal(ended.signal, "SIGKILL", ended.stderr);
        kills++;
        await refuseHalves(out, expected, `killed at call ${crashAt}`);
        const last: Ended = await start([...writer.args(out), "--quiet", "--resume"]).ended;
        assert.equal(last.code, 0, `killed at call ${crashAt}: ${last.stderr}`);
        assert.deepEqual(await treeOf(out), expected, `killed at call ${crashAt}`);
        await rm(out, { recursive: true });
      }
      assert.ok(kills >= 3, `${kills} kills`);
      t.diagnostic(`${kills} kills`);
    });
  });
}
