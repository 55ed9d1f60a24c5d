/**
 * The arithmetic of the schemes that do not compute in plain F32 (scheme/axes.ts): operands rounded first, as a model loaded in
 * float16 is; each sum rounded once; rows that an operand lacks left as they are or met by zeros; a term as the top left block.
 * Composed of the kernel's own conversions and sums, so that its bits are the kernel's (docs/arithmetic.md 2).
 */
import { type Dtype, elementCount, type FloatDtype } from "../../formats/dtype.js";
import type { Kernel, NarrowDtype } from "../../kernel/kernel.js";
import type { MemoryPlan } from "../io/memory.js";
import type { Blend, Operand, TensorJob } from "../job/job.js";
import { elementsBefore, elementsOf, narrowerColumns, operandDtype, widthOf } from "../job/operand.js";
import { startFit } from "./fit.js";
import type { Block, Stage } from "./stage.js";
import { startTerms } from "./term.js";

/** Can the output take the start's place? Not where an operand lacks elements: the start's are looked at again. */
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
  // `narrow` holds 16-bit values on their way; only make-diff uses that block otherwise.
  const { rawBlock: other, tunedBlock: narrow } = areas;
  const width = widthOf(job.dtype);
  const identical = own === result && own === job.dtype && (operands === "F32" || operands === own);
  const halves = commonNarrow(job, blend);
  const checkFit = startFit(job, kernel, areas);
  let overflow = 0;
  kernel.sumBegin(areas.sumState, elementCount(job.shape) ?? 0);

  /** `count` values of `dtype` as F32, rounded on the way. */
  const load = (dtype: FloatDtype, at: number, target: number, count: number): void => {
    kernel.widen(dtype, at, target, count);
    if (operands !== "F32" && operands !== dtype) {
      overflow += kernel.narrow(operands, target, narrow, count);
      kernel.widen(operands, narrow, target, count);
    }
  };

  /** Adds `count` values of `dtype`, rounded on the way, to the F32 values at `target`, or takes them away. */
  const meet = (dtype: FloatDtype, at: number, target: number, count: number): void => {
    if (operands === "F32" || operands === dtype) {
      combine(dtype, at, target, count);
    } else {
      load(dtype, at, other, count);
      combine("F32", other, target, count);
    }
  };

  /** The block's F32 values before any term. */
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

  /** The F32 values at `value` rounded to the result's dtype, which stay there in F32. @param rounded where they are in it. */
  const round = (value: number, rounded: number, items: number): void => {
    if (result !== "F32") {
      overflow += kernel.narrow(result, value, rounded, items);
      kernel.widen(result, rounded, value, items);
    }
  };

  /** `count` values of `dtype` as `to`. @returns where they are: where they were, or at `target`. */
  const asNarrow = (to: NarrowDtype, dtype: FloatDtype, at: number, target: number, count: number): number => {
    if (dtype === to) {
      return at;
    }
    kernel.widen(dtype, at, target, count);
    overflow += kernel.narrow(to, target, target, count);
    return target;
  };

  /** The whole of a block without ever leaving 16 bits: the kernel adds, rounds and sums up in one pass. */
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
        // Arithmetic would quieten a signalling NaN.
        eachUntouched(job, block, (k, count) => {
          memory.copyWithin(outAt + k * width, start.at + k * width, start.at + (k + count) * width);
        });
      }
    },
    finish: () => ({ sum: kernel.sumEnd(areas.sumState), overflow }),
  };
}

/** The 16 bits in which all operands are added, every sum is rounded and the last one written; null if there is any other dtype in this. */
function commonNarrow(job: TensorJob, { operands, result }: Blend): NarrowDtype | null {
  const all = [job.start, ...job.terms].map(({ operand }) => operand);
  if (job.terms.length === 0 || all.some((operand) => narrowerColumns(job, operand) !== null)) {
    return null;
  }
  const added: readonly Dtype[] = operands === "F32" ? all.map(operandDtype) : [operands];
  return result !== "F32" && [job.dtype, ...added].every((each) => each === result) ? result : null;
}

/** The pieces of the block's rows that the operand has: their place in the block, and in what was read of it. */
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

/** The elements of the block that no term has, in runs: all terms have one shape. */
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
