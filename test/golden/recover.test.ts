/** Every pair under fixtures/recover and the demo: each tensor must be, sha256 for sha256, what torch itself recovered. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { inspect } from "../../src/commands/inspect.js";
import { type RecoverOptions, recover } from "../../src/commands/recover.js";
import { FIXTURES } from "../support/fixtures.js";

interface Expected {
  readonly flags: { readonly scheme?: string };
  readonly tensors: readonly Tensor[];
  readonly sums: { readonly without_inv_freq: Sum; readonly with_inv_freq: Sum | null };
  readonly outputs?: Readonly<Record<string, { readonly overflow: number; readonly tensors: readonly Tensor[] }>>;
}
interface Tensor {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly sha256?: string;
}
interface Sum {
  readonly value: number | null;
}

const DTYPES = { float16: "F16", bfloat16: "BF16" } as const;
const cases = [
  ...readdirSync(join(FIXTURES, "recover"), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => join("recover", entry.name)),
  "demo",
];

for (const name of cases) {
  const folder = join(FIXTURES, name);
  const expected = JSON.parse(readFileSync(join(folder, "expected.json"), "utf8")) as Expected;
  const options: RecoverOptions = {
    raw: join(folder, "base"),
    diff: join(folder, "diff"),
    scheme: expected.flags.scheme ?? "auto",
    invFreq: "keep",
  };

  test(`${name}: every tensor is torch's`, async () => {
    await withOutput(async (tuned) => {
      const report = await recover({ ...options, tuned });
      assert.deepEqual(sorted(report.tensors), sorted(expected.tensors));
      // What lies on the disk is what was digested while writing.
      const { tensors } = await inspect({ path: tuned, digest: true });
      assert.deepEqual(sorted(tensors), sorted(expected.tensors));
    });
  });

  test(`${name}: the sums are those of torch on one thread`, async () => {
    const { sums } = await recover(options);
    assert.equal(finite(sums?.withoutInvFreq), expected.sums.without_inv_freq.value);
    if (expected.sums.with_inv_freq !== null) {
      assert.equal(finite(sums?.withInvFreq), expected.sums.with_inv_freq.value);
    }
  });

  for (const [dtype, output] of Object.entries(expected.outputs ?? {})) {
    test(`${name}: rounded to ${dtype} as torch rounds`, async () => {
      const report = await recover({ ...options, dtype: DTYPES[dtype as keyof typeof DTYPES] });
      assert.deepEqual(sorted(report.tensors), sorted(output.tensors));
      assert.equal(
        [...report.overflow.values()].reduce((sum, count) => sum + count, 0),
        output.overflow,
      );
    });
  }

  test(`${name}: windows, threads and shards change nothing`, async () => {
    await withOutput(async (tuned) => {
      const report = await recover({ ...options, tuned, windowBytes: 65_536, threads: 2, maxShardSize: 20_000 });
      assert.deepEqual(sorted(report.tensors), sorted(expected.tensors));
      const { tensors } = await inspect({ path: tuned, digest: true });
      assert.deepEqual(sorted(tensors), sorted(expected.tensors));
    });
  });
}

function sorted(tensors: readonly Tensor[]): readonly unknown[] {
  return tensors
    .map(({ name, dtype, shape, sha256 }) => ({ name, dtype, shape, sha256 }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

function finite(sum: number | undefined): number | null {
  return sum === undefined || !Number.isFinite(sum) ? null : sum;
}

async function withOutput(body: (tuned: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "weight-diff-"));
  try {
    await body(join(folder, "tuned"));
  } finally {
    await rm(folder, { recursive: true });
  }
}
