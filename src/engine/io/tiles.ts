/**
 * Transposed matrices: neighbours in a row of the tensor lie a row of storage apart, so that a window of a few rows touches every
 * page of the matrix. Such a matrix is read in tiles of many rows: each tile once, some columns at a time, and transposed in memory;
 * windows are copied from it. Windows come in order, so one tile is kept for each operand. After the last element, its memory goes to the
 * next operand.
 */
import { type Dtype, dtypeBits } from "../../formats/dtype.js";
import type { OperandPiece, StoredOperand } from "../job/job.js";
import { type DiskFile, readFully } from "./disk.js";
import { transposeBlock } from "./transpose.js";

/** Bytes of one tile: each of two workers has two, and all of a storage row is read for every tile that it is in. */
const TILE_BYTES = 8 << 20;
/** Bytes of storage transposed at once: what a processor's cache holds. */
const BLOCK_BYTES = 1 << 20;
/** Reading this much more costs less than another call: of pages that are in memory, 13 GB a second are copied. */
const MAX_GAP_BYTES = 131_072;
/** Fewer rows than this are not worth transposing. */
const MIN_ROWS = 16;
/** How much longer than its rows a tile's stretch of a storage row may be: heads whose rows are stored in another order. */
const MAX_SPREAD = 4;

/** Elements between columns of a block: stretches a power of two apart would fight for the same lines of the cache. */
const PADDING = 40;

/** A matrix whose rows run across storage. In elements. */
export interface Transposed {
  readonly rows: number;
  readonly columns: number;
  /** Between neighbours of a row. */
  readonly across: number;
  /** Sizes and strides of what numbers the rows, outermost first. */
  readonly outer: readonly { readonly size: number; readonly stride: number }[];
}

/** The state of reading one operand. */
interface Reader {
  /** Of one tile. */
  readonly memory: ArrayBuffer;
  /** The tile in it. Elements of the tensor in C order: `begin` is in, `end` is out. */
  begin: number;
  end: number;
  /** Windows are read ahead: each waits until the one before it has been copied. */
  last: Promise<void>;
}

type Open = (input: number) => Promise<DiskFile>;

const readers = new WeakMap<StoredOperand, Reader>();
/** The memory of this thread that is free. */
const spare: ArrayBuffer[] = [];

/** Memory of at least so many bytes, in whole blocks: then a tile of one matrix can take the place of another's. */
function borrow(least: number): ArrayBuffer {
  const bytes = Math.ceil(least / BLOCK_BYTES) * BLOCK_BYTES;
  const found = spare.findIndex(({ byteLength }) => byteLength >= bytes && byteLength <= 2 * bytes);
  return spare.splice(found, found < 0 ? 0 : 1)[0] ?? new ArrayBuffer(bytes);
}

/**
 * Fills `target` with the elements [begin, begin + count) of an operand that is this one piece, if it is a transposed matrix.
 * @returns false, and nothing is done, if it is none. @throws {WeightDiffError} IO, INPUT_CHANGED.
 */
export async function fromTiles(
  open: Open,
  operand: StoredOperand,
  piece: OperandPiece,
  begin: number,
  count: number,
  target: Uint8Array,
): Promise<boolean> {
  const width = dtypeBits(operand.dtype) / 8;
  const transposed = transposedOf(piece, width);
  if (transposed === null) {
    return false;
  }
  const reader = readers.get(operand) ?? {
    memory: borrow(tileRows(transposed, width) * transposed.columns * width),
    begin: 0,
    end: 0,
    last: Promise.resolve(),
  };
  readers.set(operand, reader);
  const end = begin + count;
  const copied = reader.last.then(async () => {
    for (let at = begin; at < end; ) {
      if (at < reader.begin || reader.end <= at) {
        await fillTile(await open(piece.input), piece, transposed, Math.floor(at / transposed.columns), width, reader);
      }
      const to = Math.min(end, reader.end);
      const bytes = new Uint8Array(reader.memory, (at - reader.begin) * width, (to - at) * width);
      target.set(bytes, (at - begin) * width);
      at = to;
    }
  });
  reader.last = copied.catch(() => {}); // the request for that window throws it
  await copied;
  if (end === transposed.rows * transposed.columns) {
    readers.delete(operand);
    spare.push(reader.memory);
  }
  return true;
}

/** Is an operand that is this one piece read in tiles? */
export function isTransposed(dtype: Dtype, piece: OperandPiece): boolean {
  return transposedOf(piece, dtypeBits(dtype) / 8) !== null;
}

