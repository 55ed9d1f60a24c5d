/** What recover and make-diff refuse and warn of, and that each guard can be switched off by its own name. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { openCheckpoint } from "../../../src/checkpoint/checkpoint.js";
import { readConfig } from "../../../src/checkpoint/config.js";
import { adviceAfter } from "../../../src/cli/output/advice.js";
import { chainMake } from "../../../src/commands/chain/make.js";
import { makeDiff } from "../../../src/commands/make-diff.js";
import { recover } from "../../../src/commands/recover.js";
import { report } from "../../../src/commands/report.js";
import { verify } from "../../../src/commands/verify.js";
import { WeightDiffError } from "../../../src/errors.js";
import { GUARDS, type Guard } from "../../../src/evidence/guard-names.js";
import { type GuardOptions, guardBase } from "../../../src/evidence/guards.js";
import { samplePairs } from "../../../src/evidence/sample.js";
import { imagine, withFolder } from "../../support/checkpoints.js";
import { FIXTURES } from "../../support/fixtures.js";
import { hintOf, refuses } from "../../support/refusal.js";
import { readWeights, rounded, subtract, writeWeights } from "../../support/trained.js";

const LLAMA = join(FIXTURES, "trained/llama");
const BASE = join(LLAMA, "base");
const CONFIG = await readFile(join(BASE, "config.json"), "utf8");
const LLAMA_2 = CONFIG.replace("2048", "4096").replace("1e-06", "1e-05");

interface Places {
  readonly folder: string;
  readonly diff: string;
}

/** A folder with the diff of `tune`, and a config of its own. */
async function withDiff(tune: string, body: (places: Places) => Promise<void>, config = CONFIG): Promise<void> {
  await withFolder(async (folder) => {
    const weights = subtract(await readWeights(join(LLAMA, tune)), await readWeights(BASE));
    await body({ folder, diff: await writeWeights(join(folder, "diff"), weights, "F32", config) });
  });
}

async function heard(raw: string, diff: string, ignore: readonly Guard[] = []) {
  const said: { readonly notes: string[]; readonly warnings: string[] } = { notes: [], warnings: [] };
  const options: GuardOptions = {
    onNote: (text) => said.notes.push(text),
    onWarning: (text, advice = []) => said.warnings.push(adviceAfter(text, advice, "recover")),
  };
  await recover({ raw, diff, ignore, dryRun: true, ...options });
  return said;
}

async function refusalHint(run: () => Promise<unknown>): Promise<string> {
  const error = await run().then(
    () => null,
    (reason: unknown) => reason,
  );
  return error instanceof WeightDiffError ? hintOf(error) : String(error);
}

// --- roles ----------------------------------------------------------------------------------------------------------

test("swapped: says so, and gives the right command line", async () => {
  await withDiff("gentle-f16", async ({ folder, diff }) => {
    const tuned = join(folder, "the tuned one");
    const run = () => recover({ raw: diff, diff: BASE, tuned });
    await refuses(
      run,
      "NOT_A_DIFF",
      /^base and diff are swapped: .*diff, given as the base, is the diff; .*base, given as the diff, is a model/,
    );
    assert.equal(
      await refusalHint(run),
      `give them the other way round: weight-diff recover --path_raw ${BASE} --path_diff ${diff} --path_tuned '${tuned}'`,
    );
    assert.equal(existsSync(tuned), false);
  });
});

test("swapped and ignored: the other guards still stand, each under its own name", async () => {
  await withDiff("gentle-f16", async ({ diff }) => {
    const run = (ignore: readonly Guard[]) => () => recover({ raw: diff, diff: BASE, ignore, scheme: "open-instruct" });
    await refuses(run(["swapped"]), "NOT_A_DIFF", /not a diff but a full model/);
    await refuses(run(["swapped", "not-a-diff"]), "NOT_A_MODEL", /^base .*: not a model but a diff/);
    assert.equal((await run(["swapped", "not-a-diff", "not-a-model"])()).outcome, "checked");
  });
});

for (const tune of ["gentle-f16", "gentle-f32", "huge-f32"]) {
  test(`not-a-diff: the tuned model ${tune} in place of its diff`, async () => {
    await refuses(() => recover({ raw: BASE, diff: join(LLAMA, tune) }), "NOT_A_DIFF", /not a diff but a full model/);
  });
}

