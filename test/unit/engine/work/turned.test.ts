/** Sums of transposed matrices, added as they are stored: what comes of the same matrices stored in the order of the output. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Disk } from "../../../../src/engine/io/disk.js";
import type { Blend, StoredOperand, TensorJob } from "../../../../src/engine/job/job.js";
import type { TensorResult } from "../../../../src/engine/job/result.js";
import { runJobs } from "../../../../src/engine/pool.js";
import { needsOf } from "../../../../src/engine/setup.js";
import { turnedLayout } from "../../../../src/engine/work/turned-layout.js";
import { wholePiece } from "../../../../src/formats/pieces.js";
import { errno, faultyFile, memoryFile } from "../../../support/faulty-disk.js";
import { hashed } from "../../../support/kernels.js";
import { refuses } from "../../../support/refusal.js";

interface Case {
  readonly dtype: "F16" | "BF16";
  readonly output: "F16" | "BF16" | "F32";
  readonly operation?: Blend["operation"];
  /** Sizes and strides of what numbers the rows. */
  readonly outer: readonly (readonly [size: number, stride: number])[];
  readonly columns: number;
  readonly across: number;
  /** Any bit patterns, NaN and infinities among them; otherwise what weights are. */
  readonly wild?: true;
}

const BEGIN = 12;

/** Values of 16 bits: with an exponent below that of 1, unless they are wild. */
function values(seed: number, count: number, { dtype, wild }: Case): Uint16Array {
  const bits = new Uint16Array(hashed(seed, Math.ceil(count / 2)).buffer, 0, count);
  const plain = dtype === "F16" ? 0xbbff : 0xbdff;
  return wild === true ? bits : bits.map((value) => value & plain);
}

interface Made {
  readonly turned: TensorJob;
  readonly plain: TensorJob;
  /** Storage of either operand, and the same elements in the order of the output. */
  readonly files: Readonly<Record<string, Uint8Array>>;
}

function make(given: Case): Made {
  const { dtype, output, outer, columns, across, operation = "add" } = given;
  const rows = outer.reduce((product, [size]) => product * size, 1);
  const offsets = Array.from({ length: rows }, (_, row) => {
    let rest = row;
    return outer.toReversed().reduce((offset, [size, stride]) => {
      const digit = rest % size;
      rest = Math.floor(rest / size);
      return offset + digit * stride;
    }, 0);
  });
  const shape = [...outer.map(([size]) => size), columns];
  const strides = [...outer.map(([, stride]) => stride), across];
  const bytes = ((columns - 1) * across + rows) * 2;
  const files: Record<string, Uint8Array> = {};
  const operands = ["start", "term"].map((name, side): { turned: StoredOperand; plain: StoredOperand } => {
    const bits = values(side + 5, BEGIN / 2 + columns * across, given);
    const inOrder = new Uint16Array(rows * columns);
    offsets.forEach((offset, row) => {
      for (let column = 0; column < columns; column++) {
        inOrder[row * columns + column] = bits[BEGIN / 2 + offset + column * across] ?? 0;
      }
    });
    files[name] = new Uint8Array(bits.buffer, 0, bits.length * 2);
    files[`${name} in order`] = new Uint8Array(inOrder.buffer);
    const one = { kind: "stored", name, dtype, shape: [rows, columns] } as const;
    const range = { begin: BEGIN, end: BEGIN + bytes };
    const stored = { input: side, range };
    return {
      turned: { ...one, ...stored, pieces: [{ ...wholePiece(range, shape, strides), ...stored, name }] },
      plain: { ...one, input: side + 2, range: { begin: 0, end: inOrder.byteLength } },
    };
  });
  const job = (which: "turned" | "plain"): TensorJob => ({
    kind: "tensor",
    id: 0,
    name: "t",
    rule: "blend",
    dtype: output,
    shape: [rows, columns],
    start: { operand: operands[0]?.[which] as StoredOperand, mean: null },
    terms: [{ operand: operands[1]?.[which] as StoredOperand, mean: null }],
    blend: { operation, operands: "F32", result: dtype, rows: "verbatim" },
    prove: false,
    output: { shard: 0, range: { begin: 0, end: rows * columns * (output === "F32" ? 4 : 2) } },
  });
  return { turned: job("turned"), plain: job("plain"), files };
}

const INPUTS = ["start", "term", "start in order", "term in order"];

async function run(job: TensorJob, given: Made, disk?: Partial<Disk>): Promise<{ result: unknown; out: Uint8Array }> {
  const out = new Uint8Array(job.output?.range.end ?? 0);
  const files: Readonly<Record<string, Uint8Array>> = { ...given.files, out };
  const results: TensorResult[] = [];
  await runJobs(
    {
      inputs: INPUTS.map((path) => ({ path, size: files[path]?.length ?? 0, modified: "0", direct: false })),
      outputs: [{ path: "out", directEnd: 0, direct: false }],
      ...{ windowBytes: 1 << 16, slots: 3, decoders: 1, fileWindowBytes: 1 << 16 },
      ...needsOf([job]),
    },
    [job],
    {
      threads: 0,
      disk: { openFile: async (path) => memoryFile(files[path] ?? new Uint8Array(), path), ...disk },
      onResult: (_, result) => results.push(result),
    },
  );
  return { result: results[0], out };
}

