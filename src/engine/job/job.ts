/**
 * The messages that workers get: small plain data that can be cloned. A job names a file by its index in the plan's list of inputs, and bytes by
 * their position in the file. It never holds the bytes of a tensor.
 */
import type { ChecksumName } from "../../formats/checksum.js";
import type { Dtype } from "../../formats/dtype.js";
import type { Piece } from "../../formats/pieces.js";
import type { ByteRange, Shape, StoredRecord } from "../../formats/tensor-info.js";
import type { PositionList, StepCompression, StepEncoding, UpdateEncoding } from "../../formats/update.js";
import type { KeyRule } from "../../formats/xor-key.js";

/** A tensor as it is stored in one or several input files. */
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
  /** Only if the tensor is stored in pieces, or its rows in another order. `input` and `range` are those of the first piece. */
  readonly pieces?: readonly OperandPiece[];
  readonly bigEndian?: true;
  /** The CRC-32 that the bytes of `range` must have. Absent if the record states none, or if another job checks it. */
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

/** A tensor that is stored as coded windows (docs/formats.md 3). Dtype and shape are those of the decoded tensor. */
export interface CodedOperand extends Pick<StoredOperand, "input" | "name" | "dtype" | "shape" | "range"> {
  readonly kind: "coded";
}

export type Operand = StoredOperand | InvFreqOperand | CodedOperand;

/** How an output tensor is computed from its start and its terms. */
export type Rule =
  /** All are widened to F32, the terms are added one after the other, and the last sum is rounded to the output dtype. */
  | "add"
  /** All are widened to F32, and the terms are subtracted one after the other. The output is F32. */
  | "subtract"
  /** Integers of one width are added or subtracted modulo 2^bits. */
  | "add-integers"
  | "subtract-integers"
  /** Boolean or. */
  | "or"
  /** The output is the start's bytes. Terms are only digested. */
  | "copy"
  /** The start is widened to F32 and rounded once to the output dtype. There are no terms. */
  | "convert"
  /** The term is converted to the tuned dtype. Then bit patterns are added or subtracted modulo 2^bits. Elements that the term lacks stay as they are. */
  | "add-bits"
  | "subtract-bits"
  /** The start becomes coded windows: given the term, which is converted to the tuned dtype; or alone, and then the term is only digested. */
  | "encode-bits"
  | "encode-alone"
  /** The same in reverse: coded windows are decoded. */
  | "decode-bits"
  | "decode-alone"
  /** Floats of any dtype, as `blend` says: operands are rounded first, and each sum is rounded again. */
  | "blend"
  /** The output is the start's bytes, which the updates change one after the other. */
  | "update";

/** A dtype in which floats are computed. */
export type ComputeDtype = "F32" | "F16" | "BF16";

/** The change that one step of a chain makes to a tensor: compressed bytes in an input (formats/update.ts). */
export interface UpdateStep {
  /** Index into the plan's inputs. */
  readonly input: number;
  readonly range: ByteRange;
  /** The version of the chain, for messages: "000004". */
  readonly version: string;
  readonly encoding: StepEncoding;
  readonly compression: StepCompression;
  /** Only for the encoding "elements": where the new elements are. */
  readonly values?: { readonly input: number; readonly range: ByteRange };
  readonly positions?: PositionList;
  /** Only for "exact-compressed": the tensor that its windows decode to. */
  readonly coded?: { readonly dtype: Dtype; readonly shape: Shape };
}

/** The steps that change a tensor, and the checksums that are taken of the result. */
export interface Updates {
  /** The bytes of all payloads together. */
  readonly bytes: number;
  /** Has any step the encoding "exact-compressed"? */
  readonly coded: boolean;
  /** A plan makes this list anew whenever somebody asks: a mixture of experts in 64 steps has two million of them. It is cloned for the worker that takes the job. */
  readonly steps: readonly UpdateStep[];
  /** Checksums of all bytes after the first `after` steps. */
  readonly sums: readonly { readonly after: number; readonly algorithm: ChecksumName }[];
  /** Only these checksums are wanted, so the result has no sha256. */
  readonly sumsOnly?: true;
  /** Also take one sha256 over the bytes of all such jobs, one after the other. They must run in order and in one thread. */
  readonly joined?: true;
}

/** What a script does to one tensor if its arithmetic is not plain F32, or if it treats new rows in its own way. */
export interface Blend {
  readonly operation: "add" | "subtract";
  /** Both operands are first converted to this dtype, as by `from_pretrained(torch_dtype=…)`. F32 leaves every value as it is. */
  readonly operands: ComputeDtype;
  /** Each sum is computed in F32 and rounded once to this dtype. The last one is then rounded to the output's dtype. */
  readonly result: ComputeDtype;
  /** What stands for the elements of the output that an operand lacks: its mean row, +0, or nothing. With nothing, the other operand's element stays as it is. */
  readonly rows: "mean" | "zero" | "verbatim";
}

/** An operand of a sum. If it has fewer rows than the output, or in a blend fewer columns, it is the output's top left block. */
export interface Term {
  readonly operand: Operand;
  /** The rows, of `columns` elements, whose mean stands for the rows that the operand lacks. Null if it lacks none, or if no mean is wanted. */
  readonly mean: { readonly rows: number; readonly columns: number } | null;
}

