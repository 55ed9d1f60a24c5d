/** What report measures is what torch and numpy measure, to the bit where it counts, and to the rounding of sums where it sums. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { makeDiff } from "../../src/commands/make-diff.js";
import { type ChangeReport, type ReportOptions, report } from "../../src/commands/report.js";
import { withFolder } from "../support/checkpoints.js";
import { FIXTURES } from "../support/fixtures.js";

interface Expected {
  readonly elements: number;
  readonly compared: number;
  readonly changed: number;
  readonly sums: readonly [difference: number, base: number, tuned: number, product: number] | null;
  readonly largest: number | null;
  readonly steps: readonly number[];
  readonly bits: number;
  readonly rows?: readonly number[];
}

const { pairs } = JSON.parse(readFileSync(join(FIXTURES, "report/expect.json"), "utf8")) as {
  readonly pairs: readonly {
    readonly base: string;
    readonly tuned: string;
    readonly tensors: Readonly<Record<string, Expected>>;
  }[];
};
/** Fixtures are no fine-tunes of a size that a guard could judge. */
const IGNORE = ["bit-census", "wrong-base", "not-a-diff", "not-a-model", "swapped", "base-precision"] as const;
const near = (found: number | null, expected: number, what: string): void =>
  assert.ok(
    found !== null && Math.abs(found - expected) <= 1e-12 * Math.abs(expected),
    `${what}: ${found}, expected ${expected}`,
  );

function holds(found: ChangeReport, tensors: Readonly<Record<string, Expected>>): void {
  const byName = new Map(found.tensors.map((tensor) => [tensor.name, tensor]));
  for (const [name, expected] of Object.entries(tensors)) {
    const tensor = byName.get(name);
    assert.ok(tensor !== undefined, name);
    assert.deepEqual(
      [tensor.elements, tensor.compared, tensor.changed, tensor.steps],
      [expected.elements, expected.compared, expected.changed, expected.steps],
      name,
    );
    near(tensor.bits, expected.bits / expected.compared, `${name}: bits`);
    if (expected.sums !== null) {
      const [difference, base, tuned, product] = expected.sums;
      near(tensor.differenceNorm, Math.sqrt(difference), `${name}: difference`);
      near(tensor.baseNorm, Math.sqrt(base), `${name}: base`);
      near(tensor.tunedNorm, Math.sqrt(tuned), `${name}: tuned`);
      near(tensor.relative, Math.sqrt(difference / base), `${name}: relative`);
      near(tensor.cosine, product / Math.sqrt(base * tuned), `${name}: cosine`);
      assert.equal(tensor.largest, expected.largest);
    } else {
      const { differenceNorm, largest } = tensor;
      assert.ok(![differenceNorm, largest].some(Number.isFinite), `${name}: ${differenceNorm}, ${largest}`);
    }
    const rows = found.embeddings.find((embedding) => embedding.name === name)?.tokens;
    if (rows !== undefined && expected.rows !== undefined) {
      assert.deepEqual(
        rows.map(({ row }) => row),
        expected.rows,
      );
    }
  }
}

const figures = ({ total, tensors, modules, layers, embeddings }: ChangeReport): object => ({
  total,
  tensors,
  modules,
  layers,
  embeddings,
});

for (const { base, tuned, tensors } of pairs) {
  test(`${tuned}: as torch and numpy have it, whatever the windows and threads`, async () => {
    const options: ReportOptions = { raw: join(FIXTURES, base), path: join(FIXTURES, tuned), ignore: IGNORE };
    const found = await report(options);
    holds(found, tensors);
    const again = await report({ ...options, threads: 2, windowBytes: 65_536, directIo: "always" });
    assert.deepEqual(figures(again), figures(found));
  });
}

test("a report of a base and a diff has the figures of the tuned model, whatever the diff's encoding", async () => {
  await withFolder(async (folder) => {
    const [raw, tuned] = [join(FIXTURES, "trained/llama/base"), join(FIXTURES, "trained/llama/gentle-bf16")];
    const expected = figures(await report({ raw, path: tuned, ignore: IGNORE }));
    for (const how of [{ encoding: "exact" }, { compress: true }] as const) {
      const diff = join(folder, Object.keys(how).join());
      await makeDiff({ raw, tuned, diff, ignore: IGNORE, ...how });
      const found = await report({ raw, path: diff, ignore: IGNORE });
      assert.equal(found.scheme, "exact");
      assert.deepEqual(figures(found), expected);
    }
    // An additive diff comes back as float32, and its steps are those of float32.
    const diff = join(folder, "additive");
    await makeDiff({ raw, tuned, diff, ignore: IGNORE });
    const found = await report({ raw, path: diff, ignore: IGNORE });
    const { tensors } = expected as ChangeReport;
    const relative = ({ name, relative }: { readonly name: string; readonly relative: number | null }): object => ({
      name,
      relative,
    });
    assert.deepEqual(found.tensors.map(relative), tensors.map(relative));
  });
});

test("a report of a diff alone has the size of its differences, and no figure that needs the base", async () => {
  await withFolder(async (folder) => {
    const name = "trained/llama/gentle-bf16";
    const [raw, tuned] = [join(FIXTURES, "trained/llama/base"), join(FIXTURES, name)];
    const { tensors = {} } = pairs.find((pair) => pair.tuned === name) ?? {};
    assert.ok(Object.keys(tensors).length > 0);
    for (const how of [{ encoding: "additive" }, { encoding: "exact" }, { compress: true }] as const) {
      const diff = join(folder, Object.values(how).join());
      await makeDiff({ raw, tuned, diff, ignore: IGNORE, ...how });
      const found = await report({ path: diff, ignore: IGNORE });
      assert.equal(found.base, null);
      const byName = new Map(found.tensors.map((tensor) => [tensor.name, tensor]));
      for (const [tensor, { elements, compared, changed, steps, sums, largest }] of Object.entries(tensors)) {
        const own = byName.get(tensor);
        assert.ok(own !== undefined, tensor);
        assert.equal(own.compared, elements);
        if (elements > compared) {
          continue; // which rows are new, a diff alone does not tell
        }
        // An exact diff's zeros are those of the base rounded to the tuned dtype.
        const additive = "encoding" in how && how.encoding === "additive";
        assert.equal(own.changed, additive ? changed : compared - (steps[0] ?? 0), tensor);
        assert.deepEqual([own.relative, own.cosine, own.baseNorm, own.tunedNorm, own.steps], Array(5).fill(null));
        if (additive && sums !== null && largest !== null) {
          // The diff is rounded to float32.
          const close = (a: number | null, b: number): void => assert.ok(Math.abs((a ?? 0) - b) <= 1e-6 * b, tensor);
          close(own.differenceNorm, Math.sqrt(sums[0]));
          close(own.largest, largest);
        } else {
          assert.deepEqual([own.differenceNorm, own.largest], [null, null]);
        }
      }
    }
    for (const [options, code] of [
      [{ path: tuned }, "NOT_A_DIFF"],
      [{ path: join(folder, "additive"), scheme: "open-instruct" }, "USAGE"],
    ] as const) {
      await assert.rejects(report(options), { code });
    }
  });
});
