/** The container of outputs: names as transformers gives them, an index beside several files; and a plan takes any other one. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Container } from "../../../../src/output/containers/container.js";
import { SAFETENSORS } from "../../../../src/output/containers/safetensors.js";
import { layOut } from "../../../../src/plan/layout.js";
import type { Pair } from "../../../../src/plan/pair.js";
import { imagine } from "../../../support/checkpoints.js";

test("one file has a plain name, several are numbered", () => {
  assert.equal(SAFETENSORS.fileName(0, 1), "model.safetensors");
  assert.deepEqual(
    [0, 1].map((index) => SAFETENSORS.fileName(index, 2)),
    ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"],
  );
  assert.equal(SAFETENSORS.fileName(123_455, 123_456), "model-123456-of-123456.safetensors");
});

const { stateDict } = imagine("diff", [
  { name: "a", shape: [4] },
  { name: "b", shape: [4] },
]);
const pairs = [...stateDict.values()].map(
  (driver): Pair => ({ name: driver.name, driver, raw: null, rule: "copy", dtype: "F32", mean: null }),
);
const options = { maxShardSize: 16, metadata: () => new Map([["format", "pt"]]) };

test("several files have an index, a single one has none", () => {
  assert.deepEqual(layOut(pairs, options).index, {
    file: "model.safetensors.index.json",
    text: `{
  "metadata": {
    "total_size": 32
  },
  "weight_map": {
    "a": "model-00001-of-00002.safetensors",
    "b": "model-00002-of-00002.safetensors"
  }
}
`,
  });
  assert.equal(layOut(pairs, { ...options, maxShardSize: 32 }).index, null);
});

test("another container may have its own layout, without changes elsewhere", () => {
  const nothing: Container = {
    fileName: (index) => `part.${index}`,
    layOut: (tensors) => ({
      header: new Uint8Array(3),
      ranges: tensors.map(() => ({ begin: 3, end: 3 })),
      size: 3,
      directEnd: 0,
    }),
    index: (weightMap) => ({ file: "parts", text: [...weightMap.values()].join() }),
  };
  const { shards, placed, index } = layOut(pairs, options, nothing);
  assert.deepEqual(
    shards.map(({ file, size }) => [file, size]),
    [
      ["part.0", 3],
      ["part.1", 3],
    ],
  );
  assert.deepEqual([...placed.values()][1], { shard: 1, range: { begin: 3, end: 3 } });
  assert.deepEqual(index, { file: "parts", text: "part.0,part.1" });
});
