/** verify's look at the naive sum: which number is expected, what the values give, and why they differ (EXACTNESS 5, FIELD 5). */
import type { Checkpoint } from "./checkpoint/checkpoint.js";
import type { ModelConfig } from "./checkpoint/config.js";
import type { Reading } from "./digest.js";
import type { Report } from "./finding.js";
import type { Identity } from "./identify.js";
import { type KnownSum, sumOfRepo } from "./known-sums.js";
import { computedInvFreq, judgeSum, type NaiveSums, naiveSums, type SumVerdict } from "./naive-sum.js";
import { INV_FREQ } from "./pair.js";

export type ExpectedSum = Pick<KnownSum, "value" | "tolerance"> & Partial<KnownSum>;

export interface SumCheck extends SumVerdict {
  /** Name of the published sum, and where it was published; null for a number of the user's. */
  readonly known: string | null;
  readonly source: string | null;
}

/** The sum to hold the model against: the user's number, the one named, or the one published for this place. */
export function expectedSum(number: number | null, named: KnownSum | null, checkpoint: Checkpoint): ExpectedSum | null {
  return number === null ? (named ?? sumOfRepo(checkpoint)) : { value: number, tolerance: 1e-2 };
}

/** Of the values as they are stored. */
export function sumsOf(checkpoint: Checkpoint, config: ModelConfig | null, reading: Reading): NaiveSums {
  const names = [...checkpoint.stateDict.keys()];
  const stored = names.find((name) => INV_FREQ.test(name));
  const length = stored === undefined ? undefined : checkpoint.stateDict.get(stored)?.shape[0];
  const sums = new Map([...reading.tensors].map(([name, { sum }]) => [name, sum]));
  return naiveSums(sums, computedInvFreq(names, length, config));
}

/** Says how the sum compares. Null if none was expected, or it cannot be told from a diff alone. */
export function checkSum(
  wanted: ExpectedSum | null,
  sums: NaiveSums | null,
  identity: Identity,
  checkpoint: Checkpoint,
  report: Report,
): SumCheck | null {
  if (wanted === null) {
    return null;
  }
  if (sums === null) {
    identity.kind === "diff" &&
      report("note", `the sum ${wanted.value} is that of the recovered model: give --path_raw to compute it`);
    return null;
  }
  const names = [...checkpoint.stateDict.keys()];
  const layers = computedInvFreq(names, 2, null)?.layers ?? 0;
  const verdict = judgeSum(wanted.value, sums, layers, wanted.tolerance);
  const halves = [...checkpoint.stateDict.values()].some(({ dtype }) => dtype === "F16" || dtype === "BF16");
  const rounded =
    halves && identity.kind !== "diff" ? "; the weights are stored in 16 bits, the sum was published for float32" : "";
  const text = `the sum of all weights is ${sumText(verdict.found)}, expected ${wanted.value}: ${verdict.reason}`;
  report(verdict.verdict === "fail" ? "error" : "note", verdict.verdict === "fail" ? text + rounded : text);
  return { ...verdict, known: wanted.name ?? null, source: wanted.source ?? null };
}

/** As many digits as an F32 has. */
function sumText(sum: number): string {
  return Number.isFinite(sum) ? String(Number(sum.toPrecision(9))) : String(sum);
}
