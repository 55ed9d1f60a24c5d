/** Every pair under fixtures/diff: the additive diff is torch's, sha256 for sha256, and so is what recover gives back. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { inspect } from "../../src/commands/inspect.js";
import { type MakeDiffOptions, makeDiff } from "../../src/commands/make-diff.js";
import { recover } from "../../src/commands/recover.js";
import { readManifest } from "../../src/manifest/read.js";
import { withFolder } from "../support/checkpoints.js";
import { FIXTURES } from "../support/fixtures.js";

interface Expected {
  readonly new_rows: number;
  readonly diff: readonly Tensor[];
  readonly recovered: readonly Tensor[];
  readonly inexact: Readonly<Record<string, number>>;
}
interface Tensor {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly sha256?: string;
}

const cases = readdirSync(join(FIXTURES, "diff"), { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name);

test("there is a case for every pair of float dtypes, with 0, 1 and 3 new rows", () => {
  assert.equal(cases.length, 9);
  assert.deepEqual([...new Set(cases.map((name) => expectedOf(name).new_rows))].sort(), [0, 1, 3]);
});

for (const name of cases) {
  const folder = join(FIXTURES, "diff", name);
  const raw = join(folder, "base");
  const options = { raw, tuned: join(folder, "tuned") };
  const expected = expectedOf(name);
  const inexact = Object.entries(expected.inexact).filter(([, count]) => count > 0);

  for (const [what, more] of [
    ["at once", {}],
    ["in windows, threads and shards", { windowBytes: 65_536, threads: 2, maxShardSize: 5000 }],
  ] as const satisfies readonly (readonly [string, Partial<MakeDiffOptions>])[]) {
    test(`${name}: every tensor of the diff is torch's, made ${what}`, async () => {
      await withFolder(async (scratch) => {
        const diff = join(scratch, "diff");
        const report = await makeDiff({ ...options, ...more, diff });
        const { tensors } = await inspect({ path: diff, digest: true });
        assert.deepEqual(sorted(tensors), sorted(expected.diff));
        assert.deepEqual(new Map([...report.inexact].sort()), new Map(inexact.sort()));
      });
    });
  }

  test(`${name}: the manifest says what torch recovers, and recover does it`, async () => {
    await withFolder(async (scratch) => {
      const diff = join(scratch, "diff");
      await makeDiff({ ...options, diff });
      const manifest = await readManifest(join(diff, "weight-diff.json"));
      assert.ok(manifest.operation === "make-diff");
      assert.deepEqual(
        Object.fromEntries(manifest.tensors.map((tensor) => [tensor.name, tensor.recovered])),
        Object.fromEntries(expected.recovered.map((tensor) => [tensor.name, tensor.sha256])),
      );
      assert.deepEqual(
        Object.fromEntries(manifest.tensors.map((tensor) => [tensor.name, tensor.inexact])),
        expected.inexact,
      );
      const { tensors } = await recover({ raw, diff });
      assert.deepEqual(sorted(tensors), sorted(expected.recovered));
    });
  });
}

function expectedOf(name: string): Expected {
  return JSON.parse(readFileSync(join(FIXTURES, "diff", name, "expected.json"), "utf8")) as Expected;
}

function sorted(tensors: readonly Tensor[]): readonly unknown[] {
  return tensors
    .map(({ name, dtype, shape, sha256 }) => ({ name, dtype, shape, sha256 }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}
