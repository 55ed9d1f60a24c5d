/**
 * The exact encoding of make-diff: each tensor of the tuned model as the difference of its bit patterns to the base's, modulo 2^n, stored
 * as unsigned integers of the same width. The metadata of each file states the dtype and the rule of every tensor, so recover needs no
 * option.
 */

import type { Checkpoint, StoredTensor } from "../checkpoint/checkpoint.js";
import { WeightDiffError } from "../errors.js";
import { type Dtype, dtypeBits, isDtype } from "../formats/dtype.js";
import { headerBudget, takeTensors } from "../formats/header-budget.js";
import { readValue } from "../formats/json.js";
import { JsonScanner } from "../formats/json-scanner.js";
import { quote } from "../formats/quote.js";

/** The metadata key that marks every file of a diff by make-diff. Its value is the encoding. */
export const ENCODING_KEY = "weight_diff";
const TENSORS_KEY = "weight_diff_tensors";
/** The most values in the entry of one tensor; five are in use. */
const MAX_VALUES = 100;

/** The encodings that a user may ask make-diff for. */
export const ENCODINGS = ["additive", "exact"] as const;
/** The encodings that mark files. "compressed" is exact with coded tensors (coded.ts). */
export type Encoding = (typeof ENCODINGS)[number] | "compressed";
const MARKS = [...ENCODINGS, "compressed"] as const;

/** How one tensor of an exact diff is stored. */
export interface ExactTensor {
  /** The dtype in the tuned model. */
  readonly dtype: Dtype;
  /** "bits": tuned - base. "verbatim": the bytes of the tuned tensor. */
  readonly rule: "bits" | "verbatim";
}

export type ExactRecord = ReadonlyMap<string, ExactTensor>;

/** A tensor of an additive diff that is not simply the tuned one minus the base's. */
export type AdditiveTensor =
  /** The bytes of the tuned tensor, in its dtype. */
  | { readonly dtype: Dtype; readonly rule: "verbatim" }
  /**
   * The base is subtracted `times` times. For an embedding, `rows` is how many of the base's rows are subtracted (null: all), and the mean
   * of those for the remaining rows.
   */
  | { readonly dtype: Dtype; readonly rule: "base"; readonly times: number; readonly rows: number | null };

export type AdditiveRecord = ReadonlyMap<string, AdditiveTensor>;

const UNSIGNED: Readonly<Record<number, Dtype>> = { 8: "U8", 16: "U16", 32: "U32", 64: "U64" };

/** The unsigned dtype of the same width; undefined for packed dtypes. */
export function unsignedOf(dtype: Dtype): Dtype | undefined {
  return UNSIGNED[dtypeBits(dtype)];
}

/**
 * Metadata of a file that holds these tensors of a diff.
 * @param tensors for an exact diff every tensor; for an additive one those that are not plain differences.
 */
export function diffMetadata(
  encoding: (typeof ENCODINGS)[number],
  tensors: ExactRecord | AdditiveRecord,
): ReadonlyMap<string, string> {
  const metadata = new Map([
    ["format", "pt"],
    [ENCODING_KEY, encoding],
  ]);
  if (encoding === "exact" || tensors.size > 0) {
    const entries = [...tensors].map(([name, tensor]) => [
      name,
      tensor.dtype,
      tensor.rule,
      ...(tensor.rule === "base" ? [tensor.times, tensor.rows] : []),
    ]);
    metadata.set(TENSORS_KEY, JSON.stringify(entries));
  }
  return metadata;
}

/**
 * The encoding that marks the files of a checkpoint; null without a mark.
 * @throws {WeightDiffError} FORMAT_INVALID for an unknown mark, or for two different ones.
 */
export function encodingOf(checkpoint: Checkpoint): Encoding | null {
  const marks = new Set(checkpoint.shards.map(({ header }) => header.metadata.get(ENCODING_KEY) ?? null));
  const [mark = null] = marks;
  if (mark === null && marks.size <= 1) {
    return null;
  }
  const encoding = MARKS.find((name) => name === mark);
  if (encoding === undefined || marks.size > 1) {
    throw new WeightDiffError(
      "FORMAT_INVALID",
      `its files are marked as diffs of ${[...marks].map((name) => (name === null ? "no encoding" : quote(name))).join(" and ")}`,
      "get all files from one upload; a newer encoding needs a newer weight-diff",
      { at: { file: checkpoint.path } },
    );
  }
  return encoding;
}