/** @param width of an element, in bytes. @returns null if the piece is no such matrix. */
export function transposedOf({ shape, strides, steps, first }: OperandPiece, width: number): Transposed | null {
  const columns = shape.at(-1) ?? 0;
  const across = strides.at(-1) ?? 0;
  const outer = shape.slice(0, -1).map((size, dim) => ({ size, stride: strides[dim] ?? 0 }));
  const rows = outer.reduce((product, { size }) => product * size, 1);
  // In C order, nothing left out.
  const steadily = steps.every(
    (step, dim) => step === shape.slice(dim + 1).reduce((product, size) => product * size, 1),
  );
  const fits = columns > 1 && rows >= MIN_ROWS && columns * width * MIN_ROWS <= TILE_BYTES;
  const dense = outer.some(({ size, stride }) => size > 1 && stride === 1);
  const transposed = { rows, columns, across, outer };
  return (width === 2 || width === 4) &&
    first === 0 &&
    steadily &&
    fits &&
    dense &&
    across > 1 &&
    isNarrow(transposed, width)
    ? transposed
    : null;
}

function tileRows({ rows, columns }: Transposed, width: number): number {
  return Math.min(rows, Math.floor(TILE_BYTES / (columns * width)));
}

/** Do all tiles read little more than their own rows? Rows are numbered as digits are: only inner dimensions differ in a tile. */
function isNarrow(transposed: Transposed, width: number): boolean {
  const wanted = tileRows(transposed, width);
  let reached = 1;
  let extent = 1;
  for (const { size, stride } of transposed.outer.toReversed()) {
    // A tile may begin anywhere: it reaches into the next of every dimension that it does not hold whole.
    const held = Math.min(size, Math.ceil(wanted / reached) + 1);
    extent += (held - 1) * stride;
    reached *= size;
  }
  return extent <= MAX_SPREAD * (wanted + MIN_ROWS);
}

async function fillTile(
  file: DiskFile,
  piece: OperandPiece,
  transposed: Transposed,
  row: number,
  width: number,
  reader: Reader,
): Promise<void> {
  const to = Math.min(transposed.rows, row + tileRows(transposed, width));
  reader.end = reader.begin; // until it has been read
  await readTile(file, piece.range.begin, transposed, { row, to }, width, reader.memory);
  reader.begin = row * transposed.columns;
  reader.end = to * transposed.columns;
}

async function readTile(
  file: DiskFile,
  position: number,
  { columns, across, outer }: Transposed,
  { row, to }: { readonly row: number; readonly to: number },
  width: number,
  memory: ArrayBuffer,
): Promise<void> {
  const offsets = Float64Array.from({ length: to - row }, (_, k) => offsetOf(outer, row + k));
  const lowest = offsets.reduce((least, offset) => Math.min(least, offset), Number.POSITIVE_INFINITY);
  const extent = offsets.reduce((most, offset) => Math.max(most, offset), 0) - lowest + 1;
  const together = (across - extent) * width <= MAX_GAP_BYTES;
  const apart = together ? across : extent;
  const fitting = Math.max(1, Math.floor((BLOCK_BYTES / width - extent) / apart) + 1);
  const atOnce = Math.min(columns, fitting > 1 ? fitting - (fitting % 2) : 1);
  const storage = borrow(Math.max(BLOCK_BYTES, ((atOnce - 1) * apart + extent) * width));
  // Even, as a pair of elements is transposed at once.
  const pitch = extent + (extent % 2) + PADDING;
  const padded = borrow(Math.max(BLOCK_BYTES, atOnce * pitch * width));
  const bytes = new Uint8Array(storage);
  const block = new Uint8Array(padded);
  const from = offsets.map((offset) => offset - lowest);
  try {
    for (let column = 0; column < columns; column += atOnce) {
      const many = Math.min(atOnce, columns - column);
      const start = position + (lowest + column * across) * width;
      if (together) {
        await readFully(file, bytes.subarray(0, ((many - 1) * apart + extent) * width), start);
      } else {
        await readEach(file, bytes, many, extent * width, start, across * width);
      }
      for (let c = 0; c < many; c++) {
        block.set(bytes.subarray(c * apart * width, (c * apart + extent) * width), c * pitch * width);
      }
      transposeBlock({ block: padded, pitch, from, many }, { transposed: memory, columns, column }, width);
    }
  } finally {
    spare.push(storage, padded);
  }
}

/** Reads `many` stretches of `length` bytes, each `apart` bytes after the one before. */
async function readEach(
  file: DiskFile,
  bytes: Uint8Array,
  many: number,
  length: number,
  start: number,
  apart: number,
): Promise<void> {
  const reads = await Promise.allSettled(
    Array.from({ length: many }, (_, k) =>
      readFully(file, bytes.subarray(k * length, (k + 1) * length), start + k * apart),
    ),
  );
  const failed = reads.find((read) => read.status === "rejected");
  if (failed !== undefined) {
    throw failed.reason;
  }
}

/** Where a row begins in storage. */
export function offsetOf(outer: Transposed["outer"], row: number): number {
  let rest = row;
  let offset = 0;
  for (let dim = outer.length - 1; dim >= 0; dim--) {
    const { size = 1, stride = 0 } = outer[dim] ?? {};
    offset += (rest % size) * stride;
    rest = Math.floor(rest / size);
  }
  return offset;
}
