/** Which tensors are added as they are stored and transposed afterwards (turned.ts), and in which tiles. */
import type { NarrowDtype } from "../../kernel/kernel.js";
import { PAGE } from "../io/disk.js";
import { isScattered, piecesOf } from "../io/gather.js";
import type { TurnedNeeds } from "../io/memory.js";
import { type Transposed, transposedOf } from "../io/tiles.js";
import type { Job, OperandPiece, TensorJob } from "../job/job.js";
import { operandsOf, widthOf } from "../job/operand.js";

/** Bytes of a tile of sums, of which each worker has one: all of a storage row is read for every tile that it is in. */
const TILE_BYTES = 22 << 20;
/** Bytes of a block of one operand: what a processor's cache holds. */
export const TURNED_BLOCK_BYTES = 1 << 20;
/** Reading this much more costs less than another call: of pages that are in memory, 13 GB a second are copied. */
const MAX_GAP_BYTES = 131_072;
/** Columns that fill lines of the cache. */
const LINE_COLUMNS = 32;

export interface TurnedLayout {
  readonly dtype: NarrowDtype;
  readonly operation: "add" | "subtract";
  readonly start: OperandPiece;
  readonly term: OperandPiece;
  readonly matrix: Transposed;
  /** Rows of the tensor in a tile, but for the last. In elements they are whole pages of any dtype. */
  readonly tileRows: number;
  /** Storage rows that are read at once; elements between them in memory. */
  readonly blockColumns: number;
  readonly pitch: number;
}

/** Null if the job is not such a sum: of two transposed matrices of 16 bits that are stored alike, rounded to their own dtype. */
export function turnedLayout(job: Job): TurnedLayout | null {
  if (job.kind !== "tensor" || !isPlainBlend(job)) {
    return null;
  }
  const { result, operands, operation } = job.blend;
  const { distinct, places } = operandsOf(job);
  const [start, term] = distinct;
  if (
    (result !== "F16" && result !== "BF16") ||
    (operands !== "F32" && operands !== result) ||
    places.length !== 2 ||
    start?.kind !== "stored" ||
    term?.kind !== "stored"
  ) {
    return null;
  }
  const pieces = [start, term].map((operand) => {
    const [piece, ...others] = isScattered(operand) ? piecesOf(operand) : [];
    const plain =
      operand.dtype === result &&
      operand.shape.join() === job.shape.join() &&
      operand.bigEndian !== true &&
      operand.crc32 === undefined;
    return plain && piece !== undefined && others.length === 0 ? piece : null;
  });
  const [first, second] = pieces;
  const matrix = first ? transposedOf(first, widthOf(result)) : null;
  const other = second ? transposedOf(second, widthOf(result)) : null;
  if (!first || !second || matrix === null || JSON.stringify(matrix) !== JSON.stringify(other)) {
    return null;
  }
  const [rows, columns] = [job.shape.slice(0, -1).reduce((product, size) => product * size, 1), job.shape.at(-1)];
  const tiles = rows === matrix.rows && columns === matrix.columns ? tilesOf(matrix, widthOf(result)) : null;
  return tiles === null ? null : { dtype: result, operation, start: first, term: second, matrix, ...tiles };
}

function isPlainBlend(job: TensorJob): job is TensorJob & { readonly blend: NonNullable<TensorJob["blend"]> } {
  const { rule, blend, terms, start, dtype } = job;
  return (
    rule === "blend" &&
    blend !== undefined &&
    start.operand.kind === "stored" &&
    isScattered(start.operand) &&
    terms.length === 1 &&
    start.mean === null &&
    terms.every(({ mean }) => mean === null) &&
    (dtype === "F16" || dtype === "BF16" || dtype === "F32") &&
    job.mustFit !== true &&
    job.measure === undefined &&
    !job.prove
  );
}

function tilesOf(matrix: Transposed, width: number): Pick<TurnedLayout, "tileRows" | "blockColumns" | "pitch"> | null {
  const { rows, columns, across } = matrix;
  const unit = rowUnit(matrix);
  if (unit === null || across < rows) {
    return null;
  }
  const step = leastCommonMultiple(unit, PAGE / greatestCommonDivisor(PAGE, columns));
  const most = Math.min(TILE_BYTES / columns, TURNED_BLOCK_BYTES) / width;
  const fitting = rows <= most ? rows : Math.floor(most / step) * step;
  if (fitting < 1) {
    return null;
  }
  // Tiles of about the same size.
  const tiles = Math.ceil(rows / fitting);
  const tileRows = tiles === 1 ? rows : Math.ceil(rows / tiles / step) * step;
  const pitch = (across - tileRows) * width <= MAX_GAP_BYTES ? across : tileRows;
  const together = Math.max(1, Math.floor((TURNED_BLOCK_BYTES / width - tileRows) / pitch) + 1);
  const blockColumns = Math.min(columns, together > LINE_COLUMNS ? together - (together % LINE_COLUMNS) : together);
  return { tileRows, blockColumns, pitch };
}

/**
 * In any run of so many rows, or of a multiple, that begins at such a multiple, the rows are neighbours in storage, in whatever order: 1 where
 * they are stored in their own. Null if they are no neighbours.
 */
function rowUnit({ outer }: Transposed): number | null {
  let unit = 1;
  let reached = 1;
  for (const { size, stride } of outer.toReversed()) {
    const inOrder = size === 1 || stride === reached;
    reached *= size;
    unit = inOrder ? unit : reached;
  }
  let dense = 1;
  for (const { size, stride } of outer.filter(({ size }) => size > 1).sort((a, b) => a.stride - b.stride)) {
    if (stride !== dense) {
      return null;
    }
    dense *= size;
  }
  return unit;
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}

function leastCommonMultiple(a: number, b: number): number {
  return (a / greatestCommonDivisor(a, b)) * b;
}

/** What the memory of a worker must have room for; null if no job is such a sum. */
export function turnedNeeds(jobs: readonly Job[]): TurnedNeeds | null {
  const layouts = jobs.map(turnedLayout).filter((layout) => layout !== null);
  const most = (of: (layout: TurnedLayout) => number): number =>
    layouts.reduce((largest, layout) => Math.max(largest, of(layout)), 0);
  return layouts.length === 0
    ? null
    : {
        tileBytes: most(({ tileRows, matrix, dtype }) => tileRows * matrix.columns * widthOf(dtype)),
        blockBytes: TURNED_BLOCK_BYTES,
        rows: most(({ tileRows }) => tileRows),
      };
}
