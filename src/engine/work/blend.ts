/**
 * The arithmetic of schemes that do not compute in plain F32 (scheme/axes.ts). Operands are rounded first, as in a model that is loaded in float16.
 * Each sum is rounded once. Rows that an operand lacks stay as they are, or zeros are added to them. A term may be the top left block. All of it uses
 * the kernel's conversions and sums, so it gives the kernel's bits (docs/arithmetic.md 2).
 */
import { type Dtype, elementCount, type FloatDtype } from "../../formats/dtype.js";
import type { Kernel, NarrowDtype } from "../../kernel/kernel.js";
import type { MemoryPlan } from "../io/memory.js";
import type { Blend, Operand, TensorJob } from "../job/job.js";
import { elementsBefore, elementsOf, narrowerColumns, operandDtype, widthOf } from "../job/operand.js";
import { startFit } from "./fit.js";
import type { Block, Stage } from "./stage.js";
import { startTerms } from "./term.js";

/** Can the output overwrite the start? Not if an operand lacks elements, since the start's elements are read again then. */
export function blendsInPlace({ shape, start, terms }: TensorJob): boolean {
  return terms.length > 0 && [start, ...terms].every(({ operand }) => elementsOf(operand) === elementCount(shape));
}

/** The stage of the rule "blend". */
export function blendFloats(job: TensorJob, kernel: Kernel, areas: MemoryPlan): Stage {
  const blend = job.blend;
  if (blend === undefined) {
    throw new TypeError(`job ${job.id}: a blend that does not say how`);
  }
  const memory = new Uint8Array(kernel.memory);
  const { operands, result, rows } = blend;
  const combine = blend.operation === "add" ? kernel.add : kernel.subtract;
  const combineNarrow = blend.operation === "add" ? kernel.addNarrow : kernel.subtractNarrow;
  const combineLast = blend.operation === "add" ? kernel.addNarrowSummed : kernel.subtractNarrowSummed;
  const runs = startTerms(job, kernel, areas);
  const { dtype: own } = runs.start;
  // `narrow` holds intermediate 16-bit values. Only make-diff uses that block for anything else.
  const { rawBlock: other, tunedBlock: narrow } = areas;
  const width = widthOf(job.dtype);
  const identical = own === result && own === job.dtype && (operands === "F32" || operands === own);
  const halves = commonNarrow(job, blend);
  const checkFit = startFit(job, kernel, areas);
  let overflow = 0;
  kernel.sumBegin(areas.sumState, elementCount(job.shape) ?? 0);

  /** Rounds `count` values of `dtype`, and widens them to F32. */
  const load = (dtype: FloatDtype, at: number, target: number, count: number): void => {
    kernel.widen(dtype, at, target, count);
    if (operands !== "F32" && operands !== dtype) {
      overflow += kernel.narrow(operands, target, narrow, count);
      kernel.widen(operands, narrow, target, count);
    }
  };

  /** Rounds `count` values of `dtype`, and adds them to the F32 values at `target` or subtracts them. */
  const meet = (dtype: FloatDtype, at: number, target: number, count: number): void => {
    if (operands === "F32" || operands === dtype) {
      combine(dtype, at, target, count);
    } else {
      load(dtype, at, other, count);
      combine("F32", other, target, count);
    }
  };

  /** Gives the block's F32 values before any term. */
  const begin = (block: Block, value: number): void => {
    const { at, stored } = block.start;
    load(own, at, value, stored);
    if (rows === "zero") {
      memory.fill(0, value + stored * 4, value + block.items * 4);
    }
    runs.start.fill(block, block.start, value);
  };

  const take = (block: Block, index: number, value: number): void => {
    const [term, run, part] = [job.terms[index], runs.terms[index], block.terms[index]];
    if (term === undefined || run === undefined || part === undefined) {
      return;
    }
    const { at, stored } = part;
    if (narrowerColumns(job, term.operand) !== null) {
      load(run.dtype, at, other, stored);
      eachPiece(job, term.operand, block, (k, from, count) => combine("F32", other + from * 4, value + k * 4, count));
      return;
    }
    meet(run.dtype, at, value, stored);
    if (stored < block.items && rows !== "verbatim") {
      if (rows === "zero") {
        memory.fill(0, other + stored * 4, other + block.items * 4);
      }
      run.fill(block, part, other);
      combine("F32", other + stored * 4, value + stored * 4, block.items - stored);
    }
  };

  /** Rounds the F32 values at `value` to the result's dtype; they stay there as F32. @param rounded where they are in that dtype. */
  const round = (value: number, rounded: number, items: number): void => {
    if (result !== "F32") {
      overflow += kernel.narrow(result, value, rounded, items);
      kernel.widen(result, rounded, value, items);
    }
  };

  /** Converts `count` values of `dtype` to `to`. @returns where they are: at their own place, or at `target`. */
  const asNarrow = (to: NarrowDtype, dtype: FloatDtype, at: number, target: number, count: number): number => {
    if (dtype === to) {
      return at;
    }
    kernel.widen(dtype, at, target, count);
    overflow += kernel.narrow(to, target, target, count);
    return target;
  };

  /** Computes a whole block in 16 bits: the kernel adds, rounds and sums up in one pass. */
  const sumNarrow = (dtype: NarrowDtype, { items, start, terms, outAt }: Block): void => {
    const target = asNarrow(dtype, own, start.at, areas.sumBlock, items);
    if (target !== outAt) {
      memory.copyWithin(outAt, target, target + items * width);
    }
    terms.forEach(({ at }, index) => {
      const source = asNarrow(dtype, runs.terms[index]?.dtype ?? dtype, at, other, items);
      overflow +=
        index < terms.length - 1
          ? combineNarrow(dtype, source, outAt, items)
          : combineLast(dtype, source, outAt, items, areas.sumState);
    });
  };

  return {
    run(block) {
      const { items, start, terms, outAt } = block;
      runs.take(block);
      if (halves !== null && [start, ...terms].every(({ stored }) => stored === items)) {
        sumNarrow(halves, block);
        return;
      }
      const value = job.dtype === "F32" ? outAt : areas.sumBlock;
      begin(block, value);
      terms.forEach((_, index) => {
        take(block, index, value);
        if (index < terms.length - 1) {
          round(value, narrow, items);
        }
      });
      round(value, job.dtype === result ? outAt : narrow, items);
      kernel.sumPush(areas.sumState, value, items);
      if (job.dtype !== result && (job.dtype === "F16" || job.dtype === "BF16")) {
        overflow += kernel.narrow(job.dtype, value, outAt, items);
        checkFit?.(block, value);
      }
      if (identical && rows === "verbatim") {
        // Arithmetic would make a signalling NaN quiet.
        eachUntouched(job, block, (k, count) => {
          memory.copyWithin(outAt + k * width, start.at + k * width, start.at + (k + count) * width);
        });
      }
    },
    finish: () => ({ sum: kernel.sumEnd(areas.sumState), overflow }),
  };
}

