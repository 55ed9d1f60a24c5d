/** What recover gives back: the same shape for tensors that were computed and for whole files that were XORed. */

import type { Choice } from "../../evidence/choice.js";
import type { End, MakingReport } from "../../make/make.js";
import { plannedFiles } from "../../make/tensors.js";
import type { Plan } from "../../plan/plan.js";
import type { NaiveSums, SumVerdict } from "../../sums/naive.js";
import type { XorReport } from "../xor/recipe.js";

export interface RecoverReport extends MakingReport {
  readonly scheme: string;
  readonly schemeReason: string;
  /** Of the float tensors; null if each has that of the tuned model. */
  readonly dtype: "F32" | "F16" | "BF16" | null;
  /** "planned": a dry run. "verified": the output was complete already. */
  readonly outcome: "recovered" | "checked" | "planned" | "verified";
  readonly tensors: readonly {
    readonly name: string;
    readonly dtype: string;
    readonly shape: readonly number[];
    readonly sha256: string;
  }[];
  readonly sums: NaiveSums | null;
  /** The F32 sum of each tensor, inv_freq included; none where nothing was computed. */
  readonly tensorSums: ReadonlyMap<string, number>;
  readonly sumCheck: SumVerdict | null;
  /** Finite values that the output dtype cannot hold, by tensor. */
  readonly overflow: ReadonlyMap<string, number>;
  /** Only where whole files were XORed: there are no tensors then. */
  readonly xor?: XorReport;
}

const NOTHING_COMPUTED = {
  dtype: null,
  tensors: [],
  sums: null,
  tensorSums: new Map<string, number>(),
  sumCheck: null,
  overflow: new Map<string, number>(),
} as const;

/** The part that tells of no tensor. */
export function plannedReport(choice: Choice, plan: Plan, end: End<unknown>): RecoverReport {
  return {
    ...NOTHING_COMPUTED,
    ...plannedFiles(plan),
    ...end.figures,
    output: end.output,
    scheme: choice.scheme.name,
    schemeReason: choice.reason,
    dtype: plan.dtype,
    outcome: end.outcome === "made" ? "recovered" : end.outcome,
  };
}

/** Of whole files. */
export function filesReport(xor: XorReport): RecoverReport {
  const { bytesRead, bytesWritten, seconds, peakBytes, threads, resumed, scheme, schemeReason, output } = xor;
  return {
    ...NOTHING_COMPUTED,
    ...{ bytesRead, bytesWritten, seconds, peakBytes, threads, resumed, scheme, schemeReason, output },
    outcome: xor.outcome === "made" ? "recovered" : xor.outcome,
    files: xor.files.map(({ file, size }) => ({ file, size: size ?? 0 })),
    newRows: new Map(),
    records: { checked: xor.records, unchecked: 0 },
    xor,
  };
}
