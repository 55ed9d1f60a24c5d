/**
 * What a model says, seen by transformers: random small models of every family, as transformers saves them, in all forms of files and
 * both spellings of their configs. The Python that has transformers is named by WEIGHT_DIFF_PYTHON; without it the test is skipped,
 * except in CI, where it fails. WEIGHT_DIFF_MODELS: how many of each family; 3 if it is not set.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { withFolder } from "../support/checkpoints.js";
import { FIXTURES, ROOT } from "../support/fixtures.js";
import { near, readConfigs, withModel } from "../support/inference.js";

const SCRIPT = join(ROOT, "test", "conformance", "inference.py");
const COUNT = Number(process.env.WEIGHT_DIFF_MODELS ?? 3);

const python = process.env.WEIGHT_DIFF_PYTHON;
const absent = "WEIGHT_DIFF_PYTHON names no Python with torch and transformers";
const skip = python === undefined && process.env.CI !== "true" ? absent : false;

interface Expected {
  readonly ids: readonly number[];
  /** Of every position. */
  readonly logits: readonly (readonly number[])[];
  readonly nll: readonly number[];
  /** Standard deviation of all logits. */
  readonly spread: number;
  readonly how: string;
}

test("random models of every family say what they say in transformers, in float32", { skip }, async (t) => {
  assert.ok(python !== undefined, absent);
  await withFolder(async (folder) => {
    const made = spawnSync(python, [SCRIPT, join(folder, "models"), "0", String(COUNT)], { encoding: "utf8" });
    assert.equal(made.status, 0, made.stderr);
    t.diagnostic(made.stdout.trim());
    const names = readdirSync(join(folder, "models"));
    assert.equal(names.length, 5 * COUNT);
    for (const name of names) {
      const path = join(folder, "models", name);
      const { ids, logits, nll, spread, how } = JSON.parse(
        readFileSync(join(path, "expected.json"), "utf8"),
      ) as Expected;
      // Logits that all but agree would hide what is wrong.
      assert.ok(spread > 0.1, `${name}: ${how}`);
      await withModel(path, { threads: 0 }, async (model) => {
        const [said] = await model.pass([{ key: null, ids, wanted: "both" }]);
        near(said?.losses, nll, 1e-4, `losses of ${name}: ${how}`);
        near(said?.last, logits.at(-1) ?? [], 1e-4, `logits of ${name}: ${how}`);
        for (const [place, id] of ids.entries()) {
          const [one] = await model.pass([{ key: "a", ids: [id], wanted: "last" }]);
          near(one?.last, logits[place] ?? [], 1e-4, `logits of ${name} at ${place}: ${how}`);
        }
      });
    }
  });
});

test("configs.json is what transformers makes of configs", { skip }, () => {
  assert.ok(python !== undefined, absent);
  const made = spawnSync(python, [join(FIXTURES, "inference", "configs.py"), "-"], {
    encoding: "utf8",
    maxBuffer: 1 << 24,
  });
  assert.equal(made.status, 0, made.stderr);
  assert.deepEqual(JSON.parse(made.stdout), readConfigs());
});
