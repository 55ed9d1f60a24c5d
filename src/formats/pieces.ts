/**
 * Where the elements of a tensor lie if they are not one run of bytes: in pieces. Each piece is a strided view of one file whose elements
 * go to regular places of the tensor. A transposed view is one piece; a matrix that was split by columns into eight files is eight; rows in
 * another order are a piece with more dimensions than the tensor. Pure geometry, in elements.
 */
import type { ByteRange, Shape } from "./tensor-info.js";

export interface Piece {
  /** From the first to past the last byte. */
  readonly range: ByteRange;
  /** Sizes of the dimensions in which the piece is walked, outermost first. */
  readonly shape: Shape;
  /** The number of stored elements between neighbours of each dimension. */
  readonly strides: readonly number[];
  /**
   * The number of the tensor's elements, in C order, between neighbours of each dimension. The walk never goes back: each step is at least
   * the next one times the next dimension's size, and the last is at least 1.
   */
  readonly steps: readonly number[];
  /** Index of the first element in the tensor, in C order. */
  readonly first: number;
}

/** Runs of elements that are neighbours both in storage and in the tensor, in the tensor's order. All in elements. */
export interface Runs {
  readonly count: number;
  /** From the first byte of the piece. */
  readonly offsets: Float64Array;
  /** From the first element that was asked for. */
  readonly places: Float64Array;
  readonly lengths: Float64Array;
  /** Does storage come in the same order? */
  readonly ascending: boolean;
}

/** One dimension of a piece. */
interface Dimension {
  readonly size: number;
  readonly stride: number;
  readonly step: number;
}

/** A piece as runs: all dimensions except those that make up one run. */
interface Walk {
  readonly outer: readonly Dimension[];
  /** Elements of a whole run. */
  readonly run: number;
  readonly first: number;
}

/** The number of elements between neighbours of each dimension of a contiguous tensor. */
function denseSteps(shape: Shape): readonly number[] {
  const steps = new Array<number>(shape.length).fill(1);
  for (let dim = shape.length - 2; dim >= 0; dim--) {
    steps[dim] = (steps[dim + 1] ?? 1) * (shape[dim + 1] ?? 1);
  }
  return steps;
}

/** A tensor that is one strided view. */
export function wholePiece(range: ByteRange, shape: Shape, strides: readonly number[]): Piece {
  return { range, shape, strides, steps: denseSteps(shape), first: 0 };
}

/** Merges dimensions that follow each other both in storage and in the tensor. */
export function walkOf({ shape, strides, steps, first }: Piece): Walk {
  const outer: Dimension[] = [];
  for (let dim = 0; dim < shape.length; dim++) {
    const next = { size: shape[dim] ?? 1, stride: strides[dim] ?? 0, step: steps[dim] ?? 1 };
    const last = outer.at(-1);
    if (next.size === 1) {
      continue;
    }
    if (last !== undefined && last.stride === next.stride * next.size && last.step === next.step * next.size) {
      outer[outer.length - 1] = { ...next, size: last.size * next.size };
    } else {
      outer.push(next);
    }
  }
  const inner = outer.at(-1);
  const dense = inner !== undefined && inner.stride === 1 && inner.step === 1;
  return { outer: dense ? outer.slice(0, -1) : outer, run: dense ? inner.size : 1, first };
}

/** The runs of the piece in elements [begin, end) of the tensor; none if it has no element there. */
export function runsOf({ outer, run, first }: Walk, begin: number, end: number): Runs {
  const most = Math.ceil(Math.max(0, end - begin) / run) + 1;
  const offsets = new Float64Array(most);
  const places = new Float64Array(most);
  const lengths = new Float64Array(most);
  const position = new Array<number>(outer.length).fill(0);
  let offset = 0;
  let place = first;
  let rest = Math.max(0, begin - first);
  for (const [dim, { size, stride, step }] of outer.entries()) {
    const index = Math.min(Math.floor(rest / step), size - 1);
    position[dim] = index;
    offset += index * stride;
    place += index * step;
    rest -= index * step;
  }
  let count = 0;
  let ascending = true;
  let reached = 0;
  while (place < end) {
    const from = Math.max(place, begin);
    const to = Math.min(place + run, end);
    if (from < to) {
      const at = offset + from - place;
      ascending &&= at >= reached;
      reached = at;
      offsets[count] = at;
      places[count] = from - begin;
      lengths[count] = to - from;
      count++;
    }
    let dim = outer.length - 1;
    for (; dim >= 0; dim--) {
      const { size = 1, stride = 0, step = 0 } = outer[dim] ?? {};
      const index = (position[dim] ?? 0) + 1;
      offset += stride;
      place += step;
      if (index < size) {
        position[dim] = index;
        break;
      }
      offset -= index * stride;
      place -= index * step;
      position[dim] = 0;
    }
    if (dim < 0) {
      break;
    }
  }
  return { count, offsets, places, lengths, ascending };
}

/** If elements [begin, end) are one run of this piece: where it begins in storage, in elements from the piece's first; else null. */
export function soleRun({ outer, run, first }: Walk, begin: number, end: number): number | null {
  return outer.length === 0 && first <= begin && end <= first + run ? begin - first : null;
}
