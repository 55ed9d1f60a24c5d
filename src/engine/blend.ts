/**
 * The arithmetic of the schemes that do not compute in plain F32 (scheme.ts): operands rounded first, as a model loaded in
 * float16 is; the result rounded once; rows that raw lacks left as they are or met by zeros; raw as the top left block.
 * Composed of the kernel's own conversions and sums, so that its bits are the kernel's (EXACTNESS 2).
 */
import { elementCount, type FloatDtype } from "../formats/dtype.js";
import type { Kernel } from "../kernel/kernel.js";
import type { ComputeDtype, TensorJob } from "./job.js";
import type { MemoryPlan } from "./memory.js";
import { operandDtype, rawBefore, rawColumns, widthOf } from "./operand.js";
import { rawTerms } from "./raw-terms.js";
import type { Block, Stage } from "./stage.js";

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
  const terms = rawTerms(job, kernel, areas);
  // `narrow` holds 16-bit values on their way; only make-diff uses that block otherwise.
  const { sumBlock: value, rawBlock: other, tunedBlock: narrow } = areas;
  const width = widthOf(job.dtype);
  const identical = driver === result && driver === job.dtype && (operands === "F32" || operands === driver);
  let overflow = 0;
  kernel.sumBegin(areas.sumState, elementCount(job.shape) ?? 0);

  /** `count` values of `dtype` as F32, rounded to `to` on the way. */
  const load = (dtype: FloatDtype, at: number, target: number, count: number, to: ComputeDtype): void => {
    kernel.widen(dtype, at, target, count);
    if (to !== "F32" && to !== dtype) {
      overflow += kernel.narrow(to, target, narrow, count);
      kernel.widen(to, narrow, target, count);
    }
  };

  const sum = (block: Block): void => {
    const { items, stored } = block;
    terms.take(block);
    load(raw, block.rawAt, other, stored, operands);
    if (rawColumns(job) !== null) {
      eachPiece(job, block, (k, from, count) => combine("F32", other + from * 4, value + k * 4, count));
      return;
    }
    terms.fill(block, other);
    if (rows === "zero") {
      memory.fill(0, other + stored * 4, other + items * 4);
    }
    const count = rows === "verbatim" ? stored : items;
    if (into === "driver") {
      combine("F32", other, value, count);
    } else {
      combine("F32", value, other, count);
      memory.copyWithin(value, other, other + count * 4);
    }
  };

  return {
    run(block) {
      const { items, driverAt, outAt } = block;
      load(driver, driverAt, value, items, operands);
      if (job.raw !== null) {
        sum(block);
      }
      if (result !== "F32") {
        overflow += kernel.narrow(result, value, narrow, items);
        kernel.widen(result, narrow, value, items);
      }
      kernel.sumPush(areas.sumState, value, items);
      if (result !== "F32" && job.dtype === result) {
        memory.copyWithin(outAt, narrow, narrow + items * width);
      } else if (job.dtype === "F16" || job.dtype === "BF16") {
        overflow += kernel.narrow(job.dtype, value, outAt, items);
      } else {
        kernel.widen("F32", value, outAt, items);
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
