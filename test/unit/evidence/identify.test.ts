/** A step of a chain has the names of a model's tensors, and no weights. Only its index tells. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { makeDiff } from "../../../src/commands/make-diff.js";
import { recover } from "../../../src/commands/recover.js";
import { report } from "../../../src/commands/report.js";
import { tryModel } from "../../../src/commands/try.js";
import { verify } from "../../../src/commands/verify.js";
import { CHAINS } from "../../support/chains.js";
import { FIXTURES } from "../../support/fixtures.js";
import { refusalOf } from "../../support/refusal.js";

const MODEL = join(FIXTURES, "trained/llama/base");

for (const place of ["xor-xxh3/weight_v000002", "modelexpress/v2"]) {
  const step = join(CHAINS, "good", place);
  for (const [what, call] of [
    ["recover's base", () => recover({ raw: step, diff: MODEL })],
    ["make-diff's base", () => makeDiff({ raw: step, tuned: MODEL })],
    ["make-diff's tuned model", () => makeDiff({ raw: MODEL, tuned: step })],
    ["the other side of verify", () => verify({ path: MODEL, against: step })],
    ["verify's own side", () => verify({ path: step, against: MODEL })],
    ["try", () => tryModel({ path: step })],
    ["report's base", () => report({ raw: step, path: MODEL })],
    ["report's tuned model", () => report({ raw: MODEL, path: step })],
    ["report without a base", () => report({ path: step })],
  ] as const) {
    test(`${place} is a step of a chain, and is not taken for a model: ${what}`, async () => {
      const error = await refusalOf(call);
      assert.equal(error.code, "NOT_A_MODEL");
      assert.match(
        error.message,
        /: not a model but one step of a chain of updates: model\.safetensors\.index\.json has a delta_encoding$/,
      );
      assert.deepEqual(
        error.advice.map((one) => "command" in one && one.command),
        ["chain-materialize"],
      );
    });
  }
}
