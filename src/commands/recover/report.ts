/** The report of `recover`: one type for computed tensors and for whole XORed files. */

import type { SchemeChoice } from "../../evidence/scheme/choice.js";
import type { End, MakingReport } from "../../make/recipe.js";
import { dividedWork, plannedFiles } from "../../make/tensors.js";
import type { Plan } from "../../plan/plan.js";
import type { NaiveSums, SumVerdict } from "../../sums/naive.js";
import type { ChainMaterializeReport, ChainSummary } from "../chain/report.js";
import type { XorReport } from "../xor/recipe.js";

export interface RecoverReport extends MakingReport {
  /** The scheme's name, as `weight-diff schemes` lists it, and the reason for the choice in words. */
  readonly scheme: string;
  readonly schemeReason: string;
  /** The dtype of the float tensors; null if they have several. */
  readonly dtype: "F32" | "F16" | "BF16" | null;
  /** "checked": nothing was to be written. "planned": a dry run. "verified": the output was already complete. "part": one part of it. */
  readonly outcome: "recovered" | "checked" | "planned" | "verified" | "part";
  /** Every tensor of the output, in the order of its state dict, with the sha256 (hex) of its contiguous little-endian bytes. */
  readonly tensors: readonly {
    readonly name: string;
    readonly dtype: string;
    readonly shape: readonly number[];
    readonly sha256: string;
  }[];
  /** The naive sums of the result (docs/arithmetic.md 7); null if nothing was computed. */
  readonly sums: NaiveSums | null;
  /** The F32 sum of each tensor by name, inv_freq included; empty if nothing was computed. */
  readonly tensorSums: ReadonlyMap<string, number>;
  /** How the sum compares with the expected one; null if none was expected. */
  readonly sumCheck: SumVerdict | null;
  /** How many finite values of a tensor become infinite in the output dtype. Lists only tensors that have such values. */
  readonly overflow: ReadonlyMap<string, number>;
  /** Only if whole files were XORed. There are no tensors then. */
  readonly xor?: XorReport;
  /** Only if the diff is a chain of updates. */
  readonly chain?: ChainSummary;
}

const NOTHING_COMPUTED = {
  dtype: null,
  tensors: [],
  sums: null,
  tensorSums: new Map<string, number>(),
  sumCheck: null,
  overflow: new Map<string, number>(),
} as const;

/** The report of a run that computed nothing. */
export function plannedReport(choice: SchemeChoice, plan: Plan, end: End<unknown>): RecoverReport {
  return {
    ...NOTHING_COMPUTED,
    ...plannedFiles(plan),
    ...dividedWork(end),
    ...end.figures,
    output: end.output,
    scheme: choice.scheme.name,
    schemeReason: choice.reason,
    dtype: plan.dtype,
    outcome: end.outcome === "made" ? "recovered" : end.outcome,
  };
}

/** The report of a run that XORed whole files. */
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

/** The report of a version of a chain. */
export function chainReport({ chain, outcome, ...report }: ChainMaterializeReport): RecoverReport {
  return {
    ...NOTHING_COMPUTED,
    ...report,
    scheme: "chain",
    schemeReason: `a chain of updates in the layout of ${chain.layout}`,
    outcome: outcome === "materialized" ? "recovered" : outcome,
    newRows: new Map(),
    chain,
  };
}
