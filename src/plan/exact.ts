/**
 * The exact encoding of make-diff: each tensor of the tuned model as the difference of bit patterns to the base, modulo 2^n,
 * stored as unsigned integers of its width. What each tensor was, and by which rule it was stored, stands in the metadata
 * of its file, so that recover knows by itself.
 */

import type { Checkpoint, StoredTensor } from "../checkpoint/checkpoint.js";
import { WeightDiffError } from "../errors.js";
import { type Dtype, dtypeBits, isDtype, isFloatDtype } from "../formats/dtype.js";
import { parseJson } from "../formats/json.js";
import { quote } from "../formats/quote.js";

/** Metadata key that marks every file of a diff made by make-diff; its value is the encoding. */
export const ENCODING_KEY = "weight_diff";
const TENSORS_KEY = "weight_diff_tensors";

export type Encoding = "additive" | "exact";
export const ENCODINGS = ["additive", "exact"] as const;

/** How one tensor of an exact diff is stored. */
export interface ExactTensor {
  /** Of the tuned model. */
  readonly dtype: Dtype;
  /** "bits": tuned - base; "verbatim": the tuned bytes themselves. */
  readonly rule: "bits" | "verbatim";
}

export type ExactRecord = ReadonlyMap<string, ExactTensor>;

const UNSIGNED: Readonly<Record<number, Dtype>> = { 8: "U8", 16: "U16", 32: "U32", 64: "U64" };

/** The dtype that holds bit patterns of `dtype`; undefined for the packed ones. */
export function unsignedOf(dtype: Dtype): Dtype | undefined {
  return UNSIGNED[dtypeBits(dtype)];
}

/** Can the base be brought to the tuned dtype? By way of F32 only: F64 and integers stay among themselves. */
export function isConvertible(raw: Dtype, tuned: Dtype): boolean {
  return raw === tuned || (isFloatDtype(raw) && isFloatDtype(tuned) && tuned !== "F64");
}

/**
 * Metadata of a file that holds the given tensors of a diff.
 * @param tensors of an exact diff, every one; of an additive one, those that are no differences.
 */
export function diffMetadata(encoding: Encoding, tensors: ExactRecord): ReadonlyMap<string, string> {
  const metadata = new Map([
    ["format", "pt"],
    [ENCODING_KEY, encoding],
  ]);
  if (encoding === "exact" || tensors.size > 0) {
    metadata.set(TENSORS_KEY, JSON.stringify([...tensors].map(([name, { dtype, rule }]) => [name, dtype, rule])));
  }
  return metadata;
}

/** The encoding that the files of a checkpoint are marked with; null without a mark. @throws {WeightDiffError} FORMAT_INVALID for an unknown one, or two. */
export function encodingOf(checkpoint: Checkpoint): Encoding | null {
  const marks = new Set(checkpoint.shards.map(({ header }) => header.metadata.get(ENCODING_KEY) ?? null));
  const [mark = null] = marks;
  if (mark === null && marks.size <= 1) {
    return null;
  }
  const encoding = ENCODINGS.find((name) => name === mark);
  if (encoding === undefined || marks.size > 1) {
    throw new WeightDiffError(
      "FORMAT_INVALID",
      `its files are marked as diffs of ${[...marks].map((name) => (name === null ? "no encoding" : quote(name))).join(" and ")}`,
      "get all files from one upload; a newer encoding wants a newer weight-diff",
      { at: { file: checkpoint.path } },
    );
  }
  return encoding;
}

/** What the metadata of all files says of each tensor of an exact diff. @throws {WeightDiffError} FORMAT_INVALID where it is not what make-diff writes. */
export function readExactRecord(checkpoint: Checkpoint): ExactRecord {
  return readTensors(checkpoint, "");
}

/**
 * The tensors of a marked diff that are the tuned model's own, and no differences; none without a mark.
 * @throws {WeightDiffError} FORMAT_INVALID.
 */
export function readOwnTensors(checkpoint: Checkpoint): ReadonlySet<string> {
  const encoding = encodingOf(checkpoint);
  const record = encoding === null ? [] : readTensors(checkpoint, encoding === "exact" ? "" : "[]");
  const own = [...record].flatMap(([name, { dtype, rule }]) =>
    rule === "verbatim" && checkpoint.stateDict.get(name)?.dtype === dtype ? [name] : [],
  );
  return new Set(own);
}

function readTensors(checkpoint: Checkpoint, absent: string): ExactRecord {
  const record = new Map<string, ExactTensor>();
  for (const { path, header } of checkpoint.shards) {
    const list = parseJson(header.metadata.get(TENSORS_KEY) ?? absent, `${path}: metadata ${TENSORS_KEY}`);
    for (const entry of Array.isArray(list) ? list : [null]) {
      const [name, dtype, rule] = Array.isArray(entry) ? entry : [];
      if (
        typeof name !== "string" ||
        typeof dtype !== "string" ||
        !isDtype(dtype) ||
        (rule !== "bits" && rule !== "verbatim")
      ) {
        throw new WeightDiffError(
          "FORMAT_INVALID",
          `metadata ${TENSORS_KEY} is not what make-diff writes`,
          "get the file again",
          { at: { file: path } },
        );
      }
      record.set(name, { dtype, rule });
    }
  }
  return record;
}

/** Does the stored tensor have the dtype that its rule says? */
export function isStoredAs(tensor: StoredTensor, exact: ExactTensor): boolean {
  return tensor.dtype === (exact.rule === "bits" ? unsignedOf(exact.dtype) : exact.dtype);
}
