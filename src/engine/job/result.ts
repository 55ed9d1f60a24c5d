/** What a job has found: plain data, which crosses from the threads. */

export interface TensorResult {
  readonly id: number;
  /** sha256 (hex) of the contiguous little-endian bytes of the output, or of the digested tensor. Absent where the job takes none. */
  readonly sha256?: string;
  /** The F32 sum of the float32 values, before rounding to the output dtype; for integers their exact sum; 0 otherwise (docs/arithmetic.md 6, 7). */
  readonly sum: number;
  /** Finite float32 values that became infinite in the output dtype. */
  readonly overflow: number;
  /** Of a whole file, of coded windows, or of a payload: its bytes, and its MD5 (hex) where that was wanted. */
  readonly size?: number;
  readonly md5?: string;
  /** Of coded windows: units that are the base's own bits. */
  readonly unchanged?: number;
  /** Only where the job asked for it. */
  readonly proof?: Proof;
  readonly counts?: ValueCounts;
  readonly comparison?: Comparison;
  /** Of a payload: does it change anything? */
  readonly changes?: boolean;
  /** The checksums of `sums`, and of `baseSums`, in hex. */
  readonly checksums?: readonly string[];
  readonly baseChecksums?: readonly string[];
  /** Of `updates.joined`: sha256 (hex) of all bytes so far. */
  readonly joined?: string;
  readonly measured?: Measured;
  /** Of a lenient digest: how the checksum differs, "CRC-32 … expected, … found". */
  readonly damage?: string;
}

/** The digest of a job that takes one. @throws {TypeError} for any other job: a bug. */
export function digestOf({ id, sha256 }: TensorResult): string {
  if (sha256 === undefined) {
    throw new TypeError(`job ${id} takes no sha256`);
  }
  return sha256;
}

/** Elements of a float tensor that are no ordinary number. */
export interface ValueCounts {
  readonly nan: number;
  readonly infinite: number;
  /** Of either sign. */
  readonly zero: number;
}

export interface Comparison {
  /** Elements whose values, widened to F32, have other bits; of dtypes that are not computed with, other bytes. */
  readonly different: number;
  /** Largest |left - right| in F32; Infinity where a NaN or an infinity is on one side only; null for dtypes that are not computed with. */
  readonly maxDifference: number | null;
  /** Is the wider one, rounded to the dtype of the narrower, the narrower bit for bit (any NaN counting as any other)? */
  readonly equalRounded: boolean;
}

/** How far a tensor lies from its base. Sums are F64, in an order that hangs on neither threads nor windows (kernel/measure.ts). */
export interface Measured {
  /** Of the tensor, and those among them that the base has as well. */
  readonly elements: number;
  readonly compared: number;
  /** Of those compared: other bits, both widened to F32. */
  readonly changed: number;
  /** The sums of (tuned - base)², base², tuned² and base·tuned, and the largest |tuned - base|; null for dtypes that are not computed with. */
  readonly values: {
    readonly difference: number;
    readonly base: number;
    readonly tuned: number;
    readonly product: number;
    readonly most: number;
  } | null;
  /**
   * In steps from one value of the tuned dtype to the next: how many elements lie 0, 1, 2-3, 4-7 … steps from the base's, rounded to that
   * dtype; and the bits that the differences cost an ideal coder that knows the base's exponents. Null for F64, and where `values` is.
   */
  readonly units: { readonly steps: readonly number[]; readonly bits: number } | null;
  /** Of an embedding, the rows that moved most, by the sum of (tuned - base)²; none that did not move. */
  readonly rows: readonly MeasuredRow[];
}

export interface MeasuredRow {
  readonly row: number;
  /** The row's sums of (tuned - base)² and base². */
  readonly difference: number;
  readonly base: number;
}

/** What make-diff found when it applied the diff it had just made. Digests are sha256 (hex) of contiguous little-endian bytes. */
export interface Proof {
  /** Of raw as stored; null without one. */
  readonly raw: string | null;
  /** Of the tuned tensor as stored. */
  readonly tuned: string;
  /** Of what recover writes by default: F32 for an added diff, the tuned dtype for an exact one. */
  readonly recovered: string;
  /** Elements whose recovered value has other bits than the tuned one, both in F32, or once it is rounded to a tuned F16 or BF16. */
  readonly inexact: number;
}
