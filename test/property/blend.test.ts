/** The arithmetic of every scheme on any bits at all: both kernels give what the oracle says, however the work is cut. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { planMemory } from "../../src/engine/io/memory.js";
import type { ComputeDtype, StoredOperand, TensorJob, Term } from "../../src/engine/job/job.js";
import { elementsBefore } from "../../src/engine/job/operand.js";
import { needsOf } from "../../src/engine/setup.js";
import { startTensor } from "../../src/engine/work/tensor.js";
import type { Kernel } from "../../src/kernel/kernel.js";
import { createScalarKernel } from "../../src/kernel/scalar.js";
import { type BlendCase, blended, type Side } from "../support/blend-oracle.js";
import { simdKernel } from "../support/kernels.js";

const WIDTH = { F32: 4, F16: 2, BF16: 2 } as const;
const DTYPES = ["F32", "F16", "BF16"] as const;
const WINDOW = 1 << 16;

const SPECIAL = {
  F32: [
    0, 0x80000000, 1, 0x80000001, 0x7f800000, 0xff800000, 0x7f800001, 0xffc12345, 0x477fefff, 0x477ff000, 0x33000000,
  ],
  F16: [0, 0x8000, 1, 0x8001, 0x7c00, 0xfc00, 0x7c01, 0xfe55, 0x7bff, 0xfbff, 0x03ff],
  BF16: [0, 0x8000, 1, 0x8001, 0x7f80, 0xff80, 0x7f81, 0xffc5, 0x7f7f, 0x4780, 0x3300],
} as const;

const bitsOf = (dtype: ComputeDtype): fc.Arbitrary<number> =>
  fc.oneof(
    { weight: 3, arbitrary: fc.nat(WIDTH[dtype] === 4 ? 0xffffffff : 0xffff) },
    // Sums that cancel, round and overflow: exponents close to each other.
    {
      weight: 3,
      arbitrary: fc
        .integer({ min: 0, max: 0x1ff })
        .map((low) =>
          WIDTH[dtype] === 4 ? 0x3f800000 + low * 0x1111 : dtype === "F16" ? 0x3c00 + low : 0x3f80 + (low % 128),
        ),
    },
    { weight: 2, arbitrary: fc.constantFrom(...SPECIAL[dtype]) },
  );

const cases: fc.Arbitrary<BlendCase> = fc
  .record({
    start: fc.constantFrom(...DTYPES),
    // A script that meets a tied matrix under two names adds twice; the two may be one.
    terms: fc.array(fc.constantFrom(...DTYPES), { maxLength: 3 }),
    repeated: fc.boolean(),
    operands: fc.constantFrom(...DTYPES),
    result: fc.constantFrom(...DTYPES),
    output: fc.constantFrom(...DTYPES),
    rows: fc.constantFrom("zero" as const, "verbatim" as const),
    short: fc.constantFrom("start", "terms"),
    subtract: fc.boolean(),
    shape: fc.tuple(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 40 })),
    less: fc.tuple(fc.nat(3), fc.nat(3)),
  })
  .chain(({ start, terms, repeated, shape, less: [fewerRows, fewerColumns], ...axes }) => {
    const [rows, columns] = shape;
    // Fewer columns are only ever left as they are, and only terms may lack something that nothing is put in for.
    const block = axes.rows === "verbatim";
    const small = [Math.max(1, rows - fewerRows), block ? Math.max(1, columns - fewerColumns) : columns] as const;
    const side = (dtype: ComputeDtype, [height, width]: readonly [number, number]): fc.Arbitrary<Side> =>
      fc
        .array(bitsOf(dtype), { minLength: height * width, maxLength: height * width })
        .map((bits) => ({ dtype, rows: height, columns: width, bits }));
    const startShape = axes.short === "start" && !block ? small : shape;
    const termShape = axes.short === "terms" || block ? small : shape;
    return fc
      .record({
        start: side(start, startShape),
        terms: fc.tuple(...terms.map((dtype) => side(dtype, termShape))),
        shape: fc.constant(shape),
        output: fc.constant(axes.output),
        blend: fc.constant({
          operation: axes.subtract ? ("subtract" as const) : ("add" as const),
          operands: axes.operands,
          result: axes.result,
          rows: terms.length === 0 ? ("verbatim" as const) : axes.rows,
        }),
      })
      .map((made) => (repeated ? { ...made, terms: made.terms.map(() => made.terms[0] as Side) } : made))
      .map((made) => (made.terms.length === 0 ? { ...made, start: { ...made.start, ...padded(made) } } : made));
  });

/** What is only converted has the output's shape. */
function padded({ start, shape: [rows, columns] }: Pick<BlendCase, "start" | "shape">): Partial<Side> {
  return { rows, columns, bits: Array.from({ length: rows * columns }, (_, index) => start.bits[index] ?? 0) };
}

