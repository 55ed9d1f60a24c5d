/** What there is to know of a job's operands before their bytes are there. */
import { type Dtype, dtypeBits, elementCount, isFloatDtype } from "../../formats/dtype.js";
import type { Job, Operand, TensorJob, Term, WindowedJob } from "./job.js";

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
      : job.kind === "digest" || job.kind === "product"
        ? [job.source]
        : [job.left, job.right];
  const distinct: Operand[] = [];
  const places = all.map((operand) => {
    // The sides of a comparison are read apart: what swaps the bytes of one must not see the other's.
    const found = job.kind === "tensor" ? distinct.findIndex((one) => isSame(one, operand)) : -1;
    return found >= 0 ? found : distinct.push(operand) - 1;
  });
  return { distinct, places };
}

/** Writing both down takes ten times as long as a look at where they begin, and there may be a hundred thousand. */
function isSame(one: Operand, other: Operand): boolean {
  return one === other || (beginsAlike(one, other) && JSON.stringify(one) === JSON.stringify(other));
}

function beginsAlike(one: Operand, other: Operand): boolean {
  return one.kind === "inv-freq" || other.kind === "inv-freq"
    ? one.kind === other.kind
    : one.input === other.input && one.range.begin === other.range.begin;
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

/** What the job does with the coded windows of a chain's steps. */
export function updatesCoded(job: Job): "none" | "encode" | "decode" {
  if (job.kind === "payload" && job.encoding === "exact-compressed") {
    return "encode";
  }
  const steps = job.kind === "payload" ? job.steps : job.kind === "tensor" ? (job.updates?.steps ?? []) : [];
  return steps.some(({ encoding }) => encoding === "exact-compressed") ? "decode" : "none";
}

/** Can the base be brought to the tuned dtype? By way of F32 only: F64 and integers stay among themselves. */
export function isConvertible(raw: Dtype, tuned: Dtype): boolean {
  return raw === tuned || (isFloatDtype(raw) && isFloatDtype(tuned) && tuned !== "F64");
}
