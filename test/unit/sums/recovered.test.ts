import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { recover } from "../../../src/index.js";
import { safetensors, withFolder, writeFiles } from "../../support/checkpoints.js";

/** The warnings of recover where the base and the diff hold these values. */
async function warnings(base: readonly number[], diff: readonly number[]): Promise<readonly string[]> {
  return withFolder(async (folder) => {
    const write = (at: string, values: readonly number[]) =>
      writeFiles(join(folder, at), {
        "model.safetensors": safetensors(
          ["a.weight", "F32", [2], Float32Array.of(1, 2)],
          ["b.weight", "F32", [values.length], Float32Array.from(values)],
        ),
      });
    const said: string[] = [];
    await recover({
      raw: await write("base", base),
      diff: await write("diff", diff),
      scheme: "open-instruct",
      onWarning: (text) => said.push(text),
    });
    return said;
  });
}

for (const [what, base, diff, sum] of [
  ["NaN in the base", [1, Number.NaN], [1, 1], "NaN"],
  ["NaN in the diff", [1, 1], [Number.NaN, 1], "NaN"],
  ["infinity in the base", [1, Number.POSITIVE_INFINITY], [1, 1], "Infinity"],
  ["infinities that cancel", [Number.POSITIVE_INFINITY, 1], [Number.NEGATIVE_INFINITY, 1], "NaN"],
  ["values that are too large to sum", [3e38, 3e38], [0, 0], "Infinity"],
] as const) {
  test(`recover names the tensor whose sum is no number: ${what}`, async () => {
    assert.deepEqual(await warnings(base, diff), [
      `1 of 2 recovered tensors sums to NaN or infinity (b.weight to ${sum}): the base or the diff holds such values, or values too large to sum in float32`,
    ]);
  });
}

test("recover says nothing of sums that are numbers", async () => {
  assert.deepEqual(await warnings([1, 2], [3, 4]), []);
});
