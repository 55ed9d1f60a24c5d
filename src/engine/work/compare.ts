/**
 * Compares two tensors block by block: how many elements have other bits once both are F32, by how much they differ, and whether rounding the wider
 * tensor gives the narrower one. For equal bytes of one dtype, values are not computed.
 */
import { dtypeBits, type FloatDtype, isFloatDtype } from "../../formats/dtype.js";
import type { Kernel } from "../../kernel/kernel.js";
import { BLOCK, type MemoryPlan } from "../io/memory.js";
import type { CompareJob } from "../job/job.js";
import { byteSwap } from "./byte-swap.js";
import type { JobRun } from "./window.js";

/** From the coarsest to the finest: two of one width are compared at the coarser one's. */
const FINENESS: readonly FloatDtype[] = ["BF16", "F16", "F32", "F64"];

/** Starts a comparison. Both operands have as many elements; their dtypes are floats, or the same. */
export function startCompare(job: CompareJob, kernel: Kernel, areas: MemoryPlan): JobRun {
  const memory = Buffer.from(kernel.memory);
  const { left, right } = job;
  const leftWidth = dtypeBits(left.dtype) / 8;
  const rightWidth = dtypeBits(right.dtype) / 8;
  const leftBytes = byteSwap(left);
  const rightBytes = byteSwap(right);
  let different = 0;
  let maxDifference = 0;
  let equalRounded = true;

  const compareFloats = (
    from: FloatDtype,
    to: FloatDtype,
    at: { readonly left: number; readonly right: number; readonly spare: number },
    items: number,
  ): void => {
    kernel.widen(from, at.left, areas.rawBlock, items);
    kernel.widen(to, at.right, areas.sumBlock, items);
    const found = compareBlocks(kernel.memory, areas.rawBlock, areas.sumBlock, items);
    different += from === "F64" && to === "F64" ? 0 : found.different;
    maxDifference = Math.max(maxDifference, found.maxDifference);
    equalRounded &&= from === to ? false : sameRounded(kernel, areas, { from, to, spare: at.spare }, items);
  };

  return {
    push({ begin, end, at: [leftBegin = 0, rightBegin = 0], outAt }) {
      for (let i = begin; i < end; i += BLOCK) {
        const items = Math.min(BLOCK, end - i);
        const leftAt = leftBegin + (i - begin) * leftWidth;
        const rightAt = rightBegin + (i - begin) * rightWidth;
        const ours = memory.subarray(leftAt, leftAt + items * leftWidth);
        const theirs = memory.subarray(rightAt, rightAt + items * rightWidth);
        leftBytes.take(ours);
        rightBytes.take(theirs);
        if (left.dtype === right.dtype && ours.equals(theirs)) {
          continue;
        }
        const bothF64 = left.dtype === "F64" && right.dtype === "F64";
        if (isFloatDtype(left.dtype) && isFloatDtype(right.dtype)) {
          compareFloats(left.dtype, right.dtype, { left: leftAt, right: rightAt, spare: outAt }, items);
        }
        // F64 is rounded to F32. To count differences in the last bits, the stored bytes are compared.
        if (bothF64 || !isFloatDtype(left.dtype)) {
          different += differentElements(ours, theirs, leftWidth);
          equalRounded = false;
        }
      }
      return { at: leftBegin, bytes: 0, position: 0 };
    },
    finish(paths) {
      leftBytes.finish(paths);
      rightBytes.finish(paths);
      const float = isFloatDtype(left.dtype);
      return {
        id: job.id,
        sum: 0,
        overflow: 0,
        comparison: { different, maxDifference: float ? maxDifference : null, equalRounded },
      };
    },
  };
}

/** Compares `items` F32 values at each of two aligned places. */
function compareBlocks(
  memory: ArrayBuffer,
  left: number,
  right: number,
  items: number,
): { readonly different: number; readonly maxDifference: number } {
  const leftBits = new Int32Array(memory, left, items);
  const rightBits = new Int32Array(memory, right, items);
  const leftValues = new Float32Array(memory, left, items);
  const rightValues = new Float32Array(memory, right, items);
  let different = 0;
  let maxDifference = 0;
  for (let i = 0; i < items; i++) {
    if (leftBits[i] === rightBits[i]) {
      continue;
    }
    different++;
    const a = leftValues[i] ?? 0;
    const b = rightValues[i] ?? 0;
    const gap = Math.abs(a - b);
    if (gap > maxDifference) {
      maxDifference = gap;
    } else if (Number.isNaN(gap) && !(Number.isNaN(a) && Number.isNaN(b))) {
      maxDifference = Number.POSITIVE_INFINITY;
    }
  }
  return { different, maxDifference: Math.fround(maxDifference) };
}

/** Does the finer side, which is already F32, round to the coarser one? */
function sameRounded(
  kernel: Kernel,
  areas: MemoryPlan,
  { from, to, spare }: { readonly from: FloatDtype; readonly to: FloatDtype; readonly spare: number },
  items: number,
): boolean {
  const leftFiner = FINENESS.indexOf(from) > FINENESS.indexOf(to);
  const coarse = leftFiner ? to : from;
  const [fineAt, coarseAt] = leftFiner ? [areas.rawBlock, areas.sumBlock] : [areas.sumBlock, areas.rawBlock];
  if (coarse === "F16" || coarse === "BF16") {
    kernel.narrow(coarse, fineAt, spare, items);
    kernel.widen(coarse, spare, fineAt, items);
  }
  // For F64 against F32, the conversion to F32 has already rounded.
  const { different, maxDifference } = compareBlocks(kernel.memory, fineAt, coarseAt, items);
  return different === 0 || (maxDifference === 0 && onlyNaN(kernel.memory, fineAt, coarseAt, items));
}

/** Are both values NaN at every place where the bits differ? */
function onlyNaN(memory: ArrayBuffer, left: number, right: number, items: number): boolean {
  const leftBits = new Int32Array(memory, left, items);
  const rightBits = new Int32Array(memory, right, items);
  const values = new Float32Array(memory, left, items);
  return leftBits.every((bits, i) => bits === rightBits[i] || Number.isNaN(values[i]));
}

function differentElements(left: Uint8Array, right: Uint8Array, width: number): number {
  let different = 0;
  for (let at = 0; at < left.length; at += width) {
    let same = true;
    for (let byte = at; byte < at + width; byte++) {
      same &&= left[byte] === right[byte];
    }
    different += same ? 0 : 1;
  }
  return different;
}
