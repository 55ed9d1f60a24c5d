/** What the guards say on the terminal: whole lines, exit codes, and nothing written. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { withFolder } from "../support/checkpoints.js";
import { FIXTURES } from "../support/fixtures.js";
import { readWeights, rounded, subtract, writeWeights } from "../support/trained.js";
import { weightDiff } from "./command.js";

const BASE = join(FIXTURES, "trained/llama/base");
const TUNED = join(FIXTURES, "trained/llama/gentle-f16");

async function withDiff(body: (diff: string, folder: string) => Promise<void>): Promise<void> {
  await withFolder(async (folder) => {
    const weights = subtract(await readWeights(TUNED), await readWeights(BASE));
    await body(await writeWeights(join(folder, "diff"), weights, "F32"), folder);
  });
}

test("swapped arguments end with 4, and the command that was meant", async () => {
  await withDiff(async (diff, folder) => {
    const out = join(folder, "out");
    const { code, said } = await weightDiff(["recover", "--path_raw", diff, "--path_diff", BASE, "--path_tuned", out]);
    assert.equal(code, 4);
    assert.deepEqual(said, [
      `weight-diff: error: base and diff are swapped: ${diff}, given as the base, is the diff; ${BASE}, given as the diff, is a model: its 5 norm weights have a mean size of 0.819, and 100 % of their values are positive (a diff's scatter around 0)`,
      `weight-diff: hint: give them the other way round: weight-diff recover --path_raw ${BASE} --path_diff ${diff} --path_tuned ${out}`,
    ]);
    assert.equal(existsSync(out), false);
    const meant = said[1]?.replace(/^.*?recover /, "").split(" ") ?? [];
    assert.equal((await weightDiff(["recover", ...meant])).code, 0);
  });
});

test("the right base is said to be, on stderr; --quiet says nothing", async () => {
  await withDiff(async (diff) => {
    const args = ["recover", "--path_raw", BASE, "--path_diff", diff, "--dry-run", "--no-progress"];
    const { code, said } = await weightDiff(args);
    assert.equal(code, 0);
    assert.match(
      said.join("\n"),
      /^weight-diff: the base is the one the diff was made with: 100 % of \d+ sampled sums are exact in float16, as the tuned model was saved$/m,
    );
    assert.deepEqual((await weightDiff([...args, "--quiet"])).said, []);
  });
});

test("a rounded base is warned of even with --quiet, and silenced by its name only", async () => {
  await withDiff(async (diff, folder) => {
    const base = await writeWeights(join(folder, "raw"), rounded(await readWeights(BASE), "BF16"), "BF16");
    const args = ["recover", "--path_raw", base, "--path_diff", diff, "--dry-run", "--quiet"];
    const { code, said } = await weightDiff([...args, "--ignore", "wrong-base,base-precision"]);
    assert.equal(code, 0);
    assert.equal(said.length, 1, said.join("\n"));
    assert.match(
      said[0] ?? "",
      /^weight-diff: warning: wrong base, or the right one rounded: 9\d\.\d\d % of \d+ sampled sums/,
    );
    assert.deepEqual((await weightDiff([...args, "--ignore", "bit-census"])).said, []);
  });
});

test("an unknown guard is a usage error that lists them all", async () => {
  const { code, said } = await weightDiff(["recover", "--path_raw", "a", "--path_diff", "b", "--ignore", "all"]);
  assert.equal(code, 2);
  assert.equal(
    said[0],
    'weight-diff: error: --ignore: "all" is not one of swapped, not-a-diff, not-a-model, wrong-base, base-precision, bit-census',
  );
});
