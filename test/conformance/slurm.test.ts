/** The script that `batch slurm` prints, on a real Slurm: parts that are killed and put back into the queue give the bytes of one run. */
import assert from "node:assert/strict";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { status } from "../../src/commands/status.js";
import { start } from "../faults/program.js";
import { ROOT } from "../support/fixtures.js";
import { midSize, type Pair, treeOf, writePair } from "../support/models.js";
import { type Slurm, startSlurm, whyNoSlurm } from "../support/slurm.js";

const skip = whyNoSlurm();
const SLOW = fileURLToPath(new URL("../faults/slow-disk.js", import.meta.url));
const PARTS = 3;
let folder = "";
let slurm: Slurm;
let pair: Pair;
let bin = "";

before(async () => {
  if (skip !== false) {
    return;
  }
  folder = mkdtempSync(join(tmpdir(), "weight-diff-slurm-"));
  slurm = await startSlurm(join(folder, "slurm"));
  pair = await writePair(join(folder, "in"), midSize());
  bin = join(folder, "bin");
  mkdirSync(bin);
  // The first runs of two parts are slow, so that there is time to kill them.
  const program = join(ROOT, "bin", "weight-diff.js");
  writeFileSync(
    join(bin, "weight-diff"),
    `#!/bin/sh
if [ "\${SLURM_ARRAY_TASK_ID:-0}" != 0 ] && [ -z "$SLURM_RESTART_COUNT" ]; then export SLOW_MS=500; slow="--import=file://${SLOW}"; fi
exec "${process.execPath}" $slow "${program}" "$@"
`,
  );
  chmodSync(join(bin, "weight-diff"), 0o755);
});

after(async () => {
  await slurm?.stop();
  if (folder !== "") {
    rmSync(folder, { recursive: true });
  }
});

/** The process of a part that runs. */
async function processOf(out: string, index: number): Promise<number> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const part = await status({ path: out }).then(
      ({ parts }) => parts[index],
      () => undefined,
    );
    if (part?.state === "running" && part.pid !== null) {
      return part.pid;
    }
    assert.notEqual(part?.state, "finished", "it was too fast to be killed");
    await pause(50);
  }
  return assert.fail(`part ${index} does not start`);
}

async function script(line: readonly string[], file: string): Promise<void> {
  const printed = await start(["batch", "slurm", "--parts", String(PARTS), "--cpus", "1", "--", ...line]).ended;
  assert.equal(printed.code, 0, printed.stderr);
  // As if it had been printed there.
  writeFileSync(file, printed.stdout.replaceAll(/--chdir=\S+/g, `--chdir=${folder}`));
}

const logs = (): string =>
  readdirSync(folder)
    .filter((name) => name.endsWith(".log"))
    .map((name) => `${name}:\n${readFileSync(join(folder, name), "utf8")}`)
    .join("\n");

test("parts that are killed, and requeued, are made again; finalize runs after all of them, and gives the bytes of one run", {
  skip,
}, async () => {
  const line = (out: string): readonly string[] => [
    ...["recover", "--path_raw", pair.raw, "--path_diff", pair.diff, "--path_tuned", out],
    ...["--max-shard-size", "5MB", "--quiet"],
  ];
  const whole = await start(line(join(folder, "whole"))).ended;
  assert.equal(whole.code, 0, whole.stderr);
  const out = join(folder, "out");
  await script(line(out), join(folder, "job.sh"));
  const submitted = slurm.run(["bash", "job.sh"], { cwd: folder, bin });
  const [, array = ""] = /the parts are job (\d+)/.exec(submitted) ?? assert.fail(submitted);
  process.kill(await processOf(out, 1), "SIGKILL");
  await processOf(out, 2);
  slurm.run(["scontrol", "requeue", `${array}_2`]);
  await slurm.drain(90);
  const jobs = slurm.run(["scontrol", "show", "jobs"]);
  assert.ok("weight-diff.json" in (await treeOf(out)), `${logs()}\n${jobs}`);
  assert.deepEqual(await treeOf(out), await treeOf(join(folder, "whole")));
  const tasks = Array.from({ length: PARTS }, (_, index) =>
    readFileSync(join(folder, `weight-diff-${array}_${index}.log`), "utf8"),
  );
  assert.ok(
    tasks.every((text) => text.includes(" is finished: ")),
    logs(),
  );
  assert.match(tasks[1] ?? "", /Killed/);
});

test("a part whose input cannot be used is not tried again, and finalize does not run", { skip }, async () => {
  const out = join(folder, "none");
  await script(
    ["recover", "--path_raw", pair.raw, "--path_diff", pair.raw, "--path_tuned", out],
    join(folder, "bad.sh"),
  );
  slurm.run(["bash", "bad.sh"], { cwd: folder, bin });
  await slurm.drain(60);
  assert.deepEqual(await treeOf(out).catch(() => ({})), {});
});
