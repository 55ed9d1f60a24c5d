/** EasyLM's names and kernels as Meta's. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { metaTensors } from "../../../../src/checkpoint/layouts/easylm.js";
import type { TensorInfo } from "../../../../src/formats/tensor-info.js";
import { refuses } from "../../../support/refusal.js";

const tensor = (name: string, ...shape: readonly number[]): TensorInfo => ({
  name,
  path: name.split("."),
  dtype: "BF16",
  shape,
  range: { begin: 0, end: 2 * shape.reduce((product, size) => product * size, 1) },
});
const WTE = tensor("transformer.wte.embedding", 20, 4);

test("transposes every matrix except the embedding, and keeps the byte ranges", () => {
  const down = tensor("transformer.h.11.feed_forward.w2.kernel", 6, 4);
  const found = metaTensors(
    [WTE, down, tensor("lm_head.kernel", 4, 20), tensor("transformer.h.0.ffn_norm.kernel", 4)],
    "f",
  );
  assert.deepEqual(
    found.map(({ name, shape, strides, range }) => [name, shape, strides, range.end]),
    [
      ["tok_embeddings.weight", [20, 4], undefined, 160],
      ["layers.11.feed_forward.w2.weight", [4, 6], [1, 4], 48],
      ["output.weight", [20, 4], [1, 20], 160],
      ["layers.0.ffn_norm.weight", [4], undefined, 8],
    ],
  );
});

for (const prefix of ["params.", "params.params."]) {
  test(`takes the parameters below "${prefix}" and leaves the rest of a train state`, () => {
    const state = [tensor("opt_state.mu", 3), tensor(`${prefix}transformer.wte.embedding`, 20, 4)];
    assert.deepEqual(
      metaTensors(state, "f").map(({ name }) => name),
      ["tok_embeddings.weight"],
    );
  });
}

test("leaves a kernel of another rank unchanged, so that the error shows its shape", () => {
  const [, odd] = metaTensors([WTE, tensor("lm_head.kernel", 4, 5, 4)], "f");
  assert.deepEqual([odd?.shape, odd?.strides], [[4, 5, 4], undefined]);
});

test("refuses another model, a name that no LLaMA has, and a file without arrays", async () => {
  await refuses(() => metaTensors([tensor("wte", 1)], "f"), "FORMAT_UNSUPPORTED", /not of a LLaMA.*"wte"/);
  await refuses(() => metaTensors([], "f"), "FORMAT_UNSUPPORTED", /not of a LLaMA/);
  for (const name of [
    "transformer.h.0.attention.wq.bias",
    "transformer.h.00.ffn_norm.kernel",
    "transformer.h.0",
    "lm",
  ]) {
    await refuses(() => metaTensors([WTE, tensor(name, 1)], "f"), "MISMATCH", /does not belong to a LLaMA/);
  }
});
