/**
 * The arithmetic of the schemes that do not compute in plain F32 (scheme/scheme.ts): operands rounded first, as a model loaded in
 * float16 is; the result rounded once; rows that raw lacks left as they are or met by zeros; raw as the top left block.
 * Composed of the kernel's own conversions and sums, so that its bits are the kernel's (EXACTNESS 2).
 */
import { type Dtype, elementCount, type FloatDtype } from "../../formats/dtype.js";
import type { Kernel, NarrowDtype } from "../../kernel/kernel.js";
import type { MemoryPlan } from "../io/memory.js";
import type { Blend, TensorJob } from "../job/job.js";
import { operandDtype, rawBefore, rawColumns, rawElements, widthOf } from "./operand.js";
import { rawTerms } from "./raw-terms.js";
import type { Block, Stage } from "./stage.js";

/** Can the output take the driver's place? Not where the driver is added into the other, or looked at again. */
export function blendsInPlace(job: TensorJob): boolean {
  return job.blend?.into === "driver" && rawElements(job) === elementCount(job.shape);
}

/** The stage of the rule "blend". */
export function blendFloats(job: TensorJob, kernel: Kernel, areas: MemoryPlan): Stage {
  const blend = job.blend;
  if (blend === undefined) {
    throw new TypeError(`job ${job.id}: a blend that does not say how`);
  }
  const memory = new Uint8Array(kernel.memory);
  const { operands, result, rows, into } = blend;
  const driver = job.driver.dtype as FloatDtype;
  const raw = job.raw === null ? "F32" : (operandDtype(job.raw) as FloatDtype);
  const combine = blend.operation === "add" ? kernel.add : kernel.subtract;
  const combineNarrow = blend.operation === "add" ? kernel.addNarrow : kernel.subtractNarrow;
  const terms = rawTerms(job, kernel, areas);
  // `narrow` holds 16-bit values on their way; only make-diff uses that block otherwise.
  const { rawBlock: other, tunedBlock: narrow } = areas;
  const width = widthOf(job.dtype);
  const driverWidth = widthOf(driver);
  const identical = driver === result && driver === job.dtype && (operands === "F32" || operands === driver);
  const halves = job.raw === null || rawColumns(job) !== null ? null : commonNarrow(job.dtype, blend, driver, raw);
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

  /** What the rows that raw lacks have in its stead. */
  const fill = (block: Block, target: number): void => {
    terms.fill(block, target);
    if (rows === "zero") {
      memory.fill(0, target + block.stored * 4, target + block.items * 4);
    }
  };

  const sum = (block: Block, value: number): void => {
    const { items, stored, rawAt, driverAt } = block;
    const met = rows === "verbatim" ? stored : items;
    terms.take(block);
    if (rawColumns(job) !== null) {
      load(driver, driverAt, value, items);
      load(raw, rawAt, other, stored);
      eachPiece(job, block, (k, from, count) => combine("F32", other + from * 4, value + k * 4, count));
    } else if (into === "driver") {
      load(driver, driverAt, value, items);
      meet(raw, rawAt, value, stored);
      fill(block, other);
      combine("F32", other + stored * 4, value + stored * 4, met - stored);
    } else {
      load(raw, rawAt, value, stored);
      fill(block, value);
      meet(driver, driverAt, value, met);
      load(driver, driverAt + met * driverWidth, value + met * 4, items - met);
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

  /** The whole of a block without ever leaving 16 bits: the kernel adds and rounds in one pass. */
  const sumNarrow = (dtype: NarrowDtype, { items, rawAt, driverAt, outAt }: Block): void => {
    const own = asNarrow(dtype, driver, driverAt, areas.sumBlock, items);
    const others = asNarrow(dtype, raw, rawAt, other, items);
    const [source, target] = into === "driver" ? [others, own] : [own, others];
    memory.copyWithin(outAt, target, target + items * width);
    overflow += combineNarrow(dtype, source, outAt, items);
    kernel.widen(dtype, outAt, areas.sumBlock, items);
    kernel.sumPush(areas.sumState, areas.sumBlock, items);
  };

  return {
    run(block) {
      const { items, driverAt, outAt } = block;
      if (halves !== null && block.stored === items) {
        terms.take(block);
        sumNarrow(halves, block);
        return;
      }
      const value = job.dtype === "F32" ? outAt : areas.sumBlock;
      if (job.raw === null) {
        load(driver, driverAt, value, items);
      } else {
        sum(block, value);
      }
      if (result !== "F32") {
        const rounded = job.dtype === result ? outAt : narrow;
        overflow += kernel.narrow(result, value, rounded, items);
        kernel.widen(result, rounded, value, items);
      }
      kernel.sumPush(areas.sumState, value, items);
      if (job.dtype !== result && (job.dtype === "F16" || job.dtype === "BF16")) {
        overflow += kernel.narrow(job.dtype, value, outAt, items);
      }
      if (identical && rows === "verbatim") {
        // Arithmetic would quieten a signalling NaN.
        eachUntouched(job, block, (k, count) => {
          memory.copyWithin(outAt + k * width, driverAt + k * width, driverAt + (k + count) * width);
        });
      }
    },
    finish: () => ({ sum: kernel.sumEnd(areas.sumState), overflow }),
  };
}

/** The 16 bits in which both operands are added, their sum is rounded and written; null if there is any other dtype in this. */
function commonNarrow(
  dtype: Dtype,
  { operands, result }: Blend,
  driver: FloatDtype,
  raw: FloatDtype,
): NarrowDtype | null {
  const added = operands === "F32" ? [driver, raw] : [operands];
  return result !== "F32" && [dtype, ...added].every((each) => each === result) ? result : null;
}

/** The pieces of the block's rows that raw has: their place in the block, and in what was read of raw. */
function eachPiece(job: TensorJob, block: Block, visit: (k: number, from: number, count: number) => void): void {
  const columns = job.shape[1] ?? 1;
  const skipped = rawBefore(job, block.first);
  for (let k = 0; k < block.items; ) {
    const at = block.first + k;
    const rest = Math.min(columns - (at % columns), block.items - k);
    const from = rawBefore(job, at);
    const count = rawBefore(job, at + rest) - from;
    if (count > 0) {
      visit(k, from - skipped, count);
    }
    k += rest;
  }
}

/** The elements of the block that raw lacks, in runs. */
function eachUntouched(job: TensorJob, block: Block, visit: (k: number, count: number) => void): void {
  if (rawColumns(job) === null) {
    if (block.stored < block.items) {
      visit(block.stored, block.items - block.stored);
    }
    return;
  }
  let end = 0;
  eachPiece(job, block, (k, _, count) => {
    visit(end, k - end);
    end = k + count;
  });
  visit(end, block.items - end);
}
