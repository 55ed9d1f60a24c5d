/**
 * Reads elements that are not one run of bytes: transposed, sliced, expanded views of torch storages, tensors cut up into several
 * files. Runs of storage that lie close together are read in one piece and scattered, so that a row slice costs one pass and
 * a small tensor one read; a run that stands alone is read where it belongs.
 */

import { WeightDiffError } from "../../errors.js";
import { dtypeBits } from "../../formats/dtype.js";
import { type Piece, type Runs, runsOf, soleRun, walkOf, wholePiece } from "../../formats/pieces.js";
import { quote } from "../../formats/quote.js";
import type { OperandPiece, StoredOperand } from "../job/job.js";
import { type DiskFile, readFully } from "./disk.js";
import { fromTiles, isTransposed } from "./tiles.js";

/** Largest piece of storage read at once for more than one run. */
const MAX_PIECE_BYTES = 1 << 20;
/** Reading this much more costs less than another call. */
const MAX_GAP_BYTES = 16_384;
/** Offsets are sorted together with their runs, packed into one double each: offset * 2^18 + run stays below 2^53. */
const MAX_RUNS = 1 << 18;
const MAX_EXTENT = 2 ** 53 / MAX_RUNS;
/** From here on a native copy is faster than a loop over bytes. */
const MIN_COPY_BYTES = 32;

/** Is the operand anything else than one run of bytes? */
export function isScattered({ strides, pieces }: StoredOperand): boolean {
  return strides !== undefined || pieces !== undefined;
}

/** Does reading it take memory of its own, for tiles of a transposed matrix? */
export function isTiled(operand: StoredOperand): boolean {
  const [first, ...others] = isScattered(operand) ? piecesOf(operand) : [];
  return first !== undefined && others.length === 0 && isTransposed(operand.dtype, first);
}

/** Where the operand's elements are. */
export function piecesOf({ input, name, range, shape, strides, pieces }: StoredOperand): readonly OperandPiece[] {
  return pieces ?? [{ ...wholePiece(range, shape, strides ?? []), input, name }];
}

/** The file and byte where elements [begin, end) lie one after the other; null if they do not. */
export function runAt(
  operand: StoredOperand,
  begin: number,
  end: number,
): { readonly input: number; readonly position: number } | null {
  const width = dtypeBits(operand.dtype) / 8;
  for (const piece of piecesOf(operand)) {
    const offset = soleRun(walkOf(piece), begin, end);
    if (offset !== null) {
      return { input: piece.input, position: piece.range.begin + offset * width };
    }
  }
  return null;
}

/**
 * Fills `target` with the elements [begin, begin + count) of the tensor, counted in C order.
 * target: count elements of the operand's dtype, as stored (big-endian stays so).
 * @throws {WeightDiffError} IO, INPUT_CHANGED, LIMIT.
 */
export async function gather(
  open: (input: number) => Promise<DiskFile>,
  operand: StoredOperand,
  begin: number,
  count: number,
  target: Uint8Array,
): Promise<void> {
  const width = dtypeBits(operand.dtype) / 8;
  const pieces = piecesOf(operand);
  const [first] = pieces;
  if (first !== undefined && pieces.length === 1 && (await fromTiles(open, operand, first, begin, count, target))) {
    return;
  }
  // Not cleared: every byte that is copied has been read.
  const scratch = spare.pop() ?? Buffer.allocUnsafeSlow(MAX_PIECE_BYTES);
  try {
    for (const piece of pieces) {
      const walk = walkOf(piece);
      const step = (MAX_RUNS - 2) * walk.run;
      for (let done = 0; done < count; done += step) {
        const runs = runsOf(walk, begin + done, begin + Math.min(count, done + step));
        if (runs.count > 0) {
          await readRuns(await open(piece.input), piece, runs, width, target.subarray(done * width), scratch);
        }
      }
    }
  } finally {
    spare.push(scratch);
  }
}

/** The free buffers of this thread: as many as windows are read at the same time. */
const spare: Buffer[] = [];

/** Reads runs into their places. */
async function readRuns(
  file: DiskFile,
  piece: Piece & { readonly name: string },
  runs: Runs,
  width: number,
  target: Uint8Array,
  scratch: Buffer,
): Promise<void> {
  const { count, places, lengths } = runs;
  const { offsets, order } = inStorageOrder(runs);
  if (count > 0 && (offsets[count - 1] ?? 0) >= MAX_EXTENT) {
    throw new WeightDiffError(
      "LIMIT",
      `tensor ${quote(piece.name)} is spread over more than ${MAX_EXTENT} elements`,
      "save it again with .contiguous()",
      { at: { file: file.path } },
    );
  }
  for (let first = 0; first < count; ) {
    const start = (offsets[first] ?? 0) * width;
    let last = first;
    let end = start + (lengths[order[first] ?? 0] ?? 0) * width;
    for (; last + 1 < count; last++) {
      const next = (offsets[last + 1] ?? 0) * width;
      const nextEnd = Math.max(end, next + (lengths[order[last + 1] ?? 0] ?? 0) * width);
      if (next - end > MAX_GAP_BYTES || nextEnd - start > MAX_PIECE_BYTES) {
        break;
      }
      end = nextEnd;
    }
    if (last === first) {
      const at = (places[order[first] ?? 0] ?? 0) * width;
      await readFully(file, target.subarray(at, at + end - start), piece.range.begin + start);
    } else {
      await readFully(file, scratch.subarray(0, end - start), piece.range.begin + start);
      for (let k = first; k <= last; k++) {
        const run = order[k] ?? 0;
        const from = (offsets[k] ?? 0) * width - start;
        const to = (places[run] ?? 0) * width;
        const bytes = (lengths[run] ?? 0) * width;
        if (bytes >= MIN_COPY_BYTES) {
          scratch.copy(target, to, from, from + bytes);
        } else {
          for (let byte = 0; byte < bytes; byte++) {
            target[to + byte] = scratch[from + byte] ?? 0;
          }
        }
      }
    }
    first = last + 1;
  }
}

/** Offsets as they come in storage, and which run each is of. Past `MAX_EXTENT`, runs are lost and only the largest offset is right. */
function inStorageOrder({ count, offsets, ascending }: Runs): {
  readonly offsets: Float64Array;
  readonly order: Uint32Array;
} {
  const order = new Uint32Array(count);
  if (ascending) {
    for (let run = 0; run < count; run++) {
      order[run] = run;
    }
    return { offsets, order };
  }
  const packed = new Float64Array(count);
  for (let run = 0; run < count; run++) {
    packed[run] = (offsets[run] ?? 0) * MAX_RUNS + run;
  }
  packed.sort();
  for (let k = 0; k < count; k++) {
    const both = packed[k] ?? 0;
    const offset = Math.floor(both / MAX_RUNS);
    packed[k] = offset;
    order[k] = both - offset * MAX_RUNS;
  }
  return { offsets: packed, order };
}
