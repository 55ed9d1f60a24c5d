/** Which values are sampled: few, from everywhere, the same ones of both models, and never past what was stored. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import "../../support/seed.js";
import { openCheckpoint } from "../../../src/checkpoint/checkpoint.js";
import { type SampledPair, samplePairs, spread, toNumbers } from "../../../src/evidence/sample.js";
import { safetensors, type TensorSpec, withFolder, writeFiles } from "../../support/checkpoints.js";
import { FIXTURES } from "../../support/fixtures.js";

/** Element i of every tensor is i, as far as its dtype can count. */
const counted = (name: string, shape: readonly number[]): TensorSpec => {
  const count = shape.reduce((product, size) => product * size, 1);
  return [name, "F32", shape, Float32Array.from({ length: count }, (_, i) => i)];
};

async function sample(raw: readonly TensorSpec[], diff: readonly TensorSpec[]): Promise<readonly SampledPair[]> {
  return withFolder(async (folder) => {
    await writeFiles(folder, {
      "raw/model.safetensors": safetensors(...raw),
      "diff/model.safetensors": safetensors(...diff),
    });
    return samplePairs(await openCheckpoint(join(folder, "raw")), await openCheckpoint(join(folder, "diff")));
  });
}

test("takes the same elements of both, at most 2048 of a matrix and 4096 of the input embedding", async () => {
  const tensors = [counted("model.embed_tokens.weight", [100, 100]), counted("a.weight", [50, 100])];
  const pairs = await sample(tensors, tensors);
  assert.deepEqual(
    pairs.map(({ windows }) => windows.map(({ diff }) => diff.length).reduce((sum, length) => sum + length, 0)),
    [4096, 2048],
  );
  for (const { windows } of pairs) {
    for (const { raw, diff } of windows) {
      assert.deepEqual(raw, diff);
      const values = toNumbers(diff);
      assert.ok(values.every((value, index) => value === (values[0] ?? 0) + index));
    }
  }
});

test("leaves rows out that only one model has", async () => {
  const pairs = await sample([counted("wte.weight", [3, 5])], [counted("wte.weight", [9, 5])]);
  assert.deepEqual(
    pairs.flatMap(({ windows }) => windows.map(({ diff }) => diff.length)),
    [15],
  );
});

test("takes a small matrix whole, once", async () => {
  const pairs = await sample([counted("a", [30, 50])], [counted("a", [30, 50])]);
  const seen = pairs.flatMap(({ windows }) => windows.flatMap(({ diff }) => [...toNumbers(diff)]));
  assert.deepEqual(
    seen,
    Array.from({ length: 1500 }, (_, i) => i),
  );
});

test("skips vectors, integers, empty matrices, other widths and names that one side lacks", async () => {
  const pairs = await sample(
    [
      ["v", "F32", [4]],
      ["i", "I32", [2, 2]],
      ["e", "F32", [0, 2]],
      ["w", "F32", [2, 3]],
      ["r", "F32", [2, 2]],
    ],
    [
      ["v", "F32", [4]],
      ["i", "I32", [2, 2]],
      ["e", "F32", [0, 2]],
      ["w", "F32", [2, 2]],
      ["d", "F32", [2, 2]],
    ],
  );
  assert.deepEqual(pairs, []);
});

test("widens every float dtype, from torch's files too", async () => {
  const folder = join(FIXTURES, "demo");
  const pairs = await samplePairs(
    await openCheckpoint(join(folder, "base")),
    await openCheckpoint(join(folder, "diff")),
  );
  assert.equal(pairs.length, 16);
  assert.ok(pairs.every(({ rawDtype, diffDtype }) => rawDtype === "F16" && diffDtype === "F32"));
  const base = pairs.flatMap(({ windows }) => windows.flatMap(({ raw }) => [...toNumbers(raw)]));
  assert.ok(base.every((value) => Number.isFinite(value)) && base.some((value) => value !== 0));

  const half: TensorSpec = ["a", "BF16", [1, 2], Uint16Array.of(0x3f80, 0xc000)];
  const double: TensorSpec = ["a", "F64", [1, 2], Float64Array.of(1, 1e-3)];
  const [pair] = await sample([half], [double]);
  assert.deepEqual([...toNumbers(pair?.windows[0]?.raw ?? new Uint32Array())], [1, -2]);
  assert.deepEqual([...toNumbers(pair?.windows[0]?.diff ?? new Uint32Array())], [1, Math.fround(1e-3)]);
});

test("spread: as many as asked for, in order, without repeats, the wanted ones first", () => {
  fc.assert(
    fc.property(fc.nat(400), fc.integer({ min: 1, max: 64 }), fc.nat(400), (length, most, wanted) => {
      const items = Array.from({ length }, (_, i) => i);
      const chosen = spread(items, (item) => item === wanted, most);
      assert.equal(chosen.length, Math.min(length, most));
      assert.deepEqual(
        [...new Set(chosen)].sort((a, b) => a - b),
        chosen,
      );
      assert.equal(chosen.includes(wanted), wanted < length);
    }),
  );
});

test("spread: picks every kind of tensor in a model whose layers repeat", () => {
  const names = Array.from({ length: 32 * 7 }, (_, i) => i % 7);
  const kinds = spread(names, () => false, 32);
  for (let kind = 0; kind < 7; kind++) {
    assert.ok(kinds.filter((found) => found === kind).length >= 2, `${kind}: ${kinds}`);
  }
});
