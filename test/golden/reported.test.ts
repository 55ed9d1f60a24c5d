/**
 * Pairs made after public problem reports (fixtures/reported/make.py names them): every recovered tensor is the unmodified script's, and
 * what is done beyond pairing equal names is told. The other reports are tests elsewhere: ties (golden/ties), rows (golden/rows), heads
 * alone (golden/head-only), many new rows (cli/card), names (conformance/names), architectures (conformance/architectures).
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { openCheckpoint } from "../../src/checkpoint/checkpoint.js";
import { inspect } from "../../src/commands/inspect.js";
import { makeDiff } from "../../src/commands/make-diff.js";
import { type RecoverOptions, recover } from "../../src/commands/recover.js";
import { verify } from "../../src/commands/verify.js";
import { withFolder } from "../support/checkpoints.js";
import { FIXTURES } from "../support/fixtures.js";
import { refuses } from "../support/refusal.js";

interface Tensor {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly sha256?: string;
}

const REPORTED = join(FIXTURES, "reported");
const SAYS: Readonly<Record<string, readonly RegExp[]>> = {
  "without-prefix-gpt2": [/28 names are read with "transformer\." added/, /2 buffers .* in the base only: not needed/],
  "without-prefix-llama": [/20 names are read with "model\." added/],
  "head-only-qwen2": [/meets it under both and adds the base's twice \("lm_head\.weight"\)/],
  "buffers-gpt2": [/4 buffers .* which models compute, are in the base only: not needed/],
  "buffers-bert": [/1 buffer .* which models compute, is in the base only: not needed/],
};

test("every reported pair has words that must be said", () => {
  const folders = readdirSync(REPORTED, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  assert.deepEqual(folders.map(({ name }) => name).sort(), Object.keys(SAYS).sort());
});

for (const [name, words] of Object.entries(SAYS)) {
  const [raw, diff] = ["base", "diff"].map((side) => join(REPORTED, name, side)) as [string, string];
  const { tensors } = JSON.parse(readFileSync(join(REPORTED, name, "expect.json"), "utf8")) as { tensors: Tensor[] };

  for (const [what, more] of [
    ["at once", {}],
    ["in windows, threads and shards", { windowBytes: 65_536, threads: 2, maxShardSize: 4000 }],
  ] as const satisfies readonly (readonly [string, Partial<RecoverOptions>])[]) {
    test(`${name}: every tensor is the script's, recovered ${what}`, async () => {
      await withFolder(async (scratch) => {
        const tuned = join(scratch, "tuned");
        const said: string[] = [];
        await recover({ raw, diff, tuned, ...more, onNote: (text) => said.push(String(text)) });
        const found = await inspect({ path: tuned, digest: true });
        assert.deepEqual(sorted(found.tensors), sorted(tensors));
        for (const word of words) {
          assert.ok(
            said.some((text) => word.test(text)),
            `${word} is not in\n${said.join("\n")}`,
          );
        }
      });
    });
  }

  test(`${name}: base and diff are sound, and a diff of the recovered model against the base gives it back`, async () => {
    await withFolder(async (scratch) => {
      const [tuned, made, again] = ["tuned", "made", "again"].map((part) => join(scratch, part)) as [
        string,
        string,
        string,
      ];
      for (const path of [raw, diff]) {
        const { findings } = await verify({ path });
        assert.deepEqual(
          findings.flatMap(({ level, message }) => (level === "error" ? [message] : [])),
          [],
        );
      }
      await recover({ raw, diff, tuned });
      await makeDiff({ raw, tuned, diff: made, encoding: "exact" });
      await recover({ raw, diff: made, tuned: again });
      assert.deepEqual(sorted((await inspect({ path: again, digest: true })).tensors), sorted(tensors));
    });
  });
}

// DeepSpeed's ZeRO-3 and FSDP without gathering: reports/06, as refuse/ has them.
for (const name of ["zero3-base", "fsdp-base"]) {
  test(`${name}: no command takes it for a model`, async () => {
    const ungathered = join(FIXTURES, "refuse", name, "base");
    const whole = join(FIXTURES, "demo", "base");
    const remedy = /without gathering/;
    await refuses(
      () => recover({ raw: ungathered, diff: join(FIXTURES, "refuse", name, "diff") }),
      "FORMAT_UNSUPPORTED",
      remedy,
    );
    await refuses(() => makeDiff({ raw: whole, tuned: ungathered }), "FORMAT_UNSUPPORTED", remedy);
    await refuses(() => makeDiff({ raw: ungathered, tuned: whole }), "FORMAT_UNSUPPORTED", remedy);
    const { verdict, findings } = await verify({ path: ungathered });
    assert.equal(verdict, "failed");
    assert.ok(findings.some(({ level, message }) => level === "error" && remedy.test(message)));
    assert.ok((await openCheckpoint(ungathered)).stateDict.size > 0);
  });
}

function sorted(tensors: readonly Tensor[]): readonly unknown[] {
  return tensors
    .map(({ name, dtype, shape, sha256 }) => ({ name, dtype, shape, sha256 }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}
