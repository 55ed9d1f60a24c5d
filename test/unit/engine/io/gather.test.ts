/** Views of torch storages, read in pieces, against one element after the other. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import "../../../support/seed.js";
import type { DiskFile } from "../../../../src/engine/io/disk.js";
import { gather, runAt } from "../../../../src/engine/io/gather.js";
import type { StoredOperand } from "../../../../src/engine/job/job.js";
import { type Dtype, dtypeBits } from "../../../../src/formats/dtype.js";
import type { Shape } from "../../../../src/formats/tensor-info.js";
import { faultyFile, memoryFile } from "../../../support/faulty-disk.js";
import { gather as oneByOne } from "../../../support/gather.js";
import { hashed } from "../../../support/kernels.js";
import { refuses } from "../../../support/refusal.js";

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
    await gather(async () => memoryFile(bytes), operand, begin, items, window);
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

/** A matrix cut by rows or columns into files of its own, every part with gaps in its storage, and rows taken in pairs. */
interface Cut {
  readonly dtype: Dtype;
  readonly parts: number;
  readonly axis: 0 | 1;
  readonly rows: number;
  readonly columns: number;
  readonly gap: number;
  /** Rows of a head; 0 leaves them in order. */
  readonly head: number;
}

function cutUp({ dtype, parts, axis, rows, columns, gap, head }: Cut): {
  readonly operand: StoredOperand;
  readonly files: readonly Uint8Array[];
  readonly expected: Buffer;
} {
  const width = dtypeBits(dtype) / 8;
  const down = columns + gap;
  const wide = axis === 1 ? columns * parts : columns;
  const begin = 4 * width;
  const files = Array.from({ length: parts }, (_, part) => {
    return new Uint8Array(hashed(50 + part, Math.ceil((begin + rows * down * width) / 4) + 1).buffer);
  });
  const range = { begin, end: begin + ((rows - 1) * down + columns) * width };
  const pieces = files.map((_, part) => {
    const common = { input: part, name: "t", range, first: axis === 1 ? part * columns : part * rows * wide };
    return head === 0
      ? { ...common, shape: [rows, columns], strides: [down, 1], steps: [wide, 1] }
      : {
          ...common,
          shape: [rows / head, 2, head / 2, columns],
          strides: [head * down, down, 2 * down, 1],
          steps: [head * wide, (head / 2) * wide, wide, 1],
        };
  });
  const shape = axis === 1 ? [rows, wide] : [rows * parts, columns];
  const expected = Buffer.alloc(rows * columns * parts * width);
  for (const [part, file] of files.entries()) {
    for (let row = 0; row < rows; row++) {
      // The rule of transformers' converter, backwards: Meta's row to ours.
      const within = head === 0 ? row : Math.floor((row % head) / 2) + (row % 2) * (head / 2);
      const ours = head === 0 ? row : row - (row % head) + within;
      const to = axis === 1 ? ours * wide + part * columns : (part * rows + ours) * wide;
      const from = begin + row * down * width;
      expected.set(file.subarray(from, from + columns * width), to * width);
    }
  }
  return { operand: { kind: "stored", input: 0, name: "t", dtype, shape, range, pieces }, files, expected };
}

test("parts in several files, by rows or columns, with rows in another order, give the elements in C order", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.record({
        dtype: fc.constantFrom(...DTYPES),
        parts: fc.integer({ min: 1, max: 8 }),
        axis: fc.constantFrom(0, 1),
        heads: fc.integer({ min: 1, max: 4 }),
        half: fc.integer({ min: 1, max: 5 }),
        columns: fc.integer({ min: 1, max: 30 }),
        gap: fc.constantFrom(0, 0, 1, 20_000),
        reordered: fc.boolean(),
      }),
      fc.integer({ min: 1, max: 500 }),
      async ({ heads, half, reordered, ...cut }, step) => {
        const { operand, files, expected } = cutUp({ ...cut, rows: heads * half * 2, head: reordered ? half * 2 : 0 });
        const width = dtypeBits(operand.dtype) / 8;
        const count = expected.length / width;
        const found = Buffer.alloc(expected.length);
        const open = async (input: number): Promise<DiskFile> => memoryFile(files[input] ?? new Uint8Array());
        for (let begin = 0; begin < count; begin += step) {
          const items = Math.min(step, count - begin);
          await gather(open, operand, begin, items, found.subarray(begin * width, (begin + items) * width));
          const run = runAt(operand, begin, begin + items);
          if (run !== null) {
            const bytes = files[run.input]?.subarray(run.position, run.position + items * width);
            assert.ok(
              expected
                .subarray(begin * width)
                .subarray(0, items * width)
                .equals(bytes ?? Buffer.of()),
            );
          }
        }
        assert.deepEqual(found, expected);
      },
    ),
    { numRuns: 300 },
  );
});

test("rows in pairs cost one pass over their storage, columns of eight files one read of each", async () => {
  for (const [cut, most] of [
    [{ dtype: "F16", parts: 1, axis: 0, rows: 256, columns: 4096, gap: 0, head: 128 }, 3],
    [{ dtype: "F16", parts: 8, axis: 1, rows: 256, columns: 512, gap: 0, head: 0 }, 8],
  ] as const) {
    const { operand, files, expected } = cutUp(cut);
    let calls = 0;
    const open = async (input: number): Promise<DiskFile> =>
      faultyFile(memoryFile(files[input] ?? new Uint8Array()), { before: () => void calls++ });
    const found = Buffer.alloc(expected.length);
    await gather(open, operand, 0, expected.length / 2, found);
    assert.ok(found.equals(expected));
    assert.ok(calls <= most, `${calls} reads`);
  }
});

test("a part that is one run of bytes is said to be one, and nothing else", () => {
  const { operand } = cutUp({ dtype: "F16", parts: 2, axis: 0, rows: 4, columns: 6, gap: 0, head: 0 });
  assert.deepEqual(runAt(operand, 3, 24), { input: 0, position: 8 + 3 * 2 });
  assert.deepEqual(runAt(operand, 24, 48), { input: 1, position: 8 });
  assert.equal(runAt(operand, 23, 25), null);
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
  await gather(async () => file, operand, 0, 1_000_000, new Uint8Array(4_000_000));
  assert.ok(calls <= 20, `${calls} reads`);
  assert.ok(largest <= 1 << 20, `${largest} bytes at once`);
});

test("a view over more storage than can be sorted is refused by name", async () => {
  const operand = { ...view("U8", [2], [2 ** 36], 0), range: { begin: 0, end: 2 ** 36 + 1 } };
  await refuses(
    () => gather(async () => memoryFile(new Uint8Array(1)), operand, 0, 2, new Uint8Array(2)),
    "LIMIT",
    /tensor "t"/,
  );
});

test("an input that ends inside the view has changed", async () => {
  const operand = view("F32", [10], [10], 0);
  await refuses(
    () => gather(async () => memoryFile(new Uint8Array(100), "a.bin"), operand, 0, 10, new Uint8Array(40)),
    "INPUT_CHANGED",
    /a\.bin: ends at byte 100/,
  );
});
