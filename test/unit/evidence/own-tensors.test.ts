/** Which tensors are the model's own, by their values: of trained models, of their differences, and of BiLLa's sums. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { openCheckpoint } from "../../../src/checkpoint/checkpoint.js";
import { WeightDiffError } from "../../../src/errors.js";
import { findOwnTensors, type OwnTensor } from "../../../src/evidence/own-tensors.js";
import { chooseScheme } from "../../../src/evidence/scheme/choose.js";
import { FIXTURES } from "../../support/fixtures.js";

const TRAINED = join(FIXTURES, "trained");

async function look(raw: string, diff: string): Promise<readonly OwnTensor[]> {
  return findOwnTensors(await openCheckpoint(raw), await openCheckpoint(diff));
}

for (const name of ["llama/gentle-f32", "llama/gentle-f16", "llama/huge-f32", "neox/gentle-f16", "neox/huge-f32"]) {
  const base = join(TRAINED, name.split("/")[0] ?? "", "base");
  test(`${name}: embeddings, head and last norm of a full model are its own, once, and no mark of BiLLa's`, async () => {
    const own = await look(base, join(TRAINED, name));
    assert.equal(own.length, 3);
    for (const { kind, scale } of own) {
      assert.equal(kind, "own");
      assert.ok(scale > 0.6 && scale < 1.2, String(scale));
    }
    const [raw, diff] = [await openCheckpoint(base), await openCheckpoint(join(TRAINED, name))];
    const evidence = {
      raw,
      diff,
      config: null,
      files: [],
      tokens: [],
      own,
      said: { rawTied: null, diffTied: null },
      newRows: 0,
      line: null,
    };
    // A full model fits no scheme: the guard that knows it for one speaks before this refusal.
    try {
      assert.notEqual(chooseScheme(evidence).scheme.name, "billa");
    } catch (error) {
      assert.ok(error instanceof WeightDiffError && error.code === "SCHEME_UNKNOWN", String(error));
    }
  });
}

test("BiLLa's embedding is twice the base's, one wild value in it or not", async () => {
  const pairs = join(FIXTURES, "schemes");
  const own = await look(join(pairs, "base-billa"), join(pairs, "billa/diff"));
  assert.deepEqual(
    own.map(({ name, kind, scale }) => [name, kind, Math.round(scale * 100) / 100]),
    [
      ["lm_head.weight", "own", 1],
      ["model.embed_tokens.weight", "own", 2],
    ],
  );
});
