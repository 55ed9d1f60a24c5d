/** Keys and values come back as they were kept, of each text and layer its own. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { openCache } from "../../../src/inference/cache.js";

test("texts of any lengths side by side, layer by layer, and the room of one that is over is used again", async () => {
  const [layers, row] = [3, 4];
  const cache = openCache(layers, row, 50);
  const expected = new Map<string, number[][]>();
  let next = 1;
  const add = async (key: string, more: number): Promise<void> => {
    const kept = expected.get(key) ?? Array.from({ length: layers }, () => []);
    assert.equal(cache.length(key), (kept[0]?.length ?? 0) / row);
    for (let layer = 0; layer < layers; layer++) {
      const rows = await cache.open(key, layer, more);
      const own = kept[layer] ?? assert.fail();
      assert.deepEqual([...rows.subarray(0, own.length)], own, `${key}, layer ${layer}`);
      const values = Array.from({ length: more * row }, () => next++);
      rows.set(values, own.length);
      own.push(...values);
      await cache.keep(key, layer, more);
    }
    cache.grow(key, more);
    expected.set(key, kept);
  };
  try {
    for (const [key, more] of [
      ["a", 5],
      ["b", 1],
      ["a", 1],
      ["c", 20],
      ["b", 30],
      ["a", 44],
      ["c", 1],
    ] as const) {
      await add(key, more);
    }
    cache.forget("b");
    expected.delete("b");
    assert.equal(cache.length("b"), 0);
    await add("d", 3);
    await add("d", 2);
    await add("a", 0);
    await add("c", 2);
  } finally {
    await cache.close();
  }
});

test("a text without a key is not kept, and no file is made for it", async () => {
  const cache = openCache(1, 2, 10);
  const rows = await cache.open(null, 0, 3);
  assert.equal(rows.length, 6);
  await cache.keep(null, 0, 3);
  cache.grow(null, 3);
  assert.equal(cache.length(null), 0);
  await cache.close();
});
