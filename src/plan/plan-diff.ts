/** Tuned - base -> diff, and what its metadata says of the tensors. */
import type { Checkpoint } from "../checkpoint/checkpoint.js";
import { EMBEDDING } from "../known/embeddings.js";
import { type AdditiveTensor, diffMetadata, type Encoding, type ExactTensor } from "./exact.js";
import type { Pair, PairingOptions } from "./pair.js";
import { decideBits, decideCoded, decideSubtracted } from "./pair-rules.js";
import { buildPlan, type LayoutOptions, type Plan } from "./plan.js";

/** A tokenizer gains a handful of special tokens. A tuned model with more new rows may have another vocabulary. */
const MAX_NEW_ROWS = 64;

export interface DiffPlanOptions extends LayoutOptions {
  readonly encoding: Encoding;
  readonly tunedTied: boolean | null;
  /** How many rows of the base's embeddings were kept (resize.ts); null if all. */
  readonly keptRows?: number | null;
}

/**
 * Plans tuned - base -> diff. An additive diff keeps a head that only the tuned model has; an exact one keeps any such tensor.
 * @throws {WeightDiffError} MISMATCH and LIMIT, as planRecover.
 */
export function planDiff(raw: Checkpoint, tuned: Checkpoint, options: DiffPlanOptions): Plan {
  const exact = options.encoding !== "additive";
  const compress = options.encoding === "compressed";
  const pairing: PairingOptions = {
    ...options,
    role: "tuned",
    decide: exact ? (compress ? decideCoded : decideBits) : decideSubtracted,
    newRows: options.rows ?? (exact ? "verbatim" : "mean"),
    rowsAsked: options.rows !== null,
    maxNewRows: options.rows !== null || exact ? Number.POSITIVE_INFINITY : MAX_NEW_ROWS,
    driverTied: options.tunedTied,
    keepsHeads: true,
  };
  return buildPlan(raw, tuned, pairing, {
    ...options,
    schemeName: exact ? "exact" : "open-instruct",
    dtype: exact ? null : "F32",
    metadata: (pairs) =>
      exact
        ? diffMetadata("exact", new Map(pairs.map(exactRecordOf)))
        : diffMetadata("additive", new Map(pairs.flatMap((pair) => additiveRecordOf(pair, options.keptRows ?? null)))),
    prove: true,
    compress,
  });
}

function exactRecordOf({ name, rule, driver: { dtype } }: Pair): readonly [string, ExactTensor] {
  return [name, { dtype, rule: rule === "copy" ? "verbatim" : "bits" }];
}

/** The metadata entries of an additive diff. Plain differences and masks need none. */
function additiveRecordOf(pair: Pair, keptRows: number | null): readonly (readonly [string, AdditiveTensor])[] {
  const { name, rule, raw, again = [], driver } = pair;
  const { dtype } = driver;
  if (rule === "copy") {
    return raw === null ? [[name, { dtype, rule: "verbatim" }]] : [];
  }
  const rows = EMBEDDING.test(name) ? keptRows : null;
  return again.length > 0 || rows !== null ? [[name, { dtype, rule: "base", times: 1 + again.length, rows }]] : [];
}
