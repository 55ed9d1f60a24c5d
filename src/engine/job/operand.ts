/** What there is to know of a job's operands before their bytes are there. */
import { type Dtype, dtypeBits, elementCount, isFloatDtype } from "../../formats/dtype.js";
import type { Operand, TensorJob, Term, WindowedJob } from "./job.js";

export function operandDtype(operand: Operand): Dtype {
  return operand.kind === "inv-freq" ? "F32" : operand.dtype;
}

export interface Operands {
  /** Each is read once, however often it is a term. */
  readonly distinct: readonly Operand[];
  /** Which of them the start is and each term, in this order; of a comparison its sides. */
  readonly places: readonly number[];
}

/** What the job reads. */
export function operandsOf(job: WindowedJob): Operands {
  const all =
    job.kind === "tensor"
      ? [job.start, ...job.terms].map(({ operand }) => operand)
      : job.kind === "digest"
        ? [job.source]
        : [job.left, job.right];
  // The sides of a comparison are read apart: what swaps the bytes of one must not see the other's.
  const keys = all.map((operand, index) => (job.kind === "tensor" ? JSON.stringify(operand) : String(index)));
  const distinct = new Map(all.map((operand, index) => [keys[index], operand]));
  const order = [...distinct.keys()];
  return { distinct: [...distinct.values()], places: keys.map((key) => order.indexOf(key)) };
}

/** The terms of a job whose mean is wanted: one for each operand. */
export function meansOf({ start, terms }: TensorJob): readonly Term[] {
  const found = new Map(
    [start, ...terms].flatMap((term) => (term.mean === null ? [] : [[JSON.stringify(term.operand), term] as const])),
  );
  return [...found.values()];
}

/** Elements of the operand: fewer than the output's where rows are new. */
export function elementsOf(operand: Operand): number {
  return operand.kind === "inv-freq" ? operand.count : (elementCount(operand.shape) ?? 0);
}

/**
 * How many of the operand's elements go with the output's elements before `index`. It may have fewer rows, and in a blend fewer
 * columns: then it is the top left block of the output, and its elements are still met in their own order.
 */
export function elementsBefore(job: TensorJob, operand: Operand, index: number): number {
  const count = elementsOf(operand);
  const width = narrowerColumns(job, operand);
  if (width === null) {
    return Math.min(index, count);
  }
  const columns = job.shape[1] ?? 1;
  const row = Math.floor(index / columns);
  return Math.min(row * width + Math.min(index - row * columns, width), count);
}

/** The operand's columns where they are fewer than the output's; null otherwise. */
export function narrowerColumns({ rule, shape }: TensorJob, operand: Operand): number | null {
  const width = rule === "blend" && operand.kind === "stored" && shape.length === 2 ? operand.shape[1] : undefined;
  return width === undefined || width === shape[1] ? null : width;
}

/** Bytes of one element; the packed types never come here. */
export function widthOf(dtype: Dtype): number {
  return dtypeBits(dtype) / 8;
}

/** What the job does with coded windows. */
export function codingOf(job: { readonly kind: string; readonly rule?: string }): "none" | "encode" | "decode" {
  return job.kind !== "tensor"
    ? "none"
    : job.rule?.startsWith("encode-") === true
      ? "encode"
      : job.rule?.startsWith("decode-") === true
        ? "decode"
        : "none";
}

/** Can the base be brought to the tuned dtype? By way of F32 only: F64 and integers stay among themselves. */
export function isConvertible(raw: Dtype, tuned: Dtype): boolean {
  return raw === tuned || (isFloatDtype(raw) && isFloatDtype(tuned) && tuned !== "F64");
}
