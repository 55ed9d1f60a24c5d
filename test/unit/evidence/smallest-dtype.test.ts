/** Which dtype recover takes when it may choose, what it says of it, and what becomes of a value that no sample foretold. */
import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { makeDiff } from "../../../src/commands/make-diff.js";
import { type RecoverOptions, recover } from "../../../src/commands/recover.js";
import { WeightDiffError } from "../../../src/errors.js";
import { narrowBits, toBits } from "../../../src/kernel/bits.js";
import { readManifest } from "../../../src/manifest/read.js";
import { safetensors, type TensorSpec, withFolder, writeFiles } from "../../support/checkpoints.js";
import { FIXTURES } from "../../support/fixtures.js";
import { convertedAndTuned, META } from "../../support/meta.js";
import { hintOf, refuses } from "../../support/refusal.js";

const DEMO = { raw: join(FIXTURES, "demo/base"), diff: join(FIXTURES, "demo/diff") };
const NAME = "model.layers.0.mlp.up_proj.weight";
const NORM = "model.norm.weight";

/** Values of one sign near `about`, on the grid of bfloat16. */
function grid(count: number, about: number, seed: number): Float32Array {
  let state = seed;
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const word = narrowBits("BF16", toBits(about * (1 + state / 2 ** 32)));
    return new Float32Array(Uint32Array.of(word << 16).buffer)[0] ?? 0;
  });
}

/** A base in F32 and the difference that a script takes: tuned - base in float32. */
async function pair(
  folder: string,
  rows: number,
  tuned: ReadonlyMap<string, Float32Array>,
): Promise<Pick<RecoverOptions, "raw" | "diff">> {
  const bases = new Map([...tuned].map(([name, values], k) => [name, grid(values.length, 0.01, 77 + k)]));
  const shape = (values: Float32Array): readonly number[] =>
    values.length === rows ? [rows] : [rows, values.length / rows];
  const specs = (of: (name: string, values: Float32Array) => Float32Array): readonly TensorSpec[] =>
    [...tuned].map(([name, values]) => [name, "F32", shape(values), of(name, values)]);
  const [raw, diff] = [join(folder, "base"), join(folder, "diff")];
  await writeFiles(raw, {
    "model.safetensors": safetensors(...specs((name) => bases.get(name) ?? new Float32Array())),
  });
  const difference = (name: string, values: Float32Array): Float32Array =>
    values.map((value, i) => value - (bases.get(name)?.[i] ?? 0));
  await writeFiles(diff, { "model.safetensors": safetensors(...specs(difference)) });
  return { raw, diff };
}

const SCHEME = { scheme: "open-instruct", ignore: ["not-a-diff", "bit-census"] } as const;
const ROWS = 64;

async function told(options: RecoverOptions): Promise<readonly string[]> {
  const notes: string[] = [];
  await recover({ ...options, onNote: (text) => notes.push(text) });
  return notes.filter((text) => text.startsWith("dtype auto"));
}

test("a dry run says which dtype it would take, and why", async () => {
  const [note = ""] = await told({ ...DEMO, dtype: "auto", dryRun: true });
  assert.match(note, /^dtype auto: bfloat16: it holds all \d+ sampled values, and each is checked; new rows, which/);
});

test("a float32 model stays float32, and the note counts the samples from matrices and other tensors", async () => {
  await withFolder(async (folder) => {
    const tuned = new Map([
      [NAME, grid(ROWS * 32, 0.02, 1)],
      [NORM, grid(ROWS, 1, 2).map((value) => Math.fround(value * 1.0001))],
    ]);
    const options = { ...(await pair(folder, ROWS, tuned)), ...SCHEME, dtype: "auto" } as const;
    assert.match(
      (await told(options)).join(),
      /dtype auto: float32: of 2112 sampled values, bfloat16 does not hold [56]\d,/,
    );
    assert.equal((await recover(options)).dtype, "F32");
  });
});

test("a value that the sample missed ends the run: the error names the tensor and the remedy, and nothing is left", async () => {
  await withFolder(async (folder) => {
    const values = grid(ROWS * 4096, 0.02, 3);
    // Between the two places that are looked at.
    values[40_000] = Math.fround(0.0212345);
    const tuned = new Map([[NAME, values]]);
    const out = join(folder, "out");
    const options = { ...(await pair(folder, ROWS, tuned)), ...SCHEME, dtype: "auto", tuned: out } as const;
    await assert.rejects(recover(options), (error) => {
      assert.ok(error instanceof WeightDiffError);
      assert.equal(error.code, "CHECK_FAILED");
      assert.equal(error.at.tensor, NAME);
      assert.match(error.message, /of its first 65536 values one is not exact in bfloat16/);
      assert.equal(hintOf(error), "keep every value with --dtype float32, or round such values with --dtype bfloat16");
      return true;
    });
    assert.deepEqual(await readdir(out).catch(() => []), []);
    const rounded = await recover({ ...options, dtype: "BF16" });
    assert.equal(rounded.dtype, "BF16");
  });
});

