/**
 * Tied models however they are stored: under the embedding's name, under the head's alone (safetensors.torch.save_model), or under
 * both. The same model gives the same bits through every command. Values are those of the unmodified scripts (fixtures/rows, make-*).
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { inspect } from "../../src/commands/inspect.js";
import { makeDiff } from "../../src/commands/make-diff.js";
import { type RecoverOptions, recover } from "../../src/commands/recover.js";
import { verify } from "../../src/commands/verify.js";
import { WeightDiffError } from "../../src/errors.js";
import { withFolder } from "../support/checkpoints.js";
import { FIXTURES } from "../support/fixtures.js";
import { FORMS, type Form, storeAs } from "../support/stored-as.js";

const ROWS = join(FIXTURES, "rows");
const HEAD = "lm_head.weight";

interface Tensor {
  readonly name: string;
  readonly sha256: string;
}
interface Expected {
  readonly diff: readonly Tensor[];
  readonly scripts: Readonly<Record<string, { readonly tensors: readonly Tensor[] }>>;
}

interface Stored {
  readonly folder: string;
  readonly raw: string;
  readonly tuned: string;
  readonly expected: Expected;
  readonly input: string;
}

function withStored(name: string, base: Form, tuned: Form, look: (stored: Stored) => Promise<void>): Promise<void> {
  const expected = JSON.parse(readFileSync(join(ROWS, name, "expect.json"), "utf8")) as Expected;
  const input = expected.diff.find((tensor) => /(embed_tokens|wte)\.weight$/.test(tensor.name))?.name ?? "";
  return withFolder(async (folder) =>
    look({
      folder,
      raw: await storeAs(join(ROWS, name, "base"), join(folder, "base"), base, input, HEAD),
      tuned: await storeAs(join(ROWS, name, "tuned"), join(folder, "tuned"), tuned, input, HEAD),
      expected,
      input,
    }),
  );
}

/** The digests by name; a head's under the embedding's. */
async function digests(path: string, input: string): Promise<Readonly<Record<string, string>>> {
  const { tensors } = await inspect({ path, digest: true });
  return byName(tensors as readonly Tensor[], input);
}

function byName(tensors: readonly Tensor[], input: string): Readonly<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const { name, sha256 } of tensors) {
    const own = name === HEAD ? input : name;
    assert.equal(found[own] ?? sha256, sha256, "both names of a tied matrix hold the same");
    found[own] = sha256;
  }
  return found;
}

const cases: (readonly [name: string, base: Form, tuned: Form])[] = [
  ...FORMS.flatMap((base) => FORMS.map((tuned) => ["make-llama", base, tuned] as const)),
  ...["make-gemma-new-row", "make-gpt2", "make-opt", "make-qwen2", "make-llama-more"].flatMap((name) => [
    [name, "output", "output"] as const,
    [name, "output", "input"] as const,
    [name, "input", "output"] as const,
  ]),
];

for (const [name, base, model] of cases) {
  test(`${name}, base stored as ${base}, tuned as ${model}: an additive diff is the script's, and comes back`, async () => {
    await withStored(name, base, model, async ({ folder, raw, tuned, expected, input }) => {
      const [diff, out] = [join(folder, "diff"), join(folder, "out")];
      const { inexact } = await makeDiff({ raw, tuned, diff });
      assert.deepEqual(await digests(diff, input), byName(expected.diff, input));
      await recover({ raw, diff, tuned: out });
      const script = expected.scripts["tatsu-lab/stanford_alpaca"]?.tensors ?? [];
      assert.deepEqual(await digests(out, input), byName(script, input));
      const checked = await verify({ path: diff, raw });
      assert.deepEqual(
        checked.findings.filter(({ level }) => level === "error"),
        [],
      );
      assert.equal(checked.verdict, "sound");
      const again = await verify({ path: out, against: tuned });
      const differs = again.findings.flatMap(({ level, tensor }) => (level === "error" ? [tensor ?? ""] : []));
      // Float32 weights do not all come back to the last bit: make-diff counted them.
      assert.deepEqual(
        differs.filter((each) => !inexact.has(each)),
        [],
      );
      assert.equal(differs.length > 0, name === "make-gpt2");
    });
  });

  test(`${name}, base stored as ${base}, tuned as ${model}: an exact diff comes back bit for bit`, async () => {
    await withStored(name, base, model, async ({ folder, raw, tuned, input }) => {
      const [diff, out] = [join(folder, "diff"), join(folder, "out")];
      const { inexact } = await makeDiff({ raw, tuned, diff, encoding: "exact" });
      assert.equal(inexact.size, 0);
      await recover({ raw, diff, tuned: out });
      assert.deepEqual(await digests(out, input), await digests(tuned, input));
      assert.equal((await verify({ path: diff, raw })).verdict, "sound");
    });
  });
}

