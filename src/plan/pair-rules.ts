/** The rule that combines a tensor of the driver with raw's, for each operation: the arithmetic of the schemes as data. */
import type { Checkpoint, StoredTensor } from "../checkpoint/checkpoint.js";
import type { ComputeDtype } from "../engine/job/job.js";
import { isConvertible } from "../engine/job/operand.js";
import { type Dtype, isFloatDtype } from "../formats/dtype.js";
import { EMBEDDING, isVocabularyBias } from "../known/embeddings.js";
import { fateOfDiffOnly, isSummed, type NewRows, type Scheme } from "../scheme/axes.js";
import { type AdditiveRecord, type ExactRecord, isStoredAs, ownTensors, unsignedOf } from "./exact.js";
import { hasZeroBias } from "./new-rows.js";
import { type Decision, INV_FREQ, type NameRules, type PairingOptions } from "./pair.js";

type Decide = PairingOptions["decide"];

/** The dtype in which to write a float tensor; null for the dtype that the script saves. */
type Wanted = (name: string) => ComputeDtype | null;

const isInteger = (dtype: string): boolean => /^[IU]\d+$/.test(dtype);

interface Precision {
  readonly operands: ComputeDtype;
  /** The dtype of the result; null if no arithmetic is possible. */
  readonly result: Dtype;
  /** The dtype of the output. */
  readonly output: Dtype;
}

/**
 * The dtypes in which a float tensor is computed and saved.
 * @param stored the dtype of the sum under "stored", by files and script. Rotary buffers are rounded like other tensors while a model is
 * loaded, and then stay F32 (transformers 4.28, accelerate 0.20).
 */
function precisionOf(scheme: Scheme, name: string, stored: Dtype, dtype: ComputeDtype | null): Precision {
  const { arithmetic, output } = scheme;
  if (arithmetic === "stored") {
    return { operands: "F32", result: stored, output: dtype ?? (output === "stored" ? stored : output) };
  }
  const buffer = INV_FREQ.test(name);
  const saved = buffer || output === "stored" ? "F32" : output;
  return { operands: arithmetic, result: buffer ? "F32" : arithmetic, output: dtype ?? saved };
}

/** A tensor without a counterpart. Its bytes are copied if they have the wanted dtype; else its values are converted. */
function kept(scheme: Scheme, name: string, { dtype }: StoredTensor, wanted: ComputeDtype | null): Decision {
  const { operands, result, output } = precisionOf(scheme, name, dtype, wanted);
  if (!isFloatDtype(dtype) || (dtype === result && dtype === output && (operands === "F32" || operands === dtype))) {
    return { rule: "copy", dtype };
  }
  const rounded = isCompute(result) ? result : "F32";
  return {
    rule: "blend",
    dtype: output,
    blend: { operation: "add", operands, result: rounded, rows: "verbatim" },
  };
}

/** recover: the rule of the scheme's script, in the script's dtypes. @param rows what to do with rows that only the diff has. */
function decideByScheme(scheme: Scheme, wanted: Wanted, rows: NewRows | "verbatim"): Decide {
  return (name, diff, raw) => {
    if (!isSummed(scheme, name)) {
      return kept(scheme, name, diff, wanted(name));
    }
    if (raw === null || (diff.dtype !== raw.dtype && !(isFloatDtype(diff.dtype) && isFloatDtype(raw.dtype)))) {
      return null;
    }
    const operation = scheme.operation === "subtract" ? "subtract" : "add";
    if (!isFloatDtype(diff.dtype)) {
      return diff.dtype === "BOOL"
        ? { rule: "or", dtype: "BOOL" }
        : isInteger(diff.dtype)
          ? { rule: `${operation}-integers`, dtype: diff.dtype }
          : null;
    }
    const target = (EMBEDDING.test(name) ? scheme.embeddingsInto : undefined) ?? scheme.into;
    const stored = scheme.rounds ?? sumDtype(diff.dtype, raw.dtype, target);
    const { operands, result, output } = precisionOf(scheme, name, stored, wanted(name));
    if (!isCompute(result)) {
      return null;
    }
    const same = diff.shape.join() === raw.shape.join();
    const zeros = isVocabularyBias(name, diff.shape) && !same && hasZeroBias(rows);
    const others = zeros ? "zero" : rows === "mean" || rows === "zero" ? rows : "verbatim";
    // Rows that raw lacks stay the diff's if nothing stands in for them. So the sum must be made in the diff's tensor.
    const intoRaw = target === "raw" && (same || others !== "verbatim");
    if (operation === "add" && operands === "F32" && result === "F32" && !intoRaw && (others === "mean" || same)) {
      return { rule: "add", dtype: output };
    }
    const blend = { operation, operands, result, rows: others } as const;
    return { rule: "blend", dtype: output, blend, ...(intoRaw ? { intoRaw } : {}) };
  };
}

/** recover: how the script of the scheme pairs names, and how it treats tensors that only one side has. */
export function namesByScheme(scheme: Scheme, wanted: Wanted, diffNames: Iterable<string>): NameRules {
  const { prefix } = scheme;
  const names = [...diffNames];
  const used = prefix !== null && (prefix.when === "always" || names.some((name) => name.startsWith(prefix.text)));
  const text = used ? prefix.text : "";
  return {
    rawName: (name) => (name.startsWith(text) ? name.slice(text.length) : null),
    prefix: text,
    isSummed: (name) => isSummed(scheme, name),
    order: scheme.driver,
    loading: scheme.loading,
    fate: (name) => fateOfDiffOnly(scheme, name),
    keep: (name, tensor) => kept(scheme, name, tensor, wanted(name)),
    baseOnly: scheme.baseOnly,
    anyShape: scheme.newRowsOf === "any",
    elseVerbatim: scheme.elseVerbatim?.unlessNewRows ?? null,
  };
}

