/**
 * Every pair under fixtures/ties, models whose head and embedding are one matrix: each recovered tensor, and each of a diff, is sha256
 * for sha256 what the unmodified scripts made of the same files.
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { readConfig } from "../../src/checkpoint/config.js";
import { inspect } from "../../src/commands/inspect.js";
import { makeDiff } from "../../src/commands/make-diff.js";
import { type RecoverOptions, recover } from "../../src/commands/recover.js";
import { withFolder } from "../support/checkpoints.js";
import { FIXTURES } from "../support/fixtures.js";

interface Expected {
  readonly script: { readonly file: string };
  readonly tensors: readonly Tensor[];
  /** tie_word_embeddings of the config that the script saved. */
  readonly tied: boolean;
  readonly sum?: { readonly value: number } | null;
}
interface Tensor {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly sha256?: string;
}

const cases = readdirSync(join(FIXTURES, "ties"), { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name);
const expectedOf = (name: string): Expected =>
  JSON.parse(readFileSync(join(FIXTURES, "ties", name, "expect.json"), "utf8")) as Expected;
/** Random numbers are no fine-tune. */
const IGNORE = ["bit-census"] as const;

for (const name of cases.filter((each) => !each.startsWith("make-"))) {
  const folder = join(FIXTURES, "ties", name);
  const expected = expectedOf(name);
  const options: RecoverOptions = {
    raw: join(folder, "base"),
    diff: join(folder, "diff"),
    scheme: expected.script.file === "weight_diff.py" ? "alpaca" : "fastchat",
    ignore: IGNORE,
  };

  for (const [what, more] of [
    ["at once", {}],
    ["in windows, threads and shards", { windowBytes: 65_536, threads: 2, maxShardSize: 300, directIo: "always" }],
  ] as const satisfies readonly (readonly [string, Partial<RecoverOptions>])[]) {
    test(`${name}: every tensor is the script's, recovered ${what}`, async () => {
      await withFolder(async (scratch) => {
        const tuned = join(scratch, "tuned");
        const report = await recover({ ...options, ...more, tuned });
        assert.deepEqual(sorted(report.tensors), sorted(expected.tensors));
        const { tensors } = await inspect({ path: tuned, digest: true });
        assert.deepEqual(sorted(tensors), sorted(expected.tensors));
        assert.equal((await readConfig(tuned))?.tied, expected.tied);
      });
    });
  }

  const { sum } = expected;
  if (sum !== undefined && sum !== null) {
    test(`${name}: the sum is that of the script's state dict, which lists a matrix under each of its names`, async () => {
      assert.equal((await recover(options)).sums?.withoutInvFreq, sum.value);
    });
  }
}

for (const name of cases.filter((each) => each.startsWith("make-"))) {
  const folder = join(FIXTURES, "ties", name);

  test(`${name}: every tensor of the diff is the script's`, async () => {
    await withFolder(async (scratch) => {
      const diff = join(scratch, "diff");
      await makeDiff({ raw: join(folder, "base"), tuned: join(folder, "tuned"), diff });
      const { tensors } = await inspect({ path: diff, digest: true });
      assert.deepEqual(sorted(tensors), sorted(expectedOf(name).tensors));
    });
  });
}

function sorted(tensors: readonly Tensor[]): readonly unknown[] {
  return tensors
    .map(({ name, dtype, shape, sha256 }) => ({ name, dtype, shape, sha256 }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}
