/** --part: K/N, and what schedulers say of their tasks; batch, and what it takes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { run as batch } from "../../../../src/cli/commands/batch.js";
import type { During } from "../../../../src/cli/commands/story.js";
import type { BatchRequest } from "../../../../src/cli/flags/flag.js";
import { schedulerPart } from "../../../../src/cli/flags/parts.js";
import { readFlags } from "../../../../src/cli/flags/read.js";
import { refuses } from "../../../support/refusal.js";

const part = (text: string): unknown => readFlags("convert", ["S", "O"], new Map([["part", text]])).asked.part;

test("K counts from 0, and is less than N", async () => {
  assert.deepEqual(part("0/1"), { index: 0, count: 1 });
  assert.deepEqual(part("6/7"), { index: 6, count: 7 });
  await refuses(() => part("7/7"), "USAGE", /^--part: "7\/7": parts count from 0: the last of 7 is 6\/7$/);
  for (const wrong of ["3", "a/b", "-1/3", "1/0", "1/3/4", "0x1/3", "1/99999", "", "1 /3"]) {
    await refuses(() => part(wrong), "USAGE", /^--part: ".*" is not K\/N, as in 0\//);
  }
});

const slurm = (id: number, least: number, most: number, count: number): Record<string, string> => ({
  ...{ SLURM_ARRAY_TASK_ID: `${id}`, SLURM_ARRAY_TASK_MIN: `${least}`, SLURM_ARRAY_TASK_MAX: `${most}` },
  SLURM_ARRAY_TASK_COUNT: `${count}`,
});

test("auto: Slurm's array gives both numbers, unless it has gaps", () => {
  assert.deepEqual(schedulerPart(null, slurm(5, 3, 9, 7)), { index: 2, count: 7 });
  assert.deepEqual(schedulerPart(null, slurm(0, 0, 0, 1)), { index: 0, count: 1 });
  assert.match(String(schedulerPart(null, slurm(5, 3, 9, 2))), /some are left out, so give auto\/N/);
  assert.match(String(schedulerPart(null, { SLURM_ARRAY_TASK_ID: "1" })), /_COUNT are not set/);
});

test("auto/N takes the number of the task as that of the part, also when some tasks run again", () => {
  assert.deepEqual(schedulerPart(8, slurm(5, 3, 9, 2)), { index: 5, count: 8 });
  assert.deepEqual(schedulerPart(8, { JOB_COMPLETION_INDEX: "0" }), { index: 0, count: 8 });
  assert.match(
    String(schedulerPart(8, { JOB_COMPLETION_INDEX: "8" })),
    /the task is number 8, and parts count from 0 to 7/,
  );
  assert.match(String(schedulerPart(null, { JOB_COMPLETION_INDEX: "0" })), /give auto\/N/);
  assert.match(String(schedulerPart(8, {})), /neither SLURM_ARRAY_TASK_ID nor JOB_COMPLETION_INDEX is set/);
});

async function printed(words: readonly string[], more: Partial<BatchRequest> = {}): Promise<string> {
  let text = "";
  await batch({ engine: "slurm", parts: 3, look: {}, words, ...more }, {} as During, (said) => {
    text += said;
  });
  return text;
}

test("batch divides a command line, whatever is in its paths", async () => {
  const text = await printed(["weight-diff", "recover", "my base", "d'iff", "$(out)"], {
    time: "1:00:00",
    partition: "p",
  });
  assert.match(
    text,
    /^weight-diff recover 'my base' 'd'\\''iff' '\$\(out\)' --part auto\/3 --resume --no-progress &$/m,
  );
  assert.match(text, /--wrap='exec weight-diff finalize '\\''\$\(out\)'\\'' --no-progress'/);
  assert.match(text, /^#SBATCH --array=0-2$/m);
  assert.match(text, /^#SBATCH --partition=p$/m);
});

test("batch refuses a command line that is wrong or cannot be divided, before it prints anything", async () => {
  for (const [words, message] of [
    [[], /no command line is given; those that can be divided/],
    [["verify", "x"], /no command line is given; those that can be divided/],
    [["recover", "--path_raw", "a"], /--path_diff: is missing/],
    [["recover", "a", "b"], /nothing is written: --path_tuned is missing/],
    [["recover", "a", "b", "c", "--resume"], /the job sets --resume itself/],
    [["convert", "a", "b", "--part", "0/3"], /the job sets --part itself/],
    [["convert", "a", "b", "--nonsense"], /unknown option '--nonsense'/],
  ] as const) {
    await refuses(() => printed(words), "USAGE", message);
  }
  await refuses(
    () => printed(["convert", "a", "b"], { engine: "kubernetes" }),
    "USAGE",
    /--image and --claim are missing/,
  );
});
