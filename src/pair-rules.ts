/** By which rule a tensor of the driving state dict goes with raw's, in each operation: the arithmetic of the schemes as data. */
import { type ExactRecord, isConvertible, isStoredAs, unsignedOf } from "./exact.js";
import { isFloatDtype } from "./formats/dtype.js";
import type { PairingOptions } from "./pairing.js";

type Decide = PairingOptions["decide"];

const isInteger = (dtype: string): boolean => /^[IU]\d+$/.test(dtype);

/** recover: as torch's in-place add of the reference scripts. */
export function decideAdded(dtype: "F32" | "F16" | "BF16"): Decide {
  return (_, diff, raw) => {
    if (raw === null || (diff.dtype !== raw.dtype && !(isFloatDtype(diff.dtype) && isFloatDtype(raw.dtype)))) {
      return null;
    }
    if (isFloatDtype(diff.dtype)) {
      return { rule: "add", dtype };
    }
    return diff.dtype === "BOOL"
      ? { rule: "or", dtype: "BOOL" }
      : isInteger(diff.dtype)
        ? { rule: "add-integers", dtype: diff.dtype }
        : null;
  };
}

/** make-diff: its inverse. Masks are stored as they are: an "or" has none. */
export const decideSubtracted: Decide = (_, tuned, raw) => {
  if (raw === null || (tuned.dtype !== raw.dtype && !(isFloatDtype(tuned.dtype) && isFloatDtype(raw.dtype)))) {
    return null;
  }
  if (isFloatDtype(tuned.dtype)) {
    return { rule: "subtract", dtype: "F32" };
  }
  return tuned.dtype === "BOOL"
    ? { rule: "copy", dtype: "BOOL" }
    : isInteger(tuned.dtype)
      ? { rule: "subtract-integers", dtype: tuned.dtype }
      : null;
};

/** make-diff --encoding exact: bit patterns where the base can be brought to the tuned dtype, else the tuned bytes. */
export const decideBits: Decide = (_, tuned, raw) => {
  const unsigned = unsignedOf(tuned.dtype);
  return raw === null || unsigned === undefined || !isConvertible(raw.dtype, tuned.dtype)
    ? { rule: "copy", dtype: tuned.dtype }
    : { rule: "subtract-bits", dtype: unsigned };
};

/** recover: as the diff's own metadata says. */
export function decideExact(record: ExactRecord): Decide {
  return (name, diff, raw) => {
    const exact = record.get(name);
    if (exact === undefined || !isStoredAs(diff, exact)) {
      return null;
    }
    if (exact.rule === "verbatim") {
      return { rule: "copy", dtype: exact.dtype };
    }
    return raw !== null && isConvertible(raw.dtype, exact.dtype) ? { rule: "add-bits", dtype: exact.dtype } : null;
  };
}