/**
 * torch's dtype for the sum of two dtypes: the wider one. A sum in place is cast to the dtype of the target. With an F64 operand torch adds
 * in F64, whatever it casts the sum to: that is "F64" here, and has no arithmetic.
 */
function sumDtype(diff: Dtype, raw: Dtype, into: Scheme["into"]): Dtype {
  if (diff === "F64" || raw === "F64") {
    return "F64";
  }
  return into === "diff" ? diff : into === "raw" || diff === raw ? raw : "F32";
}

function isCompute(dtype: Dtype): dtype is ComputeDtype {
  return dtype === "F32" || dtype === "F16" || dtype === "BF16";
}

/** make-diff: the inverse of recover. Masks are stored unchanged, since "or" has no inverse. */
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

/**
 * make-diff with the encoding "exact": the difference of bit patterns if the base can be converted to the tuned dtype, else the tuned
 * bytes.
 */
export const decideBits: Decide = (_, tuned, raw) => {
  const unsigned = unsignedOf(tuned.dtype);
  return raw === null || unsigned === undefined || !isConvertible(raw.dtype, tuned.dtype)
    ? { rule: "copy", dtype: tuned.dtype }
    : { rule: "subtract-bits", dtype: unsigned };
};

/** make-diff --compress: coded with the base's values as context if the base can be converted to the tuned dtype, else without them. */
export const decideCoded: Decide = (_, tuned, raw) => ({
  rule: raw === null || !isConvertible(raw.dtype, tuned.dtype) ? "encode-alone" : "encode-bits",
  dtype: tuned.dtype,
});

/** recover: the rule that the metadata of the diff states. */
function decideExact(record: ExactRecord): Decide {
  return (name, diff, raw) => {
    const exact = record.get(name);
    if (diff.coded === true && exact?.rule === "verbatim") {
      return { rule: "decode-alone", dtype: exact.dtype };
    }
    if (diff.coded === true && exact !== undefined) {
      return raw !== null && isConvertible(raw.dtype, exact.dtype) ? { rule: "decode-bits", dtype: exact.dtype } : null;
    }
    if (exact === undefined || !isStoredAs(diff, exact)) {
      return null;
    }
    if (exact.rule === "verbatim") {
      return { rule: "copy", dtype: exact.dtype };
    }
    return raw !== null && isConvertible(raw.dtype, exact.dtype) ? { rule: "add-bits", dtype: exact.dtype } : null;
  };
}

export interface RecoverPairingOptions extends Pick<PairingOptions, "ropeTheta" | "rawTied" | "models"> {
  readonly scheme: Scheme;
  /** The dtype of the written float tensors; null for the script's own. */
  readonly dtype: ComputeDtype | null;
  /** Must the dtype hold every value? Rotary buffers, and tensors that only the diff has, then keep their own dtype. */
  readonly mustFit?: boolean;
  /** The user's rule, which overrides the scheme's. */
  readonly rows: NewRows | null;
  readonly diffTied: boolean | null;
  /** What the metadata of an exact diff says of its tensors; null for other diffs. */
  readonly exact?: ExactRecord | null;
  /** What the metadata of an additive diff says of its tensors; null if make-diff did not make it. */
  readonly record?: AdditiveRecord | null;
}

/** The options for pairing raw and diff under the scheme. */
export function recoverPairing(diff: Checkpoint, options: RecoverPairingOptions): PairingOptions {
  const { scheme, dtype, record = null, exact = null, mustFit = false } = options;
  const own = ownTensors(record);
  const met = [...(record ?? [])].flatMap(([name, tensor]) =>
    tensor.rule === "base" ? [[name, tensor.times] as const] : [],
  );
  const newRows = options.rows ?? scheme.newRows;
  const wanted: Wanted = (name) => (mustFit && INV_FREQ.test(name) ? null : dtype);
  const names = namesByScheme(scheme, wanted, diff.stateDict.keys());
  const decide = exact === null ? decideByScheme(scheme, wanted, newRows) : decideExact(exact);
  return {
    role: "diff",
    decide: (name, tensor, raw) =>
      own.has(name) ? ownTensor(tensor, mustFit ? null : dtype) : decide(name, tensor, raw),
    newRows,
    rowsAsked: options.rows !== null,
    maxNewRows: Number.POSITIVE_INFINITY,
    ropeTheta: options.ropeTheta,
    rawTied: options.rawTied,
    driverTied: options.diffTied,
    ...(options.models === undefined ? {} : { models: options.models }),
    ...(record === null ? {} : { met: new Map(met) }),
    names: { ...names, isSummed: (name) => !own.has(name) && names.isSummed(name) },
  };
}

/** A tensor of the tuned model, bit for bit, unless the user wants all floats in one dtype. */
function ownTensor({ dtype }: StoredTensor, wanted: ComputeDtype | null): Decision {
  return wanted === null || wanted === dtype || !isFloatDtype(dtype)
    ? { rule: "copy", dtype }
    : { rule: "convert", dtype: wanted };
}