/**
 * What the metadata of all files says of each tensor of an exact diff.
 * @throws {WeightDiffError} FORMAT_INVALID for anything that make-diff does not write.
 */
export function readExactRecord(checkpoint: Checkpoint): ExactRecord {
  return readRecord(checkpoint, TENSORS_KEY, "", ([name, dtype, rule]) =>
    typeof name === "string" && isDtype(dtype) && (rule === "bits" || rule === "verbatim")
      ? [name, { dtype, rule }]
      : null,
  );
}

/** The tensors of an additive diff that are not plain differences; null without a mark. @throws {WeightDiffError} FORMAT_INVALID. */
export function readAdditiveRecord(checkpoint: Checkpoint): AdditiveRecord | null {
  if (encodingOf(checkpoint) !== "additive") {
    return null;
  }
  const record = readRecord<AdditiveTensor>(checkpoint, TENSORS_KEY, "[]", ([name, dtype, rule, times, rows]) => {
    if (typeof name !== "string" || !isDtype(dtype)) {
      return null;
    }
    if (rule === "verbatim") {
      return [name, { dtype, rule }];
    }
    const known = rule === "base" && (times === 1 || times === 2) && (rows === null || isCount(rows));
    return known ? [name, { dtype, rule, times, rows }] : null;
  });
  // An entry whose tensor does not have the stated dtype was not written by make-diff.
  return new Map(
    [...record].filter(
      ([name, { rule, dtype }]) => rule !== "verbatim" || checkpoint.stateDict.get(name)?.dtype === dtype,
    ),
  );
}

/** Names of the tensors that are not differences. */
export function ownTensors(record: AdditiveRecord | null): ReadonlySet<string> {
  return new Set([...(record ?? [])].flatMap(([name, { rule }]) => (rule === "verbatim" ? [name] : [])));
}

/**
 * The tensors of a marked diff that are the tuned model's own and not differences; none without a mark.
 * @throws {WeightDiffError} FORMAT_INVALID.
 */
export function readOwnTensors(checkpoint: Checkpoint): ReadonlySet<string> {
  const encoding = encodingOf(checkpoint);
  if (encoding !== "exact") {
    // A compressed diff stores no tensor in the form that a model has.
    return ownTensors(encoding === "additive" ? readAdditiveRecord(checkpoint) : null);
  }
  const own = [...readExactRecord(checkpoint)].flatMap(([name, { dtype, rule }]) =>
    rule === "verbatim" && checkpoint.stateDict.get(name)?.dtype === dtype ? [name] : [],
  );
  return new Set(own);
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value > 0;
}

/**
 * What the files say of each tensor under a metadata key, file by file.
 * @param absent stands for a missing key.
 * @throws {WeightDiffError} FORMAT_INVALID for an entry that `read` does not understand.
 */
export function readRecord<T>(
  checkpoint: Checkpoint,
  key: string,
  absent: string,
  read: (entry: readonly unknown[]) => readonly [string, T] | null,
): ReadonlyMap<string, T> {
  const record = new Map<string, T>();
  const budget = headerBudget();
  for (const { path, header } of checkpoint.shards) {
    const where = `${path}: metadata ${key}`;
    const scanner = new JsonScanner(header.metadata.get(key) ?? absent, where);
    const add = (): void => {
      takeTensors(budget, 1, path);
      const entry = scanner.peek() === "[" ? readValue(scanner, where, MAX_VALUES) : null;
      const found = Array.isArray(entry) ? read(entry) : null;
      if (found === null) {
        throw notOurs(path, key);
      }
      record.set(...found);
    };
    if (scanner.peek() !== "[") {
      throw notOurs(path, key);
    }
    scanner.array(add);
    scanner.end();
  }
  return record;
}

function notOurs(path: string, key: string): WeightDiffError {
  return new WeightDiffError("FORMAT_INVALID", `metadata ${key} is not what make-diff writes`, "get the file again", {
    at: { file: path },
  });
}

/** Does the stored tensor have the dtype that its rule says? */
export function isStoredAs(tensor: StoredTensor, exact: ExactTensor): boolean {
  return tensor.dtype === (exact.rule === "bits" ? unsignedOf(exact.dtype) : exact.dtype);
}
