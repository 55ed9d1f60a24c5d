/**
 * The messages that workers get: small, plain, clonable. A job names files by their place in the plan's list of inputs and
 * bytes by their position in the file; no tensor byte is ever in one.
 */
import type { ChecksumName } from "../../formats/checksum.js";
import type { Dtype } from "../../formats/dtype.js";
import type { Piece } from "../../formats/pieces.js";
import type { ByteRange, Shape, StoredRecord } from "../../formats/tensor-info.js";
import type { PositionList, StepCompression, StepEncoding, UpdateEncoding } from "../../formats/update.js";
import type { KeyRule } from "../../formats/xor-key.js";

/** A tensor as it lies in an input file, or in several. */
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
  /** Only where the tensor is cut up or its rows are stored in another order; `input` and `range` are the first one's. */
  readonly pieces?: readonly OperandPiece[];
  readonly bigEndian?: true;
  /** CRC-32 that the bytes of `range` must have; absent where the record states none, or another job checks it. */
  readonly crc32?: number;
}

export interface OperandPiece extends Piece {
  /** Index into the plan's inputs. */
  readonly input: number;
  /** The tensor's name in that file, for messages. */
  readonly name: string;
}

/** A rotary buffer that the base does not store: 1 / theta^(2i / 2count), F32 (transformers modeling_llama.py; docs/arithmetic.md 7). */
export interface InvFreqOperand {
  readonly kind: "inv-freq";
  readonly count: number;
  readonly theta: number;
}

/** A tensor as coded windows (docs/formats.md 3): dtype and shape are those of what comes out. */
export interface CodedOperand extends Pick<StoredOperand, "input" | "name" | "dtype" | "shape" | "range"> {
  readonly kind: "coded";
}

export type Operand = StoredOperand | InvFreqOperand | CodedOperand;

/** How an output tensor comes from what it starts with and the terms. */
export type Rule =
  /** Widened to F32, terms added one after the other, the last sum rounded to the output dtype. */
  | "add"
  /** Widened to F32, terms taken away one after the other. F32 output. */
  | "subtract"
  /** Integers of one width, modulo 2^bits. */
  | "add-integers"
  | "subtract-integers"
  /** Boolean or. */
  | "or"
  /** The start's bytes as they are; terms are only digested. */
  | "copy"
  /** Widened to F32 and rounded once to the output dtype; there are no terms. */
  | "convert"
  /** The term converted to the tuned dtype, then bit patterns added or subtracted modulo 2^bits; elements that it lacks as they are. */
  | "add-bits"
  | "subtract-bits"
  /** To coded windows: given the term, converted to the tuned dtype; or alone, and the term is only digested. */
  | "encode-bits"
  | "encode-alone"
  /** From coded windows, likewise. */
  | "decode-bits"
  | "decode-alone"
  /** As `blend` says: floats of any dtype, operands rounded first, every sum once more. */
  | "blend"
  /** The start's bytes, changed by the updates one after the other. */
  | "update";

/** A dtype that floats are computed in. */
export type ComputeDtype = "F32" | "F16" | "BF16";

/** What one step of a chain does to a tensor: compressed bytes in an input (formats/update.ts). */
export interface UpdateStep {
  /** Index into the plan's inputs. */
  readonly input: number;
  readonly range: ByteRange;
  /** Of the chain, for messages: "000004". */
  readonly version: string;
  readonly encoding: StepEncoding;
  readonly compression: StepCompression;
  /** Of "elements": where the new ones are. */
  readonly values?: { readonly input: number; readonly range: ByteRange };
  readonly positions?: PositionList;
  /** Of "exact-compressed": the tensor that its windows stand for. */
  readonly coded?: { readonly dtype: Dtype; readonly shape: Shape };
}

/** What meets a tensor's bytes, and which checksums are taken of what it becomes. */
export interface Updates {
  readonly steps: readonly UpdateStep[];
  /** Of all bytes, once the first `after` steps have met them. */
  readonly sums: readonly { readonly after: number; readonly algorithm: ChecksumName }[];
  /** Only these are wanted: the result has no sha256. */
  readonly sumsOnly?: true;
  /** Take one sha256 over the bytes of all such jobs, one behind the other, as well: only where they are done in order, in one thread. */
  readonly joined?: true;
}

/** The arithmetic of a scheme that is not plain F32, or whose rows are not: what the script does to one tensor. */
export interface Blend {
  readonly operation: "add" | "subtract";
  /** Both operands are converted to this first, as `from_pretrained(torch_dtype=…)` does; F32 leaves every value as it is. */
  readonly operands: ComputeDtype;
  /** Each sum, computed in F32, is rounded once to this; the last one then to the output's dtype. */
  readonly result: ComputeDtype;
  /** What an operand has for elements of the output that it lacks: its mean row, +0, or nothing (what it would meet stays as it is). */
  readonly rows: "mean" | "zero" | "verbatim";
}

/** An operand of a sum. Where it has fewer rows than the output, or in a blend fewer columns, it is the output's top left block. */
export interface Term {
  readonly operand: Operand;
  /** Rows of `columns` that it has and whose mean stands for the rows that it lacks; null if there are none, or no mean is wanted. */
  readonly mean: { readonly rows: number; readonly columns: number } | null;
}

