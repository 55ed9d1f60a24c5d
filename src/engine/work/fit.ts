/** Checks whether the 16-bit dtype to which a tensor is rounded holds its values: for recover in the smallest dtype that loses nothing. */
import { WeightDiffError } from "../../errors.js";
import { type FloatDtype, torchName } from "../../formats/dtype.js";
import { quote } from "../../formats/quote.js";
import { widenBF16, widenF16, widenF64 } from "../../kernel/bits.js";
import { fits } from "../../kernel/fits.js";
import type { Kernel } from "../../kernel/kernel.js";
import type { MemoryPlan } from "../io/memory.js";
import type { TensorJob } from "../job/job.js";
import { operandDtype } from "../job/operand.js";
import type { Block, Part } from "./stage.js";

/** Judges a block. @param valueAt its F32 values; `outAt` has what they were rounded to. @throws {WeightDiffError} CHECK_FAILED. */
export type CheckFit = (block: Block, valueAt: number) => void;

/** Null if any value is allowed. Elements that build on a mean row are not judged, since a mean is not a value of the model. */
export function startFit(job: TensorJob, kernel: Kernel, areas: MemoryPlan): CheckFit | null {
  const { dtype, terms, rule } = job;
  if (job.mustFit !== true || (dtype !== "F16" && dtype !== "BF16")) {
    return null;
  }
  const view = new DataView(kernel.memory);
  const reader = (of: typeof job.start): ((part: Part, index: number) => number) => {
    const read = READ[operandDtype(of.operand) as FloatDtype];
    return ({ at }, index) => read(view, at, index);
  };
  const start = reader(job.start);
  const bases = terms.map(reader);
  return (block, valueAt) => {
    const { items, first, outAt } = block;
    kernel.widen(dtype, outAt, areas.recoveredBlock, items);
    if (kernel.countDifferent(valueAt, areas.recoveredBlock, items) === 0) {
      return;
    }
    const judged = block.terms.reduce(
      (least, { stored }, k) => (terms[k]?.mean ? Math.min(least, stored) : least),
      items,
    );
    let misfits = 0;
    for (let i = 0; i < judged; i++) {
      // The publisher's rounding can be undone only for a plain sum of the diff and its bases.
      const sum = rule === "add" && block.terms.every(({ stored }) => i < stored);
      const difference = sum ? start(block.start, i) : null;
      const met = sum ? block.terms.map((part, k) => bases[k]?.(part, i) ?? 0) : [];
      misfits += fits(dtype, view.getUint32(valueAt + 4 * i, true), difference, met) ? 0 : 1;
    }
    if (misfits > 0) {
      throw misfit(job, misfits, first + items);
    }
  };
}

/** An element as F32 bits. */
const READ: Readonly<Record<FloatDtype, (view: DataView, at: number, index: number) => number>> = {
  F16: (view, at, index) => widenF16(view.getUint16(at + 2 * index, true)),
  BF16: (view, at, index) => widenBF16(view.getUint16(at + 2 * index, true)),
  F32: (view, at, index) => view.getUint32(at + 4 * index, true),
  F64: (view, at, index) => widenF64(view.getUint32(at + 8 * index + 4, true), view.getUint32(at + 8 * index, true)),
};

function misfit({ name, dtype }: TensorJob, misfits: number, seen: number): WeightDiffError {
  const them = misfits === 1 ? "one is" : `${misfits} are`;
  return new WeightDiffError(
    "CHECK_FAILED",
    `tensor ${quote(name)}: of its first ${seen} values ${them} not exact in ${torchName(dtype)}, and only a sample was looked at when that dtype was chosen`,
    undefined,
    {
      at: { tensor: name },
      advice: [
        { to: "keep every value", option: "dtype", value: "F32" },
        { to: "round such values", option: "dtype", value: dtype },
      ],
    },
  );
}
