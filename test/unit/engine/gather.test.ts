/** Views of torch storages, read in pieces, against one element after the other. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { gather } from "../../../src/engine/gather.js";
import type { StoredOperand } from "../../../src/engine/job.js";
import { type Dtype, dtypeBits } from "../../../src/formats/dtype.js";
import type { Shape } from "../../../src/formats/tensor-info.js";
import { faultyFile, memoryFile } from "../../faulty-disk.js";
import { gather as oneByOne } from "../../gather.js";
import { hashed } from "../../kernels.js";
import { refuses } from "../../refusal.js";

const DTYPES = ["U8", "F16", "F32", "F64"] as const satisfies readonly Dtype[];

function view(dtype: Dtype, shape: Shape, strides: readonly number[], begin: number): StoredOperand {
  const width = dtypeBits(dtype) / 8;
  const reach = shape.reduce((sum, size, dim) => sum + Math.max(0, size - 1) * (strides[dim] ?? 0), 1);
  return {
    kind: "stored",
    input: 0,
    name: "t",
    dtype,
    shape,
    strides,
    range: { begin, end: begin + reach * width },
  };
}

/** The whole tensor in windows of `step` elements. */
async function inWindows(bytes: Uint8Array, operand: StoredOperand, step: number): Promise<Uint8Array> {
  const count = operand.shape.reduce((product, size) => product * size, 1);
  const width = dtypeBits(operand.dtype) / 8;
  const target = new Uint8Array(count * width);
  for (let begin = 0; begin < count; begin += step) {
    const items = Math.min(step, count - begin);
    const window = target.subarray(begin * width, (begin + items) * width);
    await gather(memoryFile(bytes), operand, begin, items, window);
  }
  return target;
}

test("any shape, strides and window give the elements in C order", async () => {
  const dimension = fc.record({ size: fc.integer({ min: 1, max: 7 }), stride: fc.nat(40) });
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...DTYPES),
      fc.array(dimension, { maxLength: 4 }),
      fc.nat(100),
      fc.integer({ min: 1, max: 300 }),
      async (dtype, dimensions, begin, step) => {
        const operand = view(
          dtype,
          dimensions.map(({ size }) => size),
          dimensions.map(({ stride }) => stride),
          begin,
        );
        const bytes = new Uint8Array(hashed(2, Math.ceil(operand.range.end / 4)).buffer);
        const expected = oneByOne(bytes, { ...operand, path: ["t"] });
        assert.deepEqual(Buffer.from(await inWindows(bytes, operand, step)), expected);
      },
    ),
    { numRuns: 200 },
  );
});

for (const [what, shape, strides] of [
  ["a transposed matrix", [300, 500], [1, 300]],
  ["a slice of columns", [200, 3], [5_000, 1]],
  ["every 20000th element", [50], [20_000]],
  ["an expanded row", [400, 700], [0, 1]],
  ["one element, many times", [1_000, 1_000], [0, 0]],
  ["no dimensions", [], []],
] as const) {
  test(`reads ${what}`, async () => {
    const operand = view("F32", shape, strides, 12);
    const bytes = new Uint8Array(hashed(3, Math.ceil(operand.range.end / 4) + 1).buffer);
    const expected = oneByOne(bytes, { ...operand, path: ["t"] });
    assert.ok(expected.equals(await inWindows(bytes, operand, 65_536)));
  });
}

test("reads neighbours together, and never more than a piece", async () => {
  const operand = view("F32", [1_000, 1_000], [1, 1_000], 0);
  const bytes = new Uint8Array(hashed(4, 1_000_000).buffer);
  let calls = 0;
  let largest = 0;
  const file = faultyFile(memoryFile(bytes), {
    before: (_action, _path, _position, target) => {
      calls++;
      largest = Math.max(largest, target.length);
    },
  });
  await gather(file, operand, 0, 1_000_000, new Uint8Array(4_000_000));
  assert.ok(calls <= 20, `${calls} reads`);
  assert.ok(largest <= 1 << 20, `${largest} bytes at once`);
});

test("a view over more storage than can be sorted is refused by name", async () => {
  const operand = { ...view("U8", [2], [2 ** 36], 0), range: { begin: 0, end: 2 ** 36 + 1 } };
  await refuses(() => gather(memoryFile(new Uint8Array(1)), operand, 0, 2, new Uint8Array(2)), "LIMIT", /tensor "t"/);
});

test("an input that ends inside the view has changed", async () => {
  const operand = view("F32", [10], [10], 0);
  await refuses(
    () => gather(memoryFile(new Uint8Array(100), "a.bin"), operand, 0, 10, new Uint8Array(40)),
    "INPUT_CHANGED",
    /a\.bin: ends at byte 100/,
  );
});
