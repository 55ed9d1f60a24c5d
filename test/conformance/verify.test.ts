/** verify on every fixture: what torch wrote is sound, what is broken is found or refused, and the right words say why. */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { recover } from "../../src/commands/recover.js";
import { verify } from "../../src/commands/verify.js";
import { EXIT_CODES, WeightDiffError } from "../../src/errors.js";
import { FIXTURES } from "../support/fixtures.js";

/** What is wrong with a pair that recover can work with: one of its tensors does not fit the config, or NaN are in it on purpose. */
const ODD: ReadonlyMap<string, RegExp> = new Map([
  ["nan-and-inf", /^27 NaN and 18 infinite of \d+ values$/],
  ["rows-embedding-only", /^is \[37, 40\]: in LlamaForCausalLM it is \[38, 40\]$/],
]);

const folders = (name: string): readonly string[] =>
  readdirSync(join(FIXTURES, name), { withFileTypes: true }).flatMap((entry) =>
    entry.isDirectory() ? entry.name : [],
  );

for (const name of folders("recover")) {
  test(`recover/${name}: both sides are sound, or what is odd is said`, async () => {
    for (const side of ["base", "diff"]) {
      const { findings, identity } = await verify({ path: join(FIXTURES, "recover", name, side) });
      assert.equal(identity.kind, side === "base" ? "full" : "diff");
      for (const { level, message } of findings.filter(({ level }) => level !== "note")) {
        assert.match(message, ODD.get(name) ?? /^no finding was expected$/, `${side}: ${level}`);
      }
    }
  });
}

test("what recover writes is sound, and the same model in every dtype", async () => {
  const place = await mkdtemp(join(tmpdir(), "weight-diff-"));
  try {
    const demo = { raw: join(FIXTURES, "demo/base"), diff: join(FIXTURES, "demo/diff") };
    const [full, half] = [join(place, "full"), join(place, "half")];
    await recover({ ...demo, tuned: full, maxShardSize: 100_000 });
    await recover({ ...demo, tuned: half, dtype: "BF16" });
    for (const path of [full, half]) {
      const report = await verify({ path, requireDigests: true });
      assert.deepEqual([report.findings, report.manifest], [[], "weight-diff.json"]);
    }
    assert.equal((await verify({ path: full, against: half })).comparison?.verdict, "rounded");
  } finally {
    await rm(place, { recursive: true });
  }
});

/** [case and side, exit code, words]. Cases whose sides are sound each on its own are left out. */
const BROKEN: readonly (readonly [where: string, code: 3 | 4, words: RegExp])[] = [
  ["empty-shard/diff", 3, /is empty/],
  ["flipped-byte/diff", 3, /^CRC-32 \w{8} expected, \w{8} found$/],
  ["html-page/diff", 3, /HTML/],
  ["index-names-a-path/diff", 4, /\.\.\/x\.bin/],
  ["lfs-pointer/diff", 3, /git-lfs/],
  ["lfs-pointer-base/base", 4, /git-lfs/],
  ["lora-adapter/diff", 4, /LoRA/],
  ["meta-checkpoint/base", 4, /consolidated\.01\.pth is missing/],
  ["missing-index/diff", 4, /index/],
  ["missing-shard/diff", 3, /shard is missing/],
  ["no-weights/diff", 4, /no weights/],
  ["pickle-runs-a-command/diff", 4, /posix\.system/],
  ["quantised-tensor/base", 4, /quanti/],
  ["sparse-tensor/diff", 4, /sparse/],
  ["truncated-header/diff", 3, /header/],
  ["truncated-safetensors/diff", 3, /bytes/],
  ["truncated-zip/diff", 3, /zip/],
  ["wrong-size/diff", 3, /hidden_size/],
  ["xor-files/diff", 4, /xor/],
];

for (const [where, code, words] of BROKEN) {
  test(`refuse/${where}: ${code === 3 ? "found" : "refused"}`, async () => {
    const path = join(FIXTURES, "refuse", where);
    const outcome = await verify({ path }).catch((error: unknown) => error);
    if (code === 4) {
      assert.ok(outcome instanceof WeightDiffError, String(outcome));
      assert.equal(EXIT_CODES[outcome.code], 4);
      assert.match(outcome.message, words);
    } else {
      assert.ok(!(outcome instanceof Error), String(outcome));
      const { findings } = outcome as Awaited<ReturnType<typeof verify>>;
      const errors = findings.filter(({ level }) => level === "error");
      assert.ok(errors.length > 0 && errors.every(({ message }) => words.test(message)), JSON.stringify(findings));
    }
  });
}
