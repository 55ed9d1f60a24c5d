/**
 * recover in the smallest dtype that holds every value, on pairs that torch made (fixtures/diff: every pair of float dtypes, with infinities,
 * NaNs and subnormals) and on models that were trained and saved in 16 bits: it is the dtype of the tuned model, and of the trained ones
 * every tensor is, sha256 for sha256, what torch saved.
 */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { inspect } from "../../src/commands/inspect.js";
import { makeDiff } from "../../src/commands/make-diff.js";
import { recover } from "../../src/commands/recover.js";
import { torchName } from "../../src/formats/dtype.js";
import { withFolder } from "../support/checkpoints.js";
import { FIXTURES } from "../support/fixtures.js";

const pairs = readdirSync(join(FIXTURES, "diff"), { withFileTypes: true }).filter((entry) => entry.isDirectory());

for (const { name } of pairs) {
  test(`fixtures/diff/${name}: auto is the tuned model's dtype`, async () => {
    await withFolder(async (scratch) => {
      const raw = join(FIXTURES, "diff", name, "base");
      const diff = join(scratch, "diff");
      await makeDiff({ raw, tuned: join(FIXTURES, "diff", name, "tuned"), diff });
      const auto = await recover({ raw, diff, dtype: "auto" });
      const tuned = name.split("-")[1] ?? "";
      assert.equal(torchName(auto.dtype ?? "F64"), tuned);
      assert.ok(auto.dtype !== null);
      const asked = await recover({ raw, diff, dtype: auto.dtype });
      assert.deepEqual(auto.tensors, asked.tensors);
    });
  });
}

for (const [model, tuned, dtype] of [
  ["llama", "gentle-f16", "F16"],
  ["llama", "gentle-bf16", "BF16"],
  ["llama", "gentle-f32", "F32"],
  ["neox", "gentle-f16", "F16"],
] as const) {
  test(`trained ${model} ${tuned}: what comes back is the model as it was saved`, async () => {
    await withFolder(async (scratch) => {
      const folder = join(FIXTURES, "trained", model);
      const diff = join(scratch, "diff");
      await makeDiff({ raw: join(folder, "base"), tuned: join(folder, tuned), diff });
      const report = await recover({ raw: join(folder, "base"), diff, dtype: "auto" });
      assert.equal(report.dtype, dtype);
      const saved = await inspect({ path: join(folder, tuned), digest: true });
      const digests = new Map(saved.tensors.map((tensor) => [tensor.name, tensor.sha256]));
      // A new row stands on a mean, and may come back a last place beside its values.
      const whole = report.tensors.filter(({ name }) => !report.newRows.has(name));
      assert.ok(whole.length > 8);
      if (dtype !== "F32") {
        assert.deepEqual(
          whole.map(({ name, sha256 }) => [name, sha256]),
          whole.map(({ name }) => [name, digests.get(name)]),
        );
      }
    });
  });
}
