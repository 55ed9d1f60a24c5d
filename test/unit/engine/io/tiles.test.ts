/** Transposed matrices, read in tiles: every window of every such view, against one element after the other. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { fromTiles } from "../../../../src/engine/io/tiles.js";
import type { OperandPiece, StoredOperand } from "../../../../src/engine/job/job.js";
import { wholePiece } from "../../../../src/formats/pieces.js";
import { errno, faultyFile, memoryFile } from "../../../support/faulty-disk.js";
import { hashed } from "../../../support/kernels.js";
import { refuses } from "../../../support/refusal.js";

/** A kernel of `columns` storage rows, of `across` elements each, seen as rows x columns from element `first` on. */
interface Case {
  readonly dtype: "F16" | "F32";
  /** Sizes and strides of what numbers the rows. */
  readonly outer: readonly (readonly [size: number, stride: number])[];
  readonly columns: number;
  readonly across: number;
}

const BEGIN = 12;
const widthOf = ({ dtype }: Pick<Case, "dtype">): number => (dtype === "F16" ? 2 : 4);

function layOut(given: Case): { operand: StoredOperand; piece: OperandPiece; bytes: Uint8Array; expected: Uint8Array } {
  const { dtype, outer, columns, across } = given;
  const width = widthOf(given);
  const rows = outer.reduce((product, [size]) => product * size, 1);
  const offsets = Array.from({ length: rows }, (_, row) => {
    let rest = row;
    return outer.toReversed().reduce((offset, [size, stride]) => {
      const digit = rest % size;
      rest = Math.floor(rest / size);
      return offset + digit * stride;
    }, 0);
  });
  const extent = offsets.reduce((most, offset) => Math.max(most, offset), 0) + (columns - 1) * across + 1;
  const range = { begin: BEGIN, end: BEGIN + extent * width };
  const bytes = new Uint8Array(hashed(7, Math.ceil(range.end / 4)).buffer);
  const expected = new Uint8Array(rows * columns * width);
  offsets.forEach((offset, row) => {
    for (let column = 0; column < columns; column++) {
      const from = BEGIN + (offset + column * across) * width;
      expected.set(bytes.subarray(from, from + width), (row * columns + column) * width);
    }
  });
  const shape = [...outer.map(([size]) => size), columns];
  const piece = { ...wholePiece(range, shape, [...outer.map(([, stride]) => stride), across]), input: 0, name: "t" };
  const operand: StoredOperand = { kind: "stored", input: 0, name: "t", dtype, shape: [rows, columns], range };
  return { operand, piece, bytes, expected };
}

const CASES: readonly (readonly [what: string, given: Case, step: number])[] = [
  ["a small matrix", { dtype: "F16", outer: [[16, 1]], columns: 24, across: 16 }, 50],
  ["an odd number of rows, an even one of columns", { dtype: "F16", outer: [[33, 1]], columns: 24, across: 40 }, 64],
  ["an odd number of columns", { dtype: "F16", outer: [[34, 1]], columns: 23, across: 34 }, 64],
  ["float32", { dtype: "F32", outer: [[33, 1]], columns: 5, across: 40 }, 7],
  [
    "more than one tile, blocks and windows cut anywhere",
    { dtype: "F16", outer: [[600, 1]], columns: 16_000, across: 600 },
    999_983,
  ],
  ["storage rows too long to be read together", { dtype: "F32", outer: [[20, 1]], columns: 60, across: 35_000 }, 100],
  [
    "rows of heads in another order",
    {
      dtype: "F16",
      outer: [
        [3, 8],
        [2, 1],
        [4, 2],
      ],
      columns: 30,
      across: 24,
    },
    17,
  ],
  [
    "tiles that begin and end inside a head",
    {
      dtype: "F16",
      outer: [
        [16, 32],
        [2, 1],
        [16, 2],
      ],
      columns: 20_000,
      across: 512,
    },
    3_000_001,
  ],
];
for (const [what, given, step] of CASES) {
  test(`turns ${what}`, async () => {
    const { operand, piece, bytes, expected } = layOut(given);
    const width = widthOf(given);
    const count = expected.length / width;
    const found = new Uint8Array(expected.length);
    const begins = Array.from({ length: Math.ceil(count / step) }, (_, k) => k * step);
    const load = async (begin: number): Promise<void> => {
      const items = Math.min(step, count - begin);
      const target = found.subarray(begin * width, (begin + items) * width);
      assert.equal(await fromTiles(async () => memoryFile(bytes), operand, piece, begin, items, target), true);
    };
    // Two at a time, as the pipeline reads ahead.
    for (let k = 0; k < begins.length; k += 2) {
      await Promise.all(begins.slice(k, k + 2).map(load));
    }
    assert.ok(Buffer.from(found.buffer).equals(Buffer.from(expected.buffer)));
    found.fill(0);
    await load(begins.at(-1) ?? 0);
    await load(0);
    const first = Math.min(step, count) * width;
    assert.ok(Buffer.from(found.subarray(0, first)).equals(Buffer.from(expected.subarray(0, first))));
  });
}

const OTHERS: readonly (readonly [what: string, change: (piece: OperandPiece) => Partial<OperandPiece>])[] = [
  ["rows that lie in one run", ({ range }) => wholePiece(range, [16, 24], [24, 1])],
  ["rows that are not neighbours", ({ range }) => wholePiece(range, [16, 24], [2, 32])],
  ["an expanded row", ({ range }) => wholePiece(range, [16, 24], [1, 0])],
  ["a few rows", ({ range }) => wholePiece(range, [15, 24], [1, 16])],
  ["a piece in the middle of a tensor", () => ({ first: 24 })],
  [
    "a piece that fills every other column",
    ({ range }) => ({ ...wholePiece(range, [16, 24], [1, 16]), steps: [48, 2] }),
  ],
  ["rows too long for a tile", ({ range }) => wholePiece(range, [16, 2 ** 40], [1, 16])],
  ["rows far apart", ({ range }) => wholePiece(range, [2, 8, 24], [2 ** 40, 1, 16])],
];
for (const [what, change] of OTHERS) {
  test(`leaves ${what} to others`, async () => {
    const { operand, piece } = layOut({ dtype: "F16", outer: [[16, 1]], columns: 24, across: 16 });
    const open = async (): Promise<never> => assert.fail("nothing is to be read");
    assert.equal(await fromTiles(open, operand, { ...piece, ...change(piece) }, 0, 4, new Uint8Array(8)), false);
  });
}

for (const [what, across] of [
  ["together", 16],
  ["one by one", 80_000],
] as const) {
  test(`tells of a disk that fails, columns read ${what}`, async () => {
    const { operand, piece, bytes } = layOut({ dtype: "F16", outer: [[16, 1]], columns: 24, across });
    const before = (): never => {
      throw errno("EIO");
    };
    const file = faultyFile(memoryFile(bytes), { before });
    await refuses(() => fromTiles(async () => file, operand, piece, 0, 4, new Uint8Array(8)), "IO", /EIO/);
  });
}
