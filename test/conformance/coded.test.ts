/**
 * Compressed diffs by a program that was written from docs/formats.md alone: coded.py, numpy. It decodes the committed one, and one of
 * several windows. WEIGHT_DIFF_PYTHON names a Python with numpy; without it these are skipped, except in CI, where they fail.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { inspect } from "../../src/commands/inspect.js";
import { makeDiff } from "../../src/commands/make-diff.js";
import { recover } from "../../src/commands/recover.js";
import { readSafetensors } from "../../src/formats/safetensors.js";
import { safetensors, withFolder, writeFiles } from "../support/checkpoints.js";
import { FIXTURES, ROOT } from "../support/fixtures.js";
import { hashed } from "../support/kernels.js";
import { memorySource } from "../support/memory-source.js";

const python = process.env.WEIGHT_DIFF_PYTHON;
const has = python !== undefined && spawnSync(python, ["-c", "import numpy"]).status === 0;
const skip = !has && process.env.CI !== "true" ? "WEIGHT_DIFF_PYTHON names no Python with numpy" : false;

const [base, tuned, diff] = ["base", "tuned", "diff"].map((name) => join(FIXTURES, "coded", `${name}.safetensors`)) as [
  string,
  string,
  string,
];

type Tensors = Readonly<Record<string, readonly [dtype: string, shape: readonly number[], sha256: string]>>;

async function tensorsOf(path: string): Promise<Tensors> {
  const bytes = readFileSync(path);
  const { tensors } = await readSafetensors(memorySource(bytes));
  return Object.fromEntries(
    tensors.map(({ name, dtype, shape, range }) => {
      const sha256 = createHash("sha256").update(bytes.subarray(range.begin, range.end)).digest("hex");
      return [name, [dtype, [...shape], sha256]];
    }),
  );
}

function decode(raw: string, coded: string, ...manifest: readonly string[]): Tensors {
  const args = [join(ROOT, "test/conformance/coded.py"), raw, coded, ...manifest];
  const { stdout, stderr, status } = spawnSync(python ?? "python3", args, { encoding: "utf8" });
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout) as Tensors;
}

test("make-diff --compress makes the committed diff to the byte, whatever Node and machine", async () => {
  await withFolder(async (folder) => {
    const out = join(folder, "diff");
    await makeDiff({ raw: base, tuned, diff: out, compress: true });
    assert.ok(readFileSync(join(out, "model.safetensors")).equals(readFileSync(diff)));
  });
});

test("recover gives back every tensor of the committed diff", async () => {
  const { tensors } = await recover({ raw: base, diff, ignore: ["not-a-diff", "not-a-model", "swapped"] });
  const found = Object.fromEntries(tensors.map(({ name, dtype, shape, sha256 }) => [name, [dtype, shape, sha256]]));
  assert.deepEqual(found, await tensorsOf(tuned));
});

test("inspect tells of what is coded, not of the bytes that it is coded in", async () => {
  const { tensors, coded, parameters } = await inspect({ path: diff });
  const expected = await tensorsOf(tuned);
  assert.deepEqual(
    Object.fromEntries(tensors.map(({ name, dtype, shape }) => [name, [dtype, shape]])),
    Object.fromEntries(Object.entries(expected).map(([name, [dtype, shape]]) => [name, [dtype, shape]])),
  );
  assert.equal(parameters, coded?.all.elements);
  assert.equal(coded?.kinds.find(({ name }) => name === "frozen")?.unchanged, 1);
  assert.equal(coded?.kinds.find(({ name }) => name === "odd")?.unchanged, 9 / 81);
});

test("a program written from the page decodes the committed diff to the byte", { skip }, async () => {
  assert.deepEqual(decode(base, diff), await tensorsOf(tuned));
});

test("and one of several windows", { skip }, async () => {
  await withFolder(async (folder) => {
    const elements = 1_200_000;
    const noise = hashed(8, elements);
    const weights = Uint16Array.from(hashed(7, elements), (bits) => (bits & 0x807f) | (0x3c00 - (bits & 0x300)));
    const near = weights.map((bits, i) => bits + ((noise[i] ?? 0) % 7) - 3);
    const model = (units: Uint16Array): Uint8Array =>
      safetensors(["w", "BF16", [1200, 1000], new Uint8Array(units.buffer)], ["same", "I64", [3], new Uint8Array(24)]);
    const [raw, fine] = [
      await writeFiles(join(folder, "raw"), { "model.safetensors": model(weights) }),
      await writeFiles(join(folder, "tuned"), { "model.safetensors": model(near) }),
    ];
    const out = join(folder, "diff");
    await makeDiff({ raw, tuned: fine, diff: out, compress: true });
    const file = "model.safetensors";
    assert.deepEqual(decode(join(raw, file), join(out, file)), await tensorsOf(join(fine, file)));
  });
});

test("and one whose base has other names: one of two tied embeddings, no prefix, and another dtype", {
  skip,
}, async () => {
  await withFolder(async (folder) => {
    const bytes = (seed: number, count: number): Uint8Array =>
      new Uint8Array(Uint16Array.from(hashed(seed, count), (bits) => (bits & 0x807f) | 0x3c00).buffer);
    const config = { model_type: "llama", architectures: ["LlamaForCausalLM"], tie_word_embeddings: true };
    const layer = "layers.0.self_attn.q_proj.weight";
    const raw = await writeFiles(join(folder, "raw"), {
      "config.json": JSON.stringify(config),
      "model.safetensors": safetensors(
        ["embed_tokens.weight", "BF16", [40, 8], bytes(1, 320)],
        [layer, "F16", [8, 8], bytes(2, 64)],
        ["zeros", "F32", [4], new Uint8Array(16)],
        ["more.zeros", "I64", [2], new Uint8Array(16)],
      ),
    });
    const fine = await writeFiles(join(folder, "tuned"), {
      "config.json": JSON.stringify(config),
      "model.safetensors": safetensors(
        ["model.embed_tokens.weight", "BF16", [42, 8], bytes(3, 336)],
        ["lm_head.weight", "BF16", [42, 8], bytes(3, 336)],
        [`model.${layer}`, "BF16", [8, 8], bytes(4, 64)],
        ["zeros", "F32", [4], new Uint8Array(16)],
        ["more.zeros", "I64", [2], new Uint8Array(16)],
      ),
    });
    const out = join(folder, "diff");
    const file = "model.safetensors";
    await makeDiff({ raw, tuned: fine, diff: out, compress: true, ignore: ["swapped"] });
    const manifest = join(out, "weight-diff.json");
    assert.deepEqual(decode(join(raw, file), join(out, file), manifest), await tensorsOf(join(fine, file)));
  });
});