test("whatever the windows and threads, the value is found", async () => {
  await withFolder(async (folder) => {
    const values = grid(ROWS * 4096, 0.02, 4);
    values[ROWS * 4096 - 5000] = Math.fround(0.0212345);
    const options = { ...(await pair(folder, ROWS, new Map([[NAME, values]]))), ...SCHEME, dtype: "auto" } as const;
    const facts = await Promise.all(
      [{}, { windowBytes: 65_536 }, { windowBytes: 1 << 20, threads: 2 }].map((more) =>
        recover({ ...options, ...more }).catch((error: unknown) => (error as WeightDiffError).code),
      ),
    );
    assert.deepEqual(facts, ["CHECK_FAILED", "CHECK_FAILED", "CHECK_FAILED"]);
  });
});

test("the result is that of the dtype asked for by name, manifest and all; a run that need not fit is not continued", async () => {
  await withFolder(async (folder) => {
    const [auto, named] = [join(folder, "auto"), join(folder, "named")];
    await recover({ ...DEMO, dtype: "auto", tuned: auto });
    await recover({ ...DEMO, dtype: "BF16", tuned: named });
    const [one, two] = await Promise.all([auto, named].map((out) => readManifest(join(out, "weight-diff.json"))));
    assert.deepEqual(one, two);
    const started = join(folder, "started");
    const ended = new AbortController();
    const stopped = recover({
      ...DEMO,
      dtype: "BF16",
      tuned: started,
      threads: 0,
      signal: ended.signal,
      onProgress: () => ended.abort(),
    });
    await refuses(() => stopped, "INTERRUPTED", /./);
    await refuses(
      () => recover({ ...DEMO, dtype: "auto", tuned: started, mode: "resume" }),
      "OUTPUT_REFUSED",
      /what differs is the dtype/,
    );
    assert.equal((await recover({ ...DEMO, dtype: "BF16", tuned: started, mode: "resume" })).outcome, "recovered");
    // Of two that must fit, the second goes on where the first ended.
    const half = join(folder, "half");
    const signal = AbortSignal.abort();
    await refuses(() => recover({ ...DEMO, dtype: "auto", tuned: half, signal }), "INTERRUPTED", /./);
    await recover({ ...DEMO, dtype: "auto", tuned: half, mode: "resume" });
    assert.deepEqual(await readManifest(join(half, "weight-diff.json")), one);
  });
});

test("rotary buffers that are kept stay float32", async () => {
  const { tensors, dtype } = await recover({ ...DEMO, dtype: "auto", invFreq: "keep" });
  assert.equal(dtype, "BF16");
  const dtypes = (buffer: boolean): readonly string[] => [
    ...new Set(tensors.flatMap((t) => (t.name.endsWith("inv_freq") === buffer ? [t.dtype] : []))),
  ];
  assert.deepEqual([dtypes(true), dtypes(false)], [["F32"], ["BF16"]]);
});

test("a script that computes in 16 bits, an exact diff and a compressed one have their own dtypes", async () => {
  await withFolder(async (folder) => {
    const trained = join(FIXTURES, "trained/llama");
    const [raw, tuned] = [join(trained, "base"), join(trained, "gentle-f16")];
    assert.match(
      (await told({ ...DEMO, ...SCHEME, scheme: "fastchat", rows: "zero", dtype: "auto", dryRun: true })).join(),
      /float16, in which the script computes/,
    );
    for (const compress of [false, true]) {
      const diff = join(folder, String(compress));
      await makeDiff({ raw, tuned, diff, encoding: "exact", compress });
      assert.match((await told({ raw, diff, dtype: "auto" })).join(), /every tensor has the dtype of the tuned model/);
      assert.deepEqual((await recover({ raw, diff, dtype: "auto" })).tensors, (await recover({ raw, diff })).tensors);
    }
  });
});

test("parts of Meta's own files are sampled like any other base", async () => {
  await withFolder(async (folder) => {
    const raw = join(META, "two-parts");
    const { tuned } = await convertedAndTuned("two-parts", folder);
    const diff = join(folder, "diff");
    await makeDiff({ raw, tuned, diff });
    const [note = ""] = await told({ raw, diff, dtype: "auto", dryRun: true });
    assert.match(note, /^dtype auto: float16: it holds all \d+ sampled values/);
  });
});

test("files that are XORed as a whole have no dtype to choose", async () => {
  const xor = { raw: join(FIXTURES, "xor/base"), diff: join(FIXTURES, "xor/oa-plain/payload") };
  assert.equal((await recover({ ...xor, dtype: "auto" })).outcome, "checked");
});
