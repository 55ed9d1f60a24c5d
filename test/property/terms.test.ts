/**
 * F32 sums of several terms on any bits: one operand met twice, another one, rows that some lack. Both kernels give what adding
 * element by element gives, however the work is cut; a mean row is what the kernel makes of the whole matrix at once.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { planMemory } from "../../src/engine/io/memory.js";
import type { StoredOperand, TensorJob, Term } from "../../src/engine/job/job.js";
import { elementsBefore } from "../../src/engine/job/operand.js";
import { needsOf } from "../../src/engine/setup.js";
import { startTensor } from "../../src/engine/work/tensor.js";
import { addBits, narrowBits, negateBits, widenBF16, widenF16 } from "../../src/kernel/bits.js";
import type { Kernel } from "../../src/kernel/kernel.js";
import { createScalarKernel } from "../../src/kernel/scalar.js";
import { simdKernel } from "../support/kernels.js";

const WIDTH = { F32: 4, F16: 2, BF16: 2 } as const;
const DTYPES = ["F32", "F16", "BF16"] as const;
type FloatDtype = (typeof DTYPES)[number];

interface Matrix {
  readonly dtype: FloatDtype;
  readonly rows: number;
  readonly bits: readonly number[];
}

interface Case {
  readonly rule: "add" | "subtract";
  readonly output: FloatDtype;
  readonly columns: number;
  readonly start: Matrix;
  readonly operands: readonly Matrix[];
  /** Which operand each term is. */
  readonly order: readonly number[];
}

const bitsOf = (dtype: FloatDtype): fc.Arbitrary<number> =>
  fc.oneof(
    {
      weight: 4,
      arbitrary: fc.nat(0x1ff).map((low) => (WIDTH[dtype] === 4 ? 0x3f800000 + low * 0x1111 : 0x3c00 + low)),
    },
    { weight: 1, arbitrary: fc.nat(WIDTH[dtype] === 4 ? 0xffffffff : 0xffff) },
  );

const cases: fc.Arbitrary<Case> = fc
  .record({
    rule: fc.constantFrom("add" as const, "subtract" as const),
    output: fc.constantFrom(...DTYPES),
    start: fc.constantFrom(...DTYPES),
    operands: fc.array(fc.tuple(fc.constantFrom(...DTYPES), fc.nat(3)), { minLength: 1, maxLength: 2 }),
    order: fc.array(fc.nat(1), { minLength: 1, maxLength: 3 }),
    rows: fc.integer({ min: 2, max: 40 }),
    columns: fc.integer({ min: 1, max: 40 }),
  })
  .chain(({ rule, output, start, operands, order, rows, columns }) => {
    const matrix = (dtype: FloatDtype, height: number): fc.Arbitrary<Matrix> =>
      fc
        .array(bitsOf(dtype), { minLength: height * columns, maxLength: height * columns })
        .map((bits) => ({ dtype, rows: height, bits }));
    return fc.record({
      rule: fc.constant(rule),
      output: fc.constant(rule === "subtract" ? ("F32" as const) : output),
      columns: fc.constant(columns),
      start: matrix(start, rows),
      operands: fc.tuple(...operands.map(([dtype, fewer]) => matrix(dtype, Math.max(1, rows - fewer)))),
      order: fc.constant(order.map((which) => which % operands.length)),
    });
  });

const kernels: Readonly<Record<string, Kernel>> = { simd: simdKernel(1 << 22), scalar: createScalarKernel(1 << 22) };

test("both kernels add and subtract any number of terms, in windows of any length", () => {
  fc.assert(
    fc.property(cases, fc.integer({ min: 1, max: 4 }), (given, step) => {
      const results = Object.values(kernels).flatMap((kernel) => {
        const expected = packed(given.output, summed(kernel, given));
        const whole = run(kernel, given, Number.MAX_SAFE_INTEGER);
        assert.equal(whole.bytes, expected);
        return [whole, run(kernel, given, 32 * step)];
      });
      for (const result of results) {
        assert.deepEqual(result, results[0]);
      }
    }),
    { seed: 20230609, numRuns: 800, endOnFailure: true },
  );
});

const widened = (dtype: FloatDtype, bits: number): number =>
  dtype === "F32" ? bits : dtype === "F16" ? widenF16(bits) : widenBF16(bits);