const HEADS = [
  [6, 16],
  [2, 1],
  [8, 2],
] as const;
const CASES: readonly (readonly [what: string, given: Case])[] = [
  [
    "float16 into bfloat16, as Koala has it",
    { dtype: "F16", output: "BF16", outer: [[64, 1]], columns: 96, across: 64 },
  ],
  ["an output of the same dtype", { dtype: "F16", output: "F16", outer: [[40, 1]], columns: 4096, across: 40 }],
  ["bfloat16 into float32", { dtype: "BF16", output: "F32", outer: [[33, 1]], columns: 50, across: 47 }],
  [
    "a difference of any bit patterns, with overflows",
    { dtype: "F16", output: "BF16", operation: "subtract", outer: [[61, 1]], columns: 211, across: 61, wild: true },
  ],
  [
    "bfloat16 of any bit patterns",
    { dtype: "BF16", output: "BF16", outer: [[61, 1]], columns: 83, across: 70, wild: true },
  ],
  ["rows of heads in another order", { dtype: "F16", output: "BF16", outer: HEADS, columns: 35, across: 96 }],
  [
    "storage rows too long to be read together",
    { dtype: "F16", output: "BF16", outer: [[20, 1]], columns: 70, across: 70_000 },
  ],
  [
    "several tiles and blocks of heads, with what lies between them",
    {
      dtype: "F16",
      output: "F16",
      outer: [
        [24, 64],
        [2, 1],
        [32, 2],
      ],
      columns: 8192,
      across: 1600,
    },
  ],
];
for (const [what, given] of CASES) {
  test(`gives the bits of operands stored in order: ${what}`, async () => {
    const made = make(given);
    assert.notEqual(turnedLayout(made.turned), null);
    assert.equal(turnedLayout(made.plain), null);
    const [found, expected] = [await run(made.turned, made), await run(made.plain, made)];
    assert.deepEqual(found.result, expected.result);
    assert.ok(Buffer.from(found.out.buffer).equals(Buffer.from(expected.out.buffer)));
  });
}

test("tiles of several rows are made, of about the same size", () => {
  const { turned } = make({ dtype: "F16", output: "BF16", outer: [[600, 1]], columns: 20_000, across: 600 });
  assert.equal(turnedLayout(turned)?.tileRows, 384);
});

const OTHERS: readonly (readonly [what: string, change: (job: TensorJob) => Partial<TensorJob>])[] = [
  ["a term that is stored in order", (job) => ({ terms: [{ operand: inOrder(job), mean: null }] })],
  ["a term of another dtype", (job) => ({ terms: [{ operand: { ...operandOf(job), dtype: "BF16" }, mean: null }] })],
  ["a checksum", (job) => ({ terms: [{ operand: { ...operandOf(job), crc32: 1 }, mean: null }] })],
  ["another byte order", (job) => ({ terms: [{ operand: { ...operandOf(job), bigEndian: true }, mean: null }] })],
  ["operands that are rounded first", ({ blend }) => ({ blend: { ...(blend as Blend), operands: "BF16" } })],
  ["sums in F32", ({ blend }) => ({ blend: { ...(blend as Blend), result: "F32" } })],
  ["the same operand twice", ({ start }) => ({ terms: [start] })],
  ["two terms", ({ start, terms }) => ({ terms: [...terms, start] })],
  ["values that must fit", () => ({ mustFit: true })],
  ["more rows than the operands have", () => ({ shape: [17, 24] })],
  ["a job without a sum", () => ({ rule: "copy" })],
];
const inOrder = (job: TensorJob): StoredOperand => {
  const { pieces: _, ...operand } = operandOf(job);
  return { ...operand, strides: [24, 1] };
};
const operandOf = ({ terms }: TensorJob): StoredOperand => terms[0]?.operand as StoredOperand;
for (const [what, change] of OTHERS) {
  test(`leaves to others: ${what}`, () => {
    const { turned } = make({ dtype: "F16", output: "BF16", outer: [[16, 1]], columns: 24, across: 16 });
    assert.notEqual(turnedLayout(turned), null);
    assert.equal(turnedLayout({ ...turned, ...change(turned) }), null);
  });
}

test("leaves to others: rows of which not all have neighbours in storage", () => {
  const outer = [
    [4, 16],
    [8, 1],
  ] as const;
  assert.equal(turnedLayout(make({ dtype: "F16", output: "BF16", outer, columns: 24, across: 64 }).turned), null);
});

for (const across of [16, 80_000]) {
  test(`tells of a disk that fails, storage rows of ${across} elements`, async () => {
    const made = make({ dtype: "F16", output: "BF16", outer: [[16, 1]], columns: 24, across });
    const before = (): never => {
      throw errno("EIO");
    };
    const openFile: Disk["openFile"] = async (path) =>
      path === "term"
        ? faultyFile(memoryFile(made.files[path] ?? new Uint8Array(), path), { before })
        : memoryFile(made.files[path] ?? new Uint8Array(0), path);
    await refuses(() => run(made.turned, made, { openFile }), "IO", /EIO/);
  });
}