export interface TensorJob {
  readonly kind: "tensor";
  /** Index in the plan's list of jobs. */
  readonly id: number;
  readonly name: string;
  readonly rule: Rule;
  /** Dtype and shape of the output; of a coded one, those of the tensor before it is coded. */
  readonly dtype: Dtype;
  readonly shape: Shape;
  /** The operand that the script changes in place. Of two NaNs the term's stays (torch's in-place add). */
  readonly start: Term;
  /**
   * The terms, in this order. There are none if the rule is "convert", or if a blend only converts. A script that finds a tied matrix under two
   * names adds to it twice.
   */
  readonly terms: readonly Term[];
  /** Only for the rule "blend". */
  readonly blend?: Blend;
  /** The output's dtype must hold every value (kernel/fits.ts). The first block with another value ends the run. */
  readonly mustFit?: true;
  /** Only for the rule "update". */
  readonly updates?: Updates;
  /** For make-diff: digest the start and the first term, apply the diff again at once, and count the elements that do not come back. */
  readonly prove: boolean;
  /**
   * Measure how far the output lies from the base. `base` is the operand that is the base: 0 for the start, 1 and up for the terms, null if there is
   * none. "zero": the output is itself a difference, so zeros stand for the base.
   */
  readonly measure?: {
    readonly base: number | "zero" | null;
    /** Is it an embedding? Then its rows are told, too. */
    readonly rows: boolean;
  };
  /** Where the result goes; null if it is only summed and digested. For coded windows it is room for the most bytes that they can take. */
  readonly output: { readonly shard: number; readonly range: ByteRange } | null;
}

/** Bytes that are only read and digested: a record that no tensor covers in one piece, or a tensor that is shown or verified. */
export interface DigestJob {
  readonly kind: "digest";
  readonly id: number;
  /** For messages. */
  readonly name: string;
  readonly source: StoredOperand;
  /** Only the checksum is wanted, so the result has no sha256. */
  readonly checksumOnly?: true;
  /** Also count NaN, infinities and zeros. Only for float tensors. */
  readonly count?: true;
  /** Also take the F32 sum. Only for float and integer tensors. */
  readonly sum?: true;
  /** A checksum that does not fit is reported in the result, and does not end the run. */
  readonly lenient?: true;
}

/** Two tensors with the same shape that are only read and compared. */
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
  /** Is the payload inflated first, or the result deflated? */
  readonly gzip: "inflate" | "deflate" | null;
  /** Null if the file is copied. */
  readonly key: { readonly input: number; readonly rule: KeyRule } | null;
  /** The most bytes that an inflated payload may have. */
  readonly most: number;
  /** Stored runs of the result with their checksums, by position. */
  readonly records: readonly StoredRecord[];
  /** Take the MD5 of the output as well? */
  readonly md5: boolean;
  /** How many bytes it reads and writes, as far as that is known before the run. */
  readonly traffic: { readonly read: number; readonly write: number };
  /** Where the result goes; null if it is only digested. */
  readonly output: { readonly shard: number } | null;
}

/** The payload of one tensor in one step of a chain: its compressed change. */
export interface PayloadJob {
  readonly kind: "payload";
  readonly id: number;
  /** The tensor's name. */
  readonly name: string;
  /** The tensor's length and the width of an element, in bytes. Without a base, overwrites do not tell the length: then it is the most that there can be. */
  readonly bytes: number;
  readonly width: number;
  /** The tensor before the step. Null if it is not needed: all steps XOR, or all steps overwrite. */
  readonly base: StoredOperand | null;
  /** The tensor after the step. Null if `steps` lead there. */
  readonly tuned: StoredOperand | null;
  readonly steps: readonly UpdateStep[];
  readonly encoding: UpdateEncoding;
  /** Only for "overwrite": the most bytes that can change. */
  readonly most: number;
  /** Checksums to take of the tensor before and after the step. Only with `base`, since the bytes are not known without it. */
  readonly baseSums: readonly ChecksumName[];
  readonly sums: readonly ChecksumName[];
  /** Room for the most bytes that the payload can take, followed by room for what is set aside meanwhile (formats/update.ts). */
  readonly output: { readonly shard: number; readonly range: ByteRange };
}

/** The products of some rows of a matrix with the inputs of a step's tokens. The thread that runs the jobs provides the inputs and takes the products (exchange.ts). */
export interface ProductJob {
  readonly kind: "product";
  /** Numbered through all passes. */
  readonly id: number;
  /** The matrix's name. */
  readonly name: string;
  /** rows x columns; F32, F16 or BF16. */
  readonly source: StoredOperand;
  /** Rows [begin, end) of the matrix. */
  readonly rows: { readonly begin: number; readonly end: number };
  /** Steps are numbered through all passes. The inputs are there once the exchange has reached this step. */
  readonly step: number;
  /** The index of row 0's product among the products of a token, and how many products a token has. Both count values. */
  readonly first: number;
  readonly stride: number;
  /** Also count values that are not finite. */
  readonly count: boolean;
}

/** A job whose length is known, so its windows are known, too. */
export type WindowedJob = TensorJob | DigestJob | CompareJob | ProductJob;

export type Job = TensorJob | DigestJob | CompareJob | FileJob | PayloadJob | ProductJob;

/** Does the job make a part of the output? Other jobs only read. */
export function isMade(job: Job): job is TensorJob | FileJob | PayloadJob {
  return job.kind === "tensor" || job.kind === "file" || job.kind === "payload";
}
