/** How verify checks the naive sum: the expected number, the number that the values give, and why the two differ (docs/arithmetic.md 7). */
import type { Checkpoint } from "../checkpoint/checkpoint.js";
import type { ModelConfig } from "../checkpoint/config.js";
import type { Identity } from "../evidence/identify.js";
import type { AddFinding } from "../finding.js";
import { printable } from "../formats/quote.js";
import { isLanguageModel } from "../known/language-models.js";
import { type PublishedSum, publishedSum } from "../known/sums.js";
import { loadedSide, twinsOf } from "../plan/ties.js";
import type { Reading } from "../run/digest.js";
import {
  computedInvFreq,
  judgeSum,
  layerCount,
  type NaiveSums,
  naiveSums,
  rotaryLengths,
  type SumVerdict,
  withTwins,
} from "./naive.js";

export interface SumCheck extends SumVerdict {
  /** The name of the published sum, and where it was published. Null for a number that the user gave. */
  readonly known: string | null;
  readonly source: string | null;
}

/** The expected sum: the number that the user gave, the published sum that the user named, or the one published for this repository. */
export function expectedSum(
  number: number | null,
  named: PublishedSum | null,
  checkpoint: Checkpoint,
): PublishedSum | null {
  return number === null ? (named ?? publishedSum(checkpoint)) : { value: number };
}

/** The sums of a model, and the sum of each tensor by name. */
export interface ModelSums {
  readonly sums: NaiveSums;
  readonly byTensor: ReadonlyMap<string, number>;
}

/** The sums of the stored values. */
export function sumsOf(checkpoint: Checkpoint, config: ModelConfig | null, reading: Reading): ModelSums {
  const { stateDict } = checkpoint;
  const byTensor = new Map([...reading.tensors].map(([name, { sum }]) => [name, sum]));
  const buffers = computedInvFreq(stateDict.keys(), rotaryLengths(stateDict), config);
  const languageModel = isLanguageModel(config?.modelType ?? null, config?.architecture ?? null);
  const twins = twinsOf(loadedSide(checkpoint, { tied: config?.tied ?? null, languageModel }, "models"));
  return { sums: naiveSums(withTwins(byTensor, twins), buffers), byTensor };
}

/** Compares the sum, and reports how. @returns null if no sum was expected, or if a diff alone cannot tell. */
export function checkSum(
  wanted: PublishedSum | null,
  found: ModelSums | null,
  identity: Identity,
  checkpoint: Checkpoint,
  report: AddFinding,
): SumCheck | null {
  if (wanted === null) {
    return null;
  }
  if (found === null) {
    identity.kind === "diff" &&
      report(
        "note",
        `the sum ${wanted.value} is that of the recovered model: give the base model as well to compute it`,
      );
    return null;
  }
  const verdict = judgeWanted(wanted, found, layerCount(checkpoint.stateDict.keys()));
  const halves = [...checkpoint.stateDict.values()].some(({ dtype }) => dtype === "F16" || dtype === "BF16");
  const rounded =
    halves && identity.kind !== "diff" && wanted.tensor === undefined
      ? "; the weights are stored in 16 bits, the sum was published for float32"
      : "";
  const what = wanted.tensor === undefined ? "all weights" : printable(wanted.tensor);
  const text = `the sum of ${what} is ${sumText(verdict.found)}, expected ${wanted.value}: ${verdict.reason}`;
  report(verdict.verdict === "fail" ? "error" : "note", verdict.verdict === "fail" ? text + rounded : text);
  return { ...verdict, known: wanted.name ?? null, source: wanted.source ?? null };
}

/** The verdict on the expected sum, which is the sum of all tensors or of one. @param layers the number of rotary buffers. */
export function judgeWanted(wanted: PublishedSum, { sums, byTensor }: ModelSums, layers: number): SumVerdict {
  const { value, tolerance, tensor } = wanted;
  if (tensor === undefined) {
    return judgeSum(value, sums, layers, tolerance);
  }
  const alone = byTensor.get(tensor) ?? Number.NaN;
  return judgeSum(value, { withInvFreq: alone, withoutInvFreq: alone }, 0, tolerance);
}

/** With nine significant digits, which distinguish any two F32 values. */
export function sumText(sum: number): string {
  return Number.isFinite(sum) ? String(Number(sum.toPrecision(9))) : String(sum);
}