export interface TensorJob {
  readonly kind: "tensor";
  /** Place in the plan's list of jobs. */
  readonly id: number;
  readonly name: string;
  readonly rule: Rule;
  /** Of the output; of what is coded, of what goes in. */
  readonly dtype: Dtype;
  readonly shape: Shape;
  /** What the script adds into, or takes terms away from: of two NaNs the term's stays (torch's in-place add). */
  readonly start: Term;
  /**
   * What meets it, in this order: none where the rule is "convert", and where a blend only converts. A script that meets a tied
   * matrix under two names adds to it twice.
   */
  readonly terms: readonly Term[];
  /** Only where the rule is "blend". */
  readonly blend?: Blend;
  /** Every value must be one that the output's dtype holds (kernel/fits.ts); the first block with another one ends the run. */
  readonly mustFit?: true;
  /** Only where the rule is "update". */
  readonly updates?: Updates;
  /** make-diff: digest the start and the first term, apply the diff again at once, and count what does not come back. */
  readonly prove: boolean;
  /**
   * How far the output lies from the base: which operand that is, 0 for the start, 1 on for the terms; null where there is none.
   * "zero": the output is a difference itself, and its base stands for zeros.
   */
  readonly measure?: {
    readonly base: number | "zero" | null;
    /** An embedding: tell its rows, too. */
    readonly rows: boolean;
  };
  /** Where the result goes; null if it is only summed and digested. Of coded windows, room for the most that they can take. */
  readonly output: { readonly shard: number; readonly range: ByteRange } | null;
}

/** Bytes that are only read and digested: a record no tensor covers in one piece, a tensor to be shown or verified. */
export interface DigestJob {
  readonly kind: "digest";
  readonly id: number;
  /** For messages. */
  readonly name: string;
  readonly source: StoredOperand;
  /** Only the checksum is wanted: the result has no sha256. */
  readonly checksumOnly?: true;
  /** Also count NaN, infinities and zeros; for float tensors. */
  readonly count?: true;
  /** Also take the F32 sum; for float and integer tensors. */
  readonly sum?: true;
  /** A checksum that does not fit is told in the result and does not end the run. */
  readonly lenient?: true;
}

/** Two tensors of one shape that are only read and compared. */
export interface CompareJob {
  readonly kind: "compare";
  readonly id: number;
  readonly name: string;
  readonly left: StoredOperand;
  readonly right: StoredOperand;
}

/** A whole file of the output: a payload XORed with a key file, or a copy. */
export interface FileJob {
  readonly kind: "file";
  readonly id: number;
  /** Bare name of the output. */
  readonly name: string;
  /** Index into the plan's inputs. */
  readonly payload: number;
  /** Bytes of the payload before its content. */
  readonly skip: number;
  /** The payload is to be inflated first; the result is to be deflated. */
  readonly gzip: "inflate" | "deflate" | null;
  /** Null copies. */
  readonly key: { readonly input: number; readonly rule: KeyRule } | null;
  /** Most bytes that an inflated payload may have. */
  readonly most: number;
  /** Stored runs of the result with their checksums, by position. */
  readonly records: readonly StoredRecord[];
  /** Take the MD5 of the output as well? */
  readonly md5: boolean;
  /** Bytes that it reads and writes, as far as they are known before. */
  readonly traffic: { readonly read: number; readonly write: number };
  /** Where the result goes; null if it is only digested. */
  readonly output: { readonly shard: number } | null;
}

/** The payload of one tensor in one step of a chain: what changes it, compressed. */
export interface PayloadJob {
  readonly kind: "payload";
  readonly id: number;
  /** Of the tensor. */
  readonly name: string;
  /** Its bytes, and those of one element. Without a base what is overwritten does not tell them: then it is the most that there can be. */
  readonly bytes: number;
  readonly width: number;
  /** What it is before the step; null where the steps tell without it: all of them XOR, or all of them overwrite. */
  readonly base: StoredOperand | null;
  /** What it is after the step; null where steps lead there. */
  readonly tuned: StoredOperand | null;
  readonly steps: readonly UpdateStep[];
  readonly encoding: UpdateEncoding;
  /** The most bytes that can change, of "overwrite". */
  readonly most: number;
  /** Checksums to take of what it is before and after the step. Only with `base`: without it the bytes are not known. */
  readonly baseSums: readonly ChecksumName[];
  readonly sums: readonly ChecksumName[];
  /** Room for the most that it can take, and behind it for what is set aside on the way (formats/update.ts). */
  readonly output: { readonly shard: number; readonly range: ByteRange };
}

/** Some rows of a matrix by the inputs of a step's tokens; who runs the jobs brings the inputs and takes the products (exchange.ts). */
export interface ProductJob {
  readonly kind: "product";
  /** Counted on over all passes. */
  readonly id: number;
  /** Of the matrix. */
  readonly name: string;
  /** rows x columns; F32, F16 or BF16. */
  readonly source: StoredOperand;
  /** Rows [begin, end) of it. */
  readonly rows: { readonly begin: number; readonly end: number };
  /** Steps are counted on over all passes. The inputs are there once the exchange has come to it. */
  readonly step: number;
  /** Where among the products of a token that of row 0 belongs, and how many products a token has: both in values. */
  readonly first: number;
  readonly stride: number;
  /** Also count what is not finite. */
  readonly count: boolean;
}

/** A job whose length is known, so that its windows are. */
export type WindowedJob = TensorJob | DigestJob | CompareJob | ProductJob;

export type Job = TensorJob | DigestJob | CompareJob | FileJob | PayloadJob | ProductJob;

/** Is it a part of the output, and not only read? */
export function isMade(job: Job): job is TensorJob | FileJob | PayloadJob {
  return job.kind === "tensor" || job.kind === "file" || job.kind === "payload";
}
