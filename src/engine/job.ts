/**
 * The messages that workers get: small, plain, clonable. A job names files by their place in the plan's list of inputs and
 * bytes by their position in the file; no tensor byte is ever in one.
 */
import type { Dtype } from "../formats/dtype.js";
import type { ByteRange, Shape } from "../formats/tensor-info.js";

/** A tensor as it lies in an input file. */
export interface StoredOperand {
  readonly kind: "stored";
  /** Index into the plan's inputs. */
  readonly input: number;
  /** The tensor's name in that file, for messages. */
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: Shape;
  readonly range: ByteRange;
  readonly strides?: readonly number[];
  readonly bigEndian?: true;
  /** CRC-32 that the bytes of `range` must have; absent where the record states none, or another job checks it. */
  readonly crc32?: number;
}

/** A rotary buffer that the base does not store: 1 / theta^(2i / 2count), F32 (EXACTNESS 5, transformers modeling_llama.py). */
export interface InvFreqOperand {
  readonly kind: "inv-freq";
  readonly count: number;
  readonly theta: number;
}

export type Operand = StoredOperand | InvFreqOperand;

/** How an output tensor comes from its operands. */
export type Rule =
  /** Widened to F32, added, rounded once to the output dtype. */
  | "add"
  /** Integers of one width, added modulo 2^bits. */
  | "add-integers"
  /** Boolean or. */
  | "or";

export interface TensorJob {
  readonly kind: "tensor";
  /** Place in the plan's list of jobs. */
  readonly id: number;
  readonly name: string;
  readonly rule: Rule;
  /** Of the output. */
  readonly dtype: Dtype;
  readonly shape: Shape;
  readonly diff: StoredOperand;
  readonly raw: Operand;
  /** The first `rows` rows of `columns` come from raw; the diff's further rows are added to the mean of those. */
  readonly mean: { readonly rows: number; readonly columns: number } | null;
  /** Where the result goes; null if it is only summed and digested. */
  readonly output: { readonly shard: number; readonly range: ByteRange } | null;
}

/** Bytes that are only read and digested: a record no tensor covers in one piece, a tensor to be shown or verified. */
export interface DigestJob {
  readonly kind: "digest";
  readonly id: number;
  /** For messages. */
  readonly name: string;
  readonly source: StoredOperand;
}

export type Job = TensorJob | DigestJob;

export interface TensorResult {
  readonly id: number;
  /** sha256 (hex) of the output's, or the digested tensor's, contiguous little-endian bytes. */
  readonly sha256: string;
  /** The F32 sum of the float32 values, before rounding to the output dtype; for integers their exact sum; 0 for a digest (EXACTNESS 4, 5). */
  readonly sum: number;
  /** Finite float32 values that became infinite in the output dtype. */
  readonly overflow: number;
}
