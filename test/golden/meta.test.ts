/**
 * Every model under fixtures/meta: read as it is and converted, each tensor is what torch makes of the parts, sha256 for sha256; and
 * as a base it gives what the converted one gives.
 */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { convert } from "../../src/commands/convert.js";
import { inspect } from "../../src/commands/inspect.js";
import { makeDiff } from "../../src/commands/make-diff.js";
import { recover } from "../../src/commands/recover.js";
import { verify } from "../../src/commands/verify.js";
import { withFolder } from "../support/checkpoints.js";
import { convertedAndTuned, goldenOf, META, META_CASES } from "../support/meta.js";
import { treeOf } from "../support/models.js";

const DTYPES = { float16: "F16", bfloat16: "BF16", float32: "F32" } as const;

test("the fixtures have one, two and eight parts, grouped heads, and a legacy file", () => {
  const folders = readdirSync(META, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  assert.deepEqual(folders.map(({ name }) => name).sort(), META_CASES);
});

for (const name of META_CASES) {
  const expected = goldenOf(name);
  const source = join(META, name);

  test(`${name}: every tensor is torch's`, async () => {
    const { tensors, identity } = await inspect({ path: source, digest: true });
    assert.deepEqual(
      tensors.map(({ shard: _, ...tensor }) => tensor),
      expected.tensors,
    );
    assert.equal(identity.kind, "full");
  });

  test(`${name}: converted, every tensor is torch's, whatever windows, threads and shards`, async () => {
    await withFolder(async (folder) => {
      for (const [output, more] of [
        ["a", {}],
        ["b", { windowBytes: 65_536, threads: 2, maxShardSize: 10_000, directIo: "always" }],
      ] as const) {
        const report = await convert({ source, output: join(folder, output), ...more });
        assert.deepEqual(report.tensors, expected.tensors);
        const { tensors } = await inspect({ path: join(folder, output), digest: true });
        const inOrder = new Map(tensors.map(({ shard: _, ...tensor }) => [tensor.name, tensor]));
        assert.deepEqual(
          expected.tensors.map((tensor) => inOrder.get(tensor.name)),
          expected.tensors,
        );
      }
    });
  });

  for (const [dtype, { overflow, tensors }] of Object.entries(expected.outputs)) {
    test(`${name}: converted to ${dtype}, every tensor is torch's`, async () => {
      await withFolder(async (folder) => {
        const output = join(folder, "out");
        const report = await convert({ source, output, dtype: DTYPES[dtype as keyof typeof DTYPES] });
        assert.deepEqual(report.tensors, tensors);
        assert.equal(report.overflow.size, overflow);
        const config = JSON.parse(await readFile(join(output, "config.json"), "utf8")) as { torch_dtype: string };
        assert.equal(config.torch_dtype, dtype);
      });
    });
  }

  for (const encoding of ["additive", "exact"] as const) {
    test(`${name}: as a base it makes the ${encoding} diff, and recovers the model, that the converted one does`, async () => {
      await withFolder(async (folder) => {
        const { base, tuned } = await convertedAndTuned(name, folder);
        const trees: Readonly<Record<string, string>>[] = [];
        for (const [side, raw] of [
          ["meta", source],
          ["hf", base],
        ] as const) {
          const diff = join(folder, `${side}-diff`);
          const { inexact } = await makeDiff({ raw, tuned, diff, encoding });
          assert.equal(inexact.size, 0);
          // Each with the diff that was made with the other's help: the manifest knows the base by its tensors.
          const out = join(folder, `${side}-recovered`);
          const report = await recover({ raw, diff: join(folder, "meta-diff"), tuned: out });
          assert.equal(report.tensors.length, expected.tensors.length);
          const { "weight-diff.json": _, ...files } = await treeOf(out);
          const { "weight-diff.json": __, "README.md": ___, ...made } = await treeOf(diff);
          trees.push({
            ...files,
            ...Object.fromEntries(Object.entries(made).map(([file, sha]) => [`diff/${file}`, sha])),
          });
        }
        assert.deepEqual(trees[0], trees[1]);
        const { comparison } = await verify({ path: join(folder, "meta-recovered"), against: tuned });
        assert.equal(comparison?.verdict, "identical");
        const { recovered, sound } = await verify({ path: join(folder, "meta-diff"), raw: source });
        assert.deepEqual([recovered?.compared, sound], [expected.tensors.length, true]);
      });
    });
  }
}
