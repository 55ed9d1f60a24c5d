/** The result of a job: plain data, which comes from the threads. */

export interface TensorResult {
  readonly id: number;
  /** sha256 (hex) of the contiguous little-endian bytes of the output, or of the digested tensor. Absent where the job takes none. */
  readonly sha256?: string;
  /** The F32 sum of the float32 values, before rounding to the output dtype; for integers their exact sum; 0 otherwise (docs/arithmetic.md 6, 7). */
  readonly sum: number;
  /** Finite float32 values that became infinite in the output dtype. */
  readonly overflow: number;
  /** For a whole file, coded windows or a payload: its length in bytes, and its MD5 (hex) if that was wanted. */
  readonly size?: number;
  readonly md5?: string;
  /** For coded windows: how many units have the same bits as the base's. */
  readonly unchanged?: number;
  /** Only if the job asked for it. */
  readonly proof?: Proof;
  readonly counts?: ValueCounts;
  readonly comparison?: Comparison;
  /** For a payload: does it change anything? */
  readonly changes?: boolean;
  /** The checksums of `sums`, and of `baseSums`, in hex. */
  readonly checksums?: readonly string[];
  readonly baseChecksums?: readonly string[];
  /** For `updates.joined`: sha256 (hex) of all bytes so far. */
  readonly joined?: string;
  readonly measured?: Measured;
  /** For a lenient digest: how the checksum differs, "CRC-32 … expected, … found". */
  readonly damage?: string;
}

/** The digest of a job that takes one. @throws {TypeError} for any other job: a bug. */
export function digestOf({ id, sha256 }: TensorResult): string {
  if (sha256 === undefined) {
    throw new TypeError(`job ${id} takes no sha256`);
  }
  return sha256;
}

/** How many elements of a float tensor are NaN, infinite or zero. */
export interface ValueCounts {
  readonly nan: number;
  readonly infinite: number;
  /** Zeros of either sign. */
  readonly zero: number;
}

export interface Comparison {
  /** How many elements differ: in their bits once widened to F32, or in their bytes for dtypes without arithmetic. */
  readonly different: number;
  /** The largest |left - right| in F32. Infinity if a NaN or an infinity is on one side only. Null for dtypes without arithmetic. */
  readonly maxDifference: number | null;
  /** Does the wider tensor, rounded to the dtype of the narrower one, give the narrower one bit for bit? All NaN count as equal. */
  readonly equalRounded: boolean;
}

/** How far a tensor lies from its base. Sums are F64, in an order that depends on neither threads nor windows (kernel/measure.ts). */
export interface Measured {
  /** How many elements the tensor has, and how many of them the base has as well. */
  readonly elements: number;
  readonly compared: number;
  /** How many compared elements have other bits, both widened to F32. */
  readonly changed: number;
  /** The sums of (tuned - base)², base², tuned² and base·tuned, and the largest |tuned - base|; null for dtypes without arithmetic. */
  readonly values: {
    readonly difference: number;
    readonly base: number;
    readonly tuned: number;
    readonly product: number;
    readonly most: number;
  } | null;
  /**
   * `steps`: how many elements lie 0, 1, 2-3, 4-7 … steps from the base's. A step leads from one value of the tuned dtype to the next, and the base
   * is rounded to that dtype. `bits`: what the differences cost an ideal coder that knows the base's exponents. Null for F64, and if `values` is null.
   */
  readonly units: { readonly steps: readonly number[]; readonly bits: number } | null;
  /** For an embedding, the rows that moved most, by the sum of (tuned - base)². Rows that did not move are left out. */
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
  /** The digest of the base's tensor as stored; null if there is none. */
  readonly raw: string | null;
  /** The digest of the tuned tensor as stored. */
  readonly tuned: string;
  /** The digest of the tensor that recover writes by default: F32 for an additive diff, the tuned dtype for an exact one. */
  readonly recovered: string;
  /** How many elements do not come back: their bits differ from the tuned ones in F32, or once they are rounded to a tuned F16 or BF16. */
  readonly inexact: number;
}