const kernels: Readonly<Record<string, Kernel>> = { simd: simdKernel(1 << 22), scalar: createScalarKernel(1 << 22) };

test("both kernels blend any bits as the oracle does, in windows of any length", () => {
  fc.assert(
    fc.property(cases, fc.integer({ min: 1, max: 4 }), (given, step) => {
      const expected = packed(given.output, blended(given));
      const results = Object.values(kernels).map((kernel) => ({
        whole: run(kernel, given, Number.MAX_SAFE_INTEGER),
        cut: run(kernel, given, 32 * step),
      }));
      for (const { whole, cut } of results) {
        assert.equal(whole.bytes, expected);
        assert.deepEqual(cut, whole);
      }
      assert.deepEqual(results[0], results[1]);
    }),
    { seed: 20230503, numRuns: 1500, endOnFailure: true },
  );
});

/** All of the job's windows, `step` elements each. @returns output bytes as text, sum and overflow. */
function run(kernel: Kernel, given: BlendCase, step: number) {
  const { shape, start, terms, output, blend } = given;
  // As the plan has it: one tensor is one operand.
  const known = new Map<Side, StoredOperand>();
  const termOf = (side: Side): Term => {
    const found = known.get(side) ?? operand(side, known.size);
    known.set(side, found);
    return { operand: found, mean: null };
  };
  const job: TensorJob = {
    kind: "tensor",
    id: 0,
    name: "t",
    rule: "blend",
    dtype: output,
    shape,
    start: termOf(start),
    terms: terms.map(termOf),
    blend,
    prove: false,
    output: null,
  };
  const sides = [...known.keys()];
  const areas = planMemory(kernel.base, {
    windowBytes: WINDOW,
    slots: 1,
    sumBytes: kernel.sumBytes,
    meanBytes: 0,
    ...needsOf([job]),
  });
  assert.ok(areas.end <= kernel.memory.byteLength);
  const [slot] = areas.slots;
  assert.ok(slot !== undefined);
  assert.equal(slot.operands.length, sides.length);
  const memory = Buffer.from(kernel.memory);
  const count = shape[0] * shape[1];
  const work = startTensor(job, kernel, areas);
  let bytes = "";
  for (let begin = 0; begin < count; begin += step) {
    const end = Math.min(count, begin + step);
    sides.forEach((side, index) => {
      const own = known.get(side) as StoredOperand;
      const part = side.bits.slice(elementsBefore(job, own, begin), elementsBefore(job, own, end));
      memory.write(packed(side.dtype, part), slot.operands[index] ?? 0, "hex");
    });
    const window = { begin, end, last: end === count, at: slot.operands, outAt: slot.out };
    const { at: outAt } = work.push(window, false);
    bytes += memory.toString("hex", outAt, outAt + (end - begin) * WIDTH[output]);
  }
  const { sum, overflow } = work.finish([]);
  return { bytes, sum: Number.isNaN(sum) ? "NaN" : sum, overflow };
}

function operand({ dtype, rows, columns }: Side, input: number): StoredOperand {
  return {
    kind: "stored",
    input,
    name: "t",
    dtype,
    shape: [rows, columns],
    range: { begin: 0, end: rows * columns * WIDTH[dtype] },
  };
}

/** Little-endian, as hexadecimal. */
function packed(dtype: ComputeDtype, bits: readonly number[]): string {
  return bits
    .map((value) =>
      Buffer.from(
        WIDTH[dtype] === 4 ? [value, value >>> 8, value >>> 16, value >>> 24] : [value, value >>> 8],
      ).toString("hex"),
    )
    .join("");
}