/** The 16-bit dtype of all operands, all sums and the output; null if any of them has another dtype. */
function commonNarrow(job: TensorJob, { operands, result }: Blend): NarrowDtype | null {
  const all = [job.start, ...job.terms].map(({ operand }) => operand);
  if (job.terms.length === 0 || all.some((operand) => narrowerColumns(job, operand) !== null)) {
    return null;
  }
  const added: readonly Dtype[] = operands === "F32" ? all.map(operandDtype) : [operands];
  return result !== "F32" && [job.dtype, ...added].every((each) => each === result) ? result : null;
}

/** The pieces of the block's rows that the operand has: their place in the block, and in the operand's bytes. */
function eachPiece(
  job: TensorJob,
  operand: Operand,
  block: Block,
  visit: (k: number, from: number, count: number) => void,
): void {
  const columns = job.shape[1] ?? 1;
  const skipped = elementsBefore(job, operand, block.first);
  for (let k = 0; k < block.items; ) {
    const at = block.first + k;
    const rest = Math.min(columns - (at % columns), block.items - k);
    const from = elementsBefore(job, operand, at);
    const count = elementsBefore(job, operand, at + rest) - from;
    if (count > 0) {
      visit(k, from - skipped, count);
    }
    k += rest;
  }
}

/** The runs of elements in the block that no term has. All terms have the same shape. */
function eachUntouched(job: TensorJob, block: Block, visit: (k: number, count: number) => void): void {
  const [term] = job.terms;
  const stored = block.terms[0]?.stored ?? 0;
  if (term === undefined || narrowerColumns(job, term.operand) === null) {
    if (stored < block.items) {
      visit(stored, block.items - stored);
    }
    return;
  }
  let end = 0;
  eachPiece(job, term.operand, block, (k, _, count) => {
    visit(end, k - end);
    end = k + count;
  });
  visit(end, block.items - end);
}