for (const [name, form] of [
  ["make-llama", "input"],
  ["make-llama", "output"],
  ["make-llama", "equal"],
  ["make-gpt2", "output"],
  ["make-opt", "output"],
] as const) {
  test(`${name}: the base stored as ${form} and as input is the same model to verify --against`, async () => {
    await withStored(name, form, form, async ({ raw, input, folder }) => {
      const other = await storeAs(join(ROWS, name, "base"), join(folder, "other"), "input", input, HEAD);
      for (const [path, against] of [
        [raw, other],
        [other, raw],
      ] as const) {
        const { verdict, findings } = await verify({ path, against });
        assert.equal(verdict, "sound", JSON.stringify(findings));
        const told = findings.filter(({ check, message }) => check === "compare" && /stands for it/.test(message));
        assert.equal(told.length > 0, form !== "input");
      }
    });
  });
}

test("verify --against finds a head that differs from the embedding, however it is stored", async () => {
  await withStored("make-llama", "output", "output", async ({ raw, tuned }) => {
    assert.equal((await verify({ path: raw, against: tuned })).verdict, "failed");
  });
});

for (const [dtype, torch] of [
  ["F16", "float16"],
  ["BF16", "bfloat16"],
] as const) {
  test(`stored by the head alone, rounded to ${torch}: the same as by the embedding`, async () => {
    await withStored("make-llama", "output", "output", async ({ folder, raw, tuned, input }) => {
      const [diff, out, usual] = [join(folder, "diff"), join(folder, "out"), join(folder, "usual")];
      await makeDiff({ raw, tuned, diff });
      await recover({ raw, diff, tuned: out, dtype });
      const pair = join(ROWS, "make-llama");
      await makeDiff({ raw: join(pair, "base"), tuned: join(pair, "tuned"), diff: join(folder, "usual-diff") });
      await recover({ raw: join(pair, "base"), diff: join(folder, "usual-diff"), tuned: usual, dtype });
      assert.deepEqual(await digests(out, input), await digests(usual, input));
      if (dtype === "F16") {
        assert.deepEqual(await digests(out, input), await digests(tuned, input), "the fine-tuned model itself");
      }
    });
  });
}

test("a model that stores only the head: a stopped run resumes to the same output", async () => {
  await withStored("make-llama", "output", "output", async ({ folder, raw, tuned, input }) => {
    const [diff, whole, out] = [join(folder, "diff"), join(folder, "whole"), join(folder, "out")];
    await makeDiff({ raw, tuned, diff });
    const options: RecoverOptions = { raw, diff, maxShardSize: 1000, threads: 0 };
    await recover({ ...options, tuned: whole });
    const stop = new AbortController();
    let done = 0;
    const onProgress = (state: { readonly done: number; readonly total: number }): void => {
      done = Math.max(done, state.done / state.total);
      if (done > 0.5) {
        stop.abort();
      }
    };
    await assert.rejects(
      recover({ ...options, tuned: out, signal: stop.signal, onProgress }),
      (error) => error instanceof WeightDiffError && error.code === "INTERRUPTED",
    );
    const resumed = await recover({ ...options, tuned: out, mode: "resume" });
    assert.ok(resumed.resumed > 0);
    assert.deepEqual(await digests(out, input), await digests(whole, input));
  });
});
