/**
 * Koala: EasyLM's own files, base and diff, and the same base as Meta and transformers have it. Every recovered tensor is what
 * EasyLM's diff_checkpoint.py computed with jax, brought into transformers' layout.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { inspect } from "../../src/commands/inspect.js";
import { recover } from "../../src/commands/recover.js";
import { verify } from "../../src/commands/verify.js";
import { withFolder } from "../support/checkpoints.js";
import { FIXTURES } from "../support/fixtures.js";

interface Tensor {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly sha256?: string;
}

const root = join(FIXTURES, "koala");
const { tensors: expected } = JSON.parse(readFileSync(join(root, "expected.json"), "utf8")) as {
  readonly tensors: readonly Tensor[];
};
const BASES = ["base-hf", "base-meta", "base-easylm/streaming_params"];
const DIFFS = ["koala_7b_diff_v2", "streaming_train_state"];

function sorted(tensors: readonly Tensor[]): readonly unknown[] {
  return tensors
    .map(({ name, dtype, shape, sha256 }) => ({ name, dtype, shape, sha256 }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

for (const base of BASES) {
  for (const diff of DIFFS) {
    test(`recovers what EasyLM does from ${base} and ${diff}`, async () => {
      await withFolder(async (place) => {
        const tuned = join(place, "tuned");
        const sides = { raw: join(root, base), diff: join(root, "diff", diff) };
        const report = await recover({ ...sides, tuned, threads: 1 });
        assert.equal(report.scheme, "koala");
        assert.deepEqual(sorted(report.tensors), sorted(expected));
        const { tensors } = await inspect({ path: tuned, digest: true });
        assert.deepEqual(sorted(tensors), sorted(expected));
        const config = JSON.parse(readFileSync(join(tuned, "config.json"), "utf8")) as Readonly<
          Record<string, unknown>
        >;
        assert.deepEqual([config.num_attention_heads, config.torch_dtype], [2, "bfloat16"]);
      });
    });
  }
}

test("windows that cut rows and columns anywhere give the same tensors", async () => {
  const sides = { raw: join(root, BASES[2] ?? ""), diff: join(root, "diff", DIFFS[0] ?? "") };
  const report = await recover({ ...sides, windowBytes: 65_536, threads: 2 });
  assert.deepEqual(sorted(report.tensors), sorted(expected));
});

test("verify and inspect know the files", async () => {
  const base = await verify({ path: join(root, "base-easylm/streaming_params") });
  assert.deepEqual([base.identity.kind, base.findings.filter(({ level }) => level === "error")], ["full", []]);
  const diff = await inspect({ path: join(root, "diff/koala_7b_diff_v2") });
  assert.deepEqual([diff.identity.kind, diff.files[0]?.format], ["diff", "easylm"]);
});
