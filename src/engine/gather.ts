/**
 * Reads elements that do not lie in C order: transposed, sliced, expanded views of torch storages. Runs of storage that lie
 * close together are read in one piece and scattered, so that a row slice costs one pass and a small tensor one read.
 */

import { WeightDiffError } from "../errors.js";
import { dtypeBits } from "../formats/dtype.js";
import { quote } from "../formats/quote.js";
import { type DiskFile, readFully } from "./disk.js";
import type { StoredOperand } from "./job.js";

/** Largest piece of storage read at once. */
const MAX_PIECE_BYTES = 1 << 20;
/** Reading this much more costs less than another call. */
const MAX_GAP_BYTES = 16_384;

/**
 * Fills `target` with the elements [begin, begin + count) of the tensor, counted in C order.
 * target: count elements of the operand's dtype, as stored (big-endian stays so).
 * @throws {WeightDiffError} IO, INPUT_CHANGED.
 */
export async function gather(
  file: DiskFile,
  operand: StoredOperand,
  begin: number,
  count: number,
  target: Uint8Array,
): Promise<void> {
  const width = dtypeBits(operand.dtype) / 8;
  const piece = new Uint8Array(MAX_PIECE_BYTES);
  for (let done = 0; done < count; done += MAX_ELEMENTS) {
    const part = Math.min(MAX_ELEMENTS, count - done);
    await gatherPart(file, operand, begin + done, part, target.subarray(done * width, (done + part) * width), piece);
  }
}

/** Offsets are sorted together with their places, packed into one double each: offset * 2^18 + place stays below 2^53. */
const MAX_ELEMENTS = 1 << 18;
const MAX_EXTENT = 2 ** 53 / MAX_ELEMENTS;

async function gatherPart(
  file: DiskFile,
  operand: StoredOperand,
  begin: number,
  count: number,
  target: Uint8Array,
  piece: Uint8Array,
): Promise<void> {
  const width = dtypeBits(operand.dtype) / 8;
  const packed = storageOffsets(operand, begin, count);
  if (packed.some((offset) => offset >= MAX_EXTENT)) {
    throw new WeightDiffError(
      "LIMIT",
      `${file.path}: tensor ${quote(operand.name)} is spread over more than ${MAX_EXTENT} elements`,
      "save it again with .contiguous()",
    );
  }
  for (let place = 0; place < count; place++) {
    packed[place] = (packed[place] ?? 0) * MAX_ELEMENTS + place;
  }
  packed.sort();
  const offsetAt = (k: number): number => Math.floor((packed[k] ?? 0) / MAX_ELEMENTS) * width;
  let first = 0;
  while (first < count) {
    const start = offsetAt(first);
    let last = first;
    let end = start + width;
    while (last + 1 < count) {
      const next = offsetAt(last + 1);
      if (next - end > MAX_GAP_BYTES || next + width - start > piece.length) {
        break;
      }
      end = next + width;
      last++;
    }
    await readFully(file, piece.subarray(0, end - start), operand.range.begin + start);
    for (let k = first; k <= last; k++) {
      const place = (packed[k] ?? 0) % MAX_ELEMENTS;
      const from = offsetAt(k) - start;
      for (let byte = 0; byte < width; byte++) {
        target[place * width + byte] = piece[from + byte] ?? 0;
      }
    }
    first = last + 1;
  }
}

/** Element offsets from the view's first element, for `count` elements from the `begin`-th in C order. */
function storageOffsets(operand: StoredOperand, begin: number, count: number): Float64Array {
  const { shape } = operand;
  const strides = operand.strides ?? [];
  const position = new Array<number>(shape.length).fill(0);
  let rest = begin;
  for (let dim = shape.length - 1; dim >= 0; dim--) {
    const size = shape[dim] ?? 1;
    position[dim] = rest % size;
    rest = Math.floor(rest / size);
  }
  let offset = position.reduce((sum, index, dim) => sum + index * (strides[dim] ?? 0), 0);
  const offsets = new Float64Array(count);
  for (let k = 0; k < count; k++) {
    offsets[k] = offset;
    for (let dim = shape.length - 1; dim >= 0; dim--) {
      const index = (position[dim] ?? 0) + 1;
      offset += strides[dim] ?? 0;
      if (index < (shape[dim] ?? 1)) {
        position[dim] = index;
        break;
      }
      offset -= index * (strides[dim] ?? 0);
      position[dim] = 0;
    }
  }
  return offsets;
}