/** Bits of the output, element by element. */
function summed(kernel: Kernel, { rule, output, columns, start, operands, order }: Case): readonly number[] {
  const means = operands.map((operand) => meanBits(kernel, operand, columns));
  return start.bits.map((own, index) => {
    const sum = order.reduce(
      (bits, which) => {
        const operand = operands[which] as Matrix;
        const stored = operand.bits[index];
        const term = stored === undefined ? (means[which]?.[index % columns] ?? 0) : widened(operand.dtype, stored);
        // Of two NaNs the term's stays.
        return addBits(rule === "subtract" ? negateBits(term) : term, bits);
      },
      widened(start.dtype, own),
    );
    return output === "F32" ? sum >>> 0 : narrowBits(output, sum);
  });
}

/** The mean of all rows, in one go. */
function meanBits(kernel: Kernel, { dtype, rows, bits }: Matrix, columns: number): readonly number[] {
  const [state, data] = [kernel.base + (1 << 20), kernel.base + (1 << 21)];
  new Uint32Array(kernel.memory, data, bits.length).set(bits.map((value) => widened(dtype, value)));
  kernel.meanBegin(state, rows, columns);
  kernel.meanPush(state, data, bits.length);
  kernel.meanEnd(state, data);
  return [...new Uint32Array(kernel.memory, data, columns)];
}

function run(kernel: Kernel, given: Case, step: number) {
  const { rule, output, columns, start, order } = given;
  const matrices = [start, ...given.operands];
  const stored = matrices.map(({ dtype, rows }, input): StoredOperand => {
    const range = { begin: 0, end: rows * columns * WIDTH[dtype] };
    return { kind: "stored", input, name: "t", dtype, shape: [rows, columns], range };
  });
  const terms = order.map((which): Term => {
    const operand = stored[which + 1] as StoredOperand;
    const rows = operand.shape[0] ?? 0;
    return { operand, mean: rows < start.rows ? { rows, columns } : null };
  });
  const job: TensorJob = {
    kind: "tensor",
    id: 0,
    name: "t",
    rule,
    dtype: output,
    shape: [start.rows, columns],
    start: { operand: stored[0] as StoredOperand, mean: null },
    terms,
    prove: false,
    output: null,
  };
  const used = [0, ...new Set(order.map((which) => which + 1))];
  const areas = planMemory(kernel.base, {
    windowBytes: 1 << 16,
    slots: 1,
    sumBytes: kernel.sumBytes,
    meanBytes: kernel.meanBytes(columns),
    ...needsOf([job]),
  });
  const [slot] = areas.slots;
  assert.ok(slot !== undefined && areas.end <= kernel.memory.byteLength);
  assert.equal(slot.operands.length, used.length);
  const memory = Buffer.from(kernel.memory);
  const count = start.bits.length;
  const work = startTensor(job, kernel, areas);
  let bytes = "";
  for (let begin = 0; begin < count; begin += step) {
    const end = Math.min(count, begin + step);
    used.forEach((which, index) => {
      const [matrix, operand] = [matrices[which] as Matrix, stored[which] as StoredOperand];
      const part = matrix.bits.slice(elementsBefore(job, operand, begin), elementsBefore(job, operand, end));
      memory.write(packed(matrix.dtype, part), slot.operands[index] ?? 0, "hex");
    });
    const window = { begin, end, last: end === count, at: slot.operands, outAt: slot.out };
    const { at: outAt } = work.push(window, false);
    bytes += memory.toString("hex", outAt, outAt + (end - begin) * WIDTH[output]);
  }
  const { sum, overflow } = work.finish([]);
  return { bytes, sum: Number.isNaN(sum) ? "NaN" : sum, overflow };
}

/** Little-endian, as hexadecimal. */
function packed(dtype: FloatDtype, bits: readonly number[]): string {
  const bytes = Buffer.alloc(bits.length * WIDTH[dtype]);
  bits.forEach((value, index) => {
    if (dtype === "F32") {
      bytes.writeUInt32LE(value >>> 0, index * 4);
    } else {
      bytes.writeUInt16LE(value, index * 2);
    }
  });
  return bytes.toString("hex");
}
