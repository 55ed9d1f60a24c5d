/**
 * The embedding that encoder and decoder share, in models such as T5 and BART: torch.save stores it under three names or four, save_pretrained
 * under one. Any pair of these forms is a pair of the same model.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { compareCheckpoints } from "../../../src/check/compare.js";
import { openCheckpoint } from "../../../src/checkpoint/checkpoint.js";
import { makeDiff } from "../../../src/commands/make-diff.js";
import { recover } from "../../../src/commands/recover.js";
import { WeightDiffError } from "../../../src/errors.js";
import { GUARDS } from "../../../src/evidence/guard-names.js";
import { commonEmbedding } from "../../../src/known/embeddings.js";
import { type DiffPlanOptions, planDiff } from "../../../src/plan/plan-diff.js";
import { type ImaginedTensor, imagine, safetensors, withFolder, writeFiles } from "../../support/checkpoints.js";

const ALL = ["shared.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight"];
const CONFIG = { model_type: "t5", architectures: ["T5ForConditionalGeneration"], tie_word_embeddings: true };

/** A model that has its embedding, of `value`s, under these names. */
async function model(folder: string, names: readonly string[], value: number, rows = 4): Promise<string> {
  const matrix = new Float32Array(2 * rows).fill(value);
  const norm = new Float32Array([1, 2]);
  await writeFiles(folder, {
    "config.json": JSON.stringify(CONFIG),
    "model.safetensors": safetensors(
      ["encoder.final_layer_norm.weight", "F32", [2], norm],
      ...names.map((name) => [name, "F32", [rows, 2], matrix] as const),
    ),
  });
  return folder;
}

const FORMS: Readonly<Record<string, readonly string[]>> = {
  "as shared alone": ALL.slice(0, 1),
  "without the head": ALL.slice(0, 3),
  "under every name": ALL,
};

for (const [one, baseNames] of Object.entries(FORMS)) {
  for (const [other, tunedNames] of Object.entries(FORMS)) {
    test(`the base stores it ${one}, the tuned model ${other}: every name of the tuned model comes back`, () =>
      withFolder(async (folder) => {
        const raw = await model(join(folder, "base"), baseNames, 1);
        const tuned = await model(join(folder, "tuned"), tunedNames, 3);
        for (const encoding of ["exact", "additive"] as const) {
          const diff = join(folder, encoding);
          await makeDiff({ raw, tuned, diff, encoding, ignore: GUARDS });
          const direct = await recover({ raw, diff, ignore: GUARDS });
          const names = direct.tensors.map(({ name }) => name).filter((name) => ALL.includes(name));
          assert.deepEqual(names.sort(), [...tunedNames].sort());
          const digests = new Set(direct.tensors.filter(({ name }) => ALL.includes(name)).map(({ sha256 }) => sha256));
          assert.equal(digests.size, 1);
        }
      }));
  }
}

test("it gains rows as any embedding does", () =>
  withFolder(async (folder) => {
    const raw = await model(join(folder, "base"), FORMS["as shared alone"] ?? [], 1);
    const tuned = await model(join(folder, "tuned"), FORMS["without the head"] ?? [], 3, 6);
    for (const encoding of ["exact", "additive"] as const) {
      const [diff, out] = [join(folder, encoding), join(folder, `${encoding}-out`)];
      await makeDiff({ raw, tuned, diff, encoding, ignore: GUARDS });
      await recover({ raw, diff, tuned: out, ignore: GUARDS });
      assert.equal(
        (await compareCheckpoints(await openCheckpoint(out), await openCheckpoint(tuned), {})).verdict,
        "identical",
      );
    }
  }));

const OPTIONS: DiffPlanOptions = {
  encoding: "exact",
  maxShardSize: 1e9,
  rawTied: null,
  tunedTied: null,
  rows: null,
  ropeTheta: 1e4,
  invFreq: "drop",
};

test("encoder and decoder have the common embedding although the head has its own", () => {
  const [shared = "", encoder = "", decoder = "", head = ""] = ALL;
  const tensors = (...names: readonly string[]): readonly ImaginedTensor[] =>
    names.map((name) => ({ name, dtype: "F32", shape: [4, 2] }));
  const apart = { ...OPTIONS, rawTied: false, tunedTied: false };
  for (const [base, tuned] of [
    [ALL, [shared, head]],
    [[shared, head], ALL],
  ] as const) {
    for (const encoding of ["exact", "additive", "compressed"] as const) {
      const plan = planDiff(imagine("base", tensors(...base)), imagine("tuned", tensors(...tuned)), {
        ...apart,
        encoding,
      });
      assert.deepEqual(plan.order, [...tuned]);
    }
  }
  // The head is no copy of it then, and an embedding of the decoder alone is none of the encoder.
  for (const [base, tuned] of [
    [ALL, [shared]],
    [[shared, encoder], [decoder]],
  ] as const) {
    const both = () => planDiff(imagine("base", tensors(...base)), imagine("tuned", tensors(...tuned)), apart);
    assert.throws(both, (error) => error instanceof WeightDiffError && error.code === "MISMATCH");
  }
});

test("a tensor of the base whose bytes are those of another one, which the tuned model has, is not missing", () => {
  const at = (begin: number): Pick<ImaginedTensor, "more"> => ({ more: { range: { begin, end: begin + 8 } } });
  const tensor = (name: string, begin: number): ImaginedTensor => ({ name, dtype: "F32", shape: [2], ...at(begin) });
  const tuned = imagine("tuned", [tensor("a", 0)]);
  planDiff(imagine("base", [tensor("a", 0), tensor("b", 0)]), tuned, OPTIONS);
  assert.throws(
    () => planDiff(imagine("base", [tensor("a", 0), tensor("b", 8)]), tuned, OPTIONS),
    (error) => error instanceof WeightDiffError && error.code === "MISMATCH",
  );
});

test("one name alone is that of the common embedding", () => {
  assert.equal(commonEmbedding(["a", "model.shared.weight"]), "model.shared.weight");
  for (const names of [["model.layers.0.shared.weight"], ["shared.weight", "model.shared.weight"], ["shared.bias"]]) {
    assert.equal(commonEmbedding(names), null);
  }
});