test("not-a-diff: says that a tuned model needs no recovering, and how to make a diff of it", async () => {
  const tuned = join(LLAMA, "gentle-f16");
  const run = () => recover({ raw: BASE, diff: tuned });
  await refuses(run, "NOT_A_DIFF", /tuned from the base: .*\(cosine 1\.00, a diff's is near 0\)/);
  const hint = await refusalHint(run);
  assert.match(hint, /simply use it as it is/);
  assert.ok(hint.includes(`weight-diff make-diff --path_raw ${BASE} --path_tuned ${tuned} --path_diff OUT`), hint);
  assert.match(hint, /--ignore not-a-diff$/);
});

test("not-a-diff: the base given twice", async () => {
  await refuses(
    () => recover({ raw: BASE, diff: BASE }),
    "NOT_A_DIFF",
    /not a diff: all \d+ sampled values are the same as in the base .*; adding both would double the weights$/,
  );
});

test("not-a-diff: a model of other make", async () => {
  await refuses(
    () => recover({ raw: BASE, diff: join(LLAMA, "other") }),
    "NOT_A_DIFF",
    /norm weights have a mean size of 0\.\d+, and 100 % of their values are positive/,
  );
});

test("not-a-model: a diff as the base", async () => {
  await withDiff("huge-f32", async ({ diff, folder }) => {
    const another = await writeWeights(
      join(folder, "another"),
      subtract(await readWeights(join(LLAMA, "gentle-f32")), await readWeights(BASE)),
      "F32",
    );
    const run = () => recover({ raw: diff, diff: another });
    await refuses(run, "NOT_A_MODEL", /^base .*: not a model but a diff: its 5 norm weights scatter around 0/);
    assert.match(await refusalHint(run), /--ignore not-a-model$/);
  });
});

test("make-diff refuses a diff as either of its models", async () => {
  await withDiff("gentle-f16", async ({ diff }) => {
    const tuned = join(LLAMA, "gentle-f16");
    await refuses(() => makeDiff({ raw: diff, tuned }), "NOT_A_MODEL", /^base .*: not a model but a diff/);
    const run = () => makeDiff({ raw: BASE, tuned: diff });
    await refuses(run, "NOT_A_MODEL", /^tuned model .*: not a model but a diff/);
    assert.match(await refusalHint(run), /weight-diff recover/);
    assert.equal((await makeDiff({ raw: BASE, tuned: diff, ignore: ["not-a-model"] })).outcome, "checked");
  });
});

for (const how of [{ encoding: "additive" }, { encoding: "exact" }, { compress: true }] as const) {
  const { encoding = "compressed" } = how as { encoding?: string };
  test(`a diff that make-diff marked (${encoding}) is no model, whatever its tensors hold`, async () => {
    await withFolder(async (folder) => {
      const tuned = join(LLAMA, "gentle-f16");
      const diff = join(folder, "diff");
      await makeDiff({ raw: BASE, tuned, diff, ...how });
      const marked = /^\S+ .*: not a model but a diff: model\.safetensors is marked as one in its metadata$/;
      await refuses(() => recover({ raw: diff, diff: BASE }), "NOT_A_DIFF", /^base and diff are swapped/);
      await refuses(() => recover({ raw: diff, diff }), "NOT_A_MODEL", marked);
      await refuses(() => makeDiff({ raw: diff, tuned }), "NOT_A_MODEL", marked);
      await refuses(() => report({ raw: diff, path: tuned }), "NOT_A_MODEL", marked);
      const asTuned = () => makeDiff({ raw: BASE, tuned: diff });
      await refuses(asTuned, "NOT_A_MODEL", /^tuned model .* is marked as one/);
      assert.ok((await refusalHint(asTuned)).includes(`weight-diff recover --path_raw ${BASE} --path_diff ${diff}`));
      const chained = { raw: BASE, tuned: diff, chain: join(folder, "chain"), encoding: "exact-compressed" } as const;
      await refuses(() => chainMake(chained), "NOT_A_MODEL", /^tuned model .* is marked as one/);
      await refuses(() => chainMake({ ...chained, raw: diff, tuned }), "NOT_A_MODEL", /^base .* is marked as one/);
      assert.equal(existsSync(chained.chain), false);
      for (const [path, against] of [
        [tuned, diff],
        [diff, tuned],
      ] as const) {
        await refuses(() => verify({ path, against }), "NOT_A_MODEL", /is a diff \(.*\), .* is not marked as one/);
      }
      assert.equal((await verify({ path: diff, against: diff })).sound, true);
    });
  });
}

test("verify refuses to compare diffs of two encodings", async () => {
  await withFolder(async (folder) => {
    const [path, against] = [join(folder, "a"), join(folder, "b")];
    await makeDiff({ raw: BASE, tuned: join(LLAMA, "gentle-f16"), diff: path, encoding: "exact" });
    await makeDiff({ raw: BASE, tuned: join(LLAMA, "gentle-f16"), diff: against, compress: true });
    await refuses(() => verify({ path, against }), "MISMATCH", /two encodings .*\/a is exact, .*\/b compressed$/);
  });
});

// --- configs --------------------------------------------------------------------------------------------------------

test("wrong-base: Llama 2 for a diff of LLaMA-1 is refused by name, with both values", async () => {
  await withDiff("gentle-f32", async ({ folder, diff }) => {
    const raw = await writeWeights(join(folder, "raw"), await readWeights(BASE), "F16", LLAMA_2);
    await refuses(
      () => recover({ raw, diff }),
      "MISMATCH",
      /is Llama 2, and diff .* was made for LLaMA-1: rms_norm_eps 1e-05 in the base, 1e-06 in the diff; max_position_embeddings 4096/,
    );
    assert.equal((await recover({ raw, diff, ignore: ["wrong-base"] })).outcome, "checked");
    assert.deepEqual((await heard(raw, diff, ["wrong-base"])).warnings, []);
  });
});

test("wrong-base: one value alone is warned of", async () => {
  await withDiff("gentle-f32", async ({ folder, diff }) => {
    const raw = await writeWeights(
      join(folder, "raw"),
      await readWeights(BASE),
      "F16",
      CONFIG.replace("1e-06", "1e-05"),
    );
    const { warnings } = await heard(raw, diff);
    assert.equal(warnings.length, 1);
    assert.match(
      warnings[0] ?? "",
      /differ in what a fine-tune keeps: rms_norm_eps .*\(silence this with --ignore wrong-base\)$/,
    );
  });
});

// --- values ---------------------------------------------------------------------------------------------------------

for (const [tune, dtype] of [
  ["gentle-f16", "float16"],
  ["gentle-bf16", "bfloat16"],
] as const) {
  test(`bit-census: ${tune} on its own base is said to be right, and nothing warned of`, async () => {
    await withDiff(tune, async ({ diff }) => {
      const { notes, warnings } = await heard(BASE, diff);
      assert.deepEqual(warnings, []);
      const line = new RegExp(
        `^the base is the one the diff was made with: 100 % of \\d+ sampled sums are exact in ${dtype}`,
      );
      assert.equal(notes.filter((note) => line.test(note)).length, 1, notes.join("\n"));
      assert.equal((await heard(BASE, diff, ["bit-census"])).notes.filter((note) => line.test(note)).length, 0);
    });
  });
}

test("bit-census: a wrong base and a rounded one are warned of, loudly", async () => {
  await withDiff("gentle-f16", async ({ folder, diff }) => {
    const raw = await writeWeights(join(folder, "raw"), rounded(await readWeights(BASE), "BF16"), "F16", CONFIG);
    for (const base of [raw, join(LLAMA, "other")]) {
      const { warnings } = await heard(base, diff);
      assert.equal(warnings.length, 1, warnings.join("\n"));
      assert.match(
        warnings[0] ?? "",
        /^wrong base, or the right one rounded: \d\d\.\d\d % of \d+ sampled sums .*NOT the tuned model/,
      );
      assert.deepEqual((await heard(base, diff, ["bit-census"])).warnings, []);
    }
  });
});

test("bit-census: float32 fine-tunes are left in peace", async () => {
  for (const tune of ["gentle-f32", "huge-f32"]) {
    await withDiff(tune, async ({ diff }) => {
      const { notes, warnings } = await heard(BASE, diff);
      assert.deepEqual(warnings, []);
      assert.ok(!notes.some((note) => note.includes("the base is the one")), notes.join("\n"));
    });
  }
});

test("base-precision: names consequence and cure, for a LLaMA-1 only, and not where the bits prove the base", async () => {
  await withDiff("gentle-f32", async ({ folder, diff: path }) => {
    const place = await writeWeights(join(folder, "raw"), rounded(await readWeights(BASE), "BF16"), "F16");
    const sample = await samplePairs(await openCheckpoint(place), await openCheckpoint(path));
    const rawConfig = await readConfig(BASE);
    const shapes = (layers: number) => [
      { name: "model.embed_tokens.weight", shape: [32_000, 4096] },
      ...Array.from({ length: layers }, (_, i) => ({
        name: `model.layers.${i}.input_layernorm.weight`,
        shape: [4096],
      })),
    ];
    const listen = (layers: number, ignore: readonly Guard[] = []): readonly string[] => {
      const warnings: string[] = [];
      const inputs = {
        raw: imagine("b", shapes(layers)),
        diff: imagine("d", shapes(layers)),
        rawConfig,
        diffConfig: rawConfig,
      };
      const onWarning: GuardOptions["onWarning"] = (text, advice = []) =>
        warnings.push(adviceAfter(text, advice, "recover"));
      guardBase(inputs, { values: sample, sums: sample }, { ignore, onWarning });
      return warnings;
    };
    const [warning = "", ...more] = listen(32);
    assert.match(
      warning,
      /^base b holds bfloat16 values in float16: all \d+ sampled ones, .*does NOT give the tuned model.*Give Meta's own files.*huggyllama.*\(silence this with --ignore base-precision\)$/,
    );
    assert.deepEqual(more, []);
    assert.deepEqual(listen(31), []);
    assert.deepEqual(listen(32, ["base-precision"]), []);
  });
});

test("no guard reads or says anything that stops a recovery of the demo", async () => {
  const { warnings } = await heard(join(FIXTURES, "demo/base"), join(FIXTURES, "demo/diff"));
  assert.deepEqual(warnings, []);
  assert.equal(new Set(GUARDS).size, GUARDS.length);
});
