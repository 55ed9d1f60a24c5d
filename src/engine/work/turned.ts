/**
 * Adds transposed matrices as they are stored, and transposes their sum: once, where each operand would be, and in larger tiles. An element
 * of a sum of 16 bits depends on its operands alone, so the order does not matter. What does depend on it, the sum of all elements and
 * the digest, is taken from the tile, as if the sums had been stored in the order of the output.
 */
import type { Kernel } from "../../kernel/kernel.js";
import { readFully } from "../io/disk.js";
import type { WorkerFiles } from "../io/files.js";
import type { MemoryPlan, TurnedAreas } from "../io/memory.js";
import { offsetOf } from "../io/tiles.js";
import { tracePart } from "../io/trace.js";
import type { OperandPiece, TensorJob } from "../job/job.js";
import { widthOf } from "../job/operand.js";
import { startTensor } from "./tensor.js";
import { TURNED_BLOCK_BYTES, type TurnedLayout } from "./turned-layout.js";
import type { JobRun } from "./window.js";

/** Starts the job. Its windows lie within one tile each (cut.ts), and bring no operands: they are read here. */
export function startTurned(
  job: TensorJob,
  layout: TurnedLayout,
  kernel: Kernel,
  areas: MemoryPlan,
  files: WorkerFiles,
): JobRun {
  const { turned } = areas;
  if (turned === null) {
    throw new TypeError(`job ${job.id}: no memory for its tile`);
  }
  const { dtype, matrix, tileRows, start } = layout;
  const width = widthOf(dtype);
  const tileItems = tileRows * matrix.columns;
  const memory = new Uint8Array(kernel.memory);
  const { input, name, range } = start;
  const sums = { kind: "stored", input, name, dtype, shape: job.shape, range } as const;
  const { blend: _, ...rest } = job;
  const inner = startTensor(
    { ...rest, rule: "convert", start: { operand: sums, mean: null }, terms: [] },
    kernel,
    areas,
  );
  let tile = -1;
  let overflow = 0;
  return {
    async push(window, aligned) {
      const wanted = Math.floor(window.begin / tileItems);
      if (wanted !== tile) {
        overflow += await fillTile(layout, wanted * tileRows, kernel, turned, files);
        tile = wanted;
      }
      const at = turned.tile + (window.begin - tile * tileItems) * width;
      if (job.dtype !== dtype) {
        return inner.push({ ...window, at: [at] }, aligned);
      }
      // The output is written while the next tile is made, so it must not stay in this one.
      memory.copyWithin(window.outAt, at, at + (window.end - window.begin) * width);
      return inner.push({ ...window, at: [window.outAt] }, aligned);
    },
    finish(paths) {
      const result = inner.finish(paths);
      return { ...result, overflow: result.overflow + overflow };
    },
  };
}

/** Makes the tile that begins at `row`. @returns how many finite sums became infinite. */
async function fillTile(
  layout: TurnedLayout,
  row: number,
  kernel: Kernel,
  { tile, blocks, places }: TurnedAreas,
  files: WorkerFiles,
): Promise<number> {
  const { dtype, operation, matrix, tileRows, blockColumns, pitch } = layout;
  const { columns, across, outer } = matrix;
  const width = widthOf(dtype);
  const rows = Math.min(tileRows, matrix.rows - row);
  const offsets = Float64Array.from({ length: rows }, (_, k) => offsetOf(outer, row + k));
  const lowest = offsets.reduce((least, offset) => Math.min(least, offset), Number.POSITIVE_INFINITY);
  const placeOf = new Uint32Array(kernel.memory, places, rows);
  offsets.forEach((offset, k) => {
    placeOf[offset - lowest] = tile + k * columns * width;
  });
  const combine = operation === "add" ? kernel.addNarrow : kernel.subtractNarrow;
  const load = async (piece: OperandPiece, block: number, column: number, many: number): Promise<void> => {
    const memory = new Uint8Array(kernel.memory, block, TURNED_BLOCK_BYTES);
    const file = await files.input(piece.input);
    const from = piece.range.begin + (lowest + column * across) * width;
    // Each call at once where pitch is the matrix's own: what lies between the stretches comes along.
    const [runs, length] = pitch === across ? [1, (many - 1) * pitch + rows] : [many, rows];
    for (let k = 0; k < runs; k++) {
      const at = k * pitch * width;
      await readFully(file, memory.subarray(at, at + length * width), from + k * across * width);
    }
  };
  const loadBoth = async (column: number, [start, term]: readonly [number, number]): Promise<void> => {
    const many = Math.min(blockColumns, columns - column);
    const both = await Promise.allSettled([
      load(layout.start, start, column, many),
      load(layout.term, term, column, many),
    ]);
    for (const one of both) {
      if (one.status === "rejected") {
        throw one.reason;
      }
    }
  };
  let overflow = 0;
  for (let column = 0; column < columns; column += blockColumns) {
    const many = Math.min(blockColumns, columns - column);
    const [start, term] = blocks;
    await loadBoth(column, blocks);
    tracePart("add and transpose", () => {
      const [runs, items] = pitch === rows ? [1, many * rows] : [many, rows];
      for (let k = 0; k < runs; k++) {
        const at = k * pitch * width;
        overflow += combine(dtype, term + at, start + at, items);
      }
      kernel.transpose(start, pitch, rows, many, places, column);
    });
  }
  return overflow;
}
