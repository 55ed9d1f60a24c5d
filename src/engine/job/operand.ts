/** What is known about a job's operands before their bytes are read. */
import { type Dtype, dtypeBits, elementCount, isFloatDtype } from "../../formats/dtype.js";
import type { Job, Operand, TensorJob, Term, WindowedJob } from "./job.js";

export function operandDtype(operand: Operand): Dtype {
  return operand.kind === "inv-freq" ? "F32" : operand.dtype;
}

export interface Operands {
  /** The distinct operands. Each is read once, even if it is several terms. */
  readonly distinct: readonly Operand[];
  /** Which of them is the start and which is each term, in this order; for a comparison, which are its sides. */
  readonly places: readonly number[];
}

/** The operands that the job reads. */
export function operandsOf(job: WindowedJob): Operands {
  const all =
    job.kind === "tensor"
      ? [job.start, ...job.terms].map(({ operand }) => operand)
      : job.kind === "digest" || job.kind === "product"
        ? [job.source]
        : [job.left, job.right];
  const distinct: Operand[] = [];
  const places = all.map((operand) => {
    // The sides of a comparison are read separately, so that the bytes of one can be swapped without the other.
    const found = job.kind === "tensor" ? distinct.findIndex((one) => isSame(one, operand)) : -1;
    return found >= 0 ? found : distinct.push(operand) - 1;
  });
  return { distinct, places };
}

/** First compares where the operands begin: comparing them as text takes ten times as long, and there may be a hundred thousand. */
function isSame(one: Operand, other: Operand): boolean {
  return one === other || (beginsAlike(one, other) && JSON.stringify(one) === JSON.stringify(other));
}

function beginsAlike(one: Operand, other: Operand): boolean {
  return one.kind === "inv-freq" || other.kind === "inv-freq"
    ? one.kind === other.kind
    : one.input === other.input && one.range.begin === other.range.begin;
}

/** The terms whose mean is wanted, one for each operand. */
export function meansOf({ start, terms }: TensorJob): readonly Term[] {
  const found = new Map(
    [start, ...terms].flatMap((term) => (term.mean === null ? [] : [[JSON.stringify(term.operand), term] as const])),
  );
  return [...found.values()];
}

/** The number of elements of the operand. It has fewer than the output if the output has new rows. */
export function elementsOf(operand: Operand): number {
  return operand.kind === "inv-freq" ? operand.count : (elementCount(operand.shape) ?? 0);
}

/**
 * How many elements the operand has among the output's elements before `index`. If it has fewer rows, or in a blend fewer columns, it is the
 * output's top left block. Its elements still come in their own order.
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

/** The number of the operand's columns if it has fewer than the output; else null. In a single row the further elements simply follow. */
export function narrowerColumns({ rule, shape }: TensorJob, operand: Operand): number | null {
  const isBlock = rule === "blend" && operand.kind === "stored" && shape.length === 2 && shape[0] !== 1;
  const width = isBlock ? operand.shape[1] : undefined;
  return width === undefined || width === shape[1] ? null : width;
}

/** The bytes of one element. Packed dtypes never come here. */
export function widthOf(dtype: Dtype): number {
  return dtypeBits(dtype) / 8;
}

/** Does the job encode or decode coded windows? */
export function codingOf(job: { readonly kind: string; readonly rule?: string }): "none" | "encode" | "decode" {
  return job.kind !== "tensor"
    ? "none"
    : job.rule?.startsWith("encode-") === true
      ? "encode"
      : job.rule?.startsWith("decode-") === true
        ? "decode"
        : "none";
}

/** Does the job encode or decode the coded windows of a chain's steps? */
export function updatesCoded(job: Job): "none" | "encode" | "decode" {
  if (job.kind === "payload" && job.encoding === "exact-compressed") {
    return "encode";
  }
  const coded =
    job.kind === "payload"
      ? job.steps.some(({ encoding }) => encoding === "exact-compressed")
      : job.kind === "tensor" && job.updates?.coded === true;
  return coded ? "decode" : "none";
}

/** Can the base be converted to the tuned dtype? Only through F32, so F64 and integers are not converted. */
export function isConvertible(raw: Dtype, tuned: Dtype): boolean {
  return raw === tuned || (isFloatDtype(raw) && isFloatDtype(tuned) && tuned !== "F64");
}
