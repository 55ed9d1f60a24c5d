/** Base + diff -> tuned. */
import type { Checkpoint } from "../checkpoint/checkpoint.js";
import type { ComputeDtype } from "../engine/job/job.js";
import type { Scheme } from "../scheme/axes.js";
import { refuseExpansion } from "./coded.js";
import { type AdditiveRecord, type ExactRecord, ownTensors } from "./exact.js";
import { recoverPairing } from "./pair-rules.js";
import { buildPlan, type LayoutOptions, type Plan } from "./plan.js";

export interface RecoverPlanOptions extends LayoutOptions {
  readonly scheme: Scheme;
  /** The dtype of the written float tensors; null for what the scheme's script saves. An exact diff states a dtype for each tensor. */
  readonly dtype: ComputeDtype | null;
  /**
   * Must the dtype hold every value that is rounded to it? Rotary buffers, and tensors that only the diff has, then keep their own dtype.
   */
  readonly mustFit?: boolean;
  readonly diffTied: boolean | null;
  /** What the metadata of an exact diff says of its tensors; null for an additive one. */
  readonly exact?: ExactRecord | null;
  /** What the metadata of an additive diff says of its tensors (exact.ts); null if make-diff did not make it. */
  readonly record?: AdditiveRecord | null;
}

/** Plans base + diff -> tuned. @throws {WeightDiffError} MISMATCH, listing every name and shape that does not fit; LIMIT. */
export function planRecover(raw: Checkpoint, diff: Checkpoint, options: RecoverPlanOptions): Plan {
  const plan = buildPlan(raw, diff, recoverPairing(diff, options), {
    ...options,
    own: ownTensors(options.record ?? null),
    schemeName: options.scheme.name,
    dtype: (options.exact ?? null) === null ? (options.dtype ?? "uniform") : null,
    metadata: () => new Map([["format", "pt"]]),
    prove: false,
    mustFit: options.mustFit === true,
  });
  refuseExpansion(plan.jobs, diff.path);
  return plan;
}
