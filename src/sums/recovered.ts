/**
 * How recover checks the naive sum of the recovered weights. The expected sum comes from the user, from a file beside the diff, or from the
 * list of published sums (docs/arithmetic.md 7).
 */
import type { Say } from "../advice.js";
import type { Checkpoint } from "../checkpoint/checkpoint.js";
import type { ModelConfig } from "../checkpoint/config.js";
import { printable } from "../formats/quote.js";
import { type PublishedSum, publishedSum } from "../known/sums.js";
import { INV_FREQ } from "../plan/pair.js";
import type { Plan } from "../plan/plan.js";
import type { RunResult } from "../run/run-plan.js";
import { judgeWanted, type ModelSums } from "./judge.js";
import { computedInvFreq, naiveSums, type RotaryBuffers, rotaryLengths, type SumVerdict, withTwins } from "./naive.js";
import type { StatedSum } from "./stated.js";

/** The rotary buffers that one of the two sums counts, whether a file holds them or not. */
export function buffersOf(plan: Plan, raw: Checkpoint, rawConfig: ModelConfig | null): RotaryBuffers | null {
  return computedInvFreq(plan.order, rotaryLengths(raw.stateDict), rawConfig);
}

/** The sums of the recovered tensors, in the order of the state dict. */
export function sumRecovered(plan: Plan, run: RunResult, buffers: RotaryBuffers | null): ModelSums {
  const byName = new Map(
    plan.jobs.flatMap((job) => (job.kind === "tensor" ? [[job.name, run.results.get(job.id)?.sum ?? 0] as const] : [])),
  );
  const byTensor = new Map(plan.order.map((name) => [name, byName.get(name) ?? 0]));
  return { sums: naiveSums(withTwins(byTensor, plan.twins), buffers), byTensor };
}

/** Warns of tensors whose sum is NaN or infinite. The total tells nothing then, and such a model is rarely what the user wants. */
export function warnSums(
  { byTensor }: ModelSums,
  raw: Checkpoint,
  diff: Checkpoint,
  { onWarning }: { readonly onWarning?: Say },
): void {
  const strange = [...byTensor].filter(([, sum]) => !Number.isFinite(sum));
  const first = strange.find(([, sum]) => Number.isNaN(sum)) ?? strange[0];
  if (first !== undefined) {
    const [name, sum] = first;
    onWarning?.(
      `${strange.length} of ${byTensor.size} recovered tensors ${strange.length === 1 ? "sums" : "sum"} to NaN or infinity (${printable(name)} to ${sum}): the base or the diff holds such values, or values too large to sum in float32`,
      [
        { to: "count the base's", command: "verify", options: { path: raw.path } },
        { to: "count the diff's", command: "verify", options: { path: diff.path } },
      ],
    );
  }
}

/**
 * Judges the recovered weights by the sum that the user asked for.
 * @returns null if the user asked for none; then a sum in a file beside the diff is only told.
 */
export function judgeRecovered(
  found: ModelSums,
  stated: StatedSum | null,
  diff: Checkpoint,
  buffers: RotaryBuffers | null,
  options: {
    readonly expectSum?: number | "known" | null;
    readonly onNote?: Say;
    readonly onWarning?: Say;
  },
): SumVerdict | null {
  const layers = buffers?.layers ?? [...found.byTensor.keys()].filter((name) => INV_FREQ.test(name)).length;
  const { expectSum = null } = options;
  const wanted: PublishedSum | null =
    expectSum === "known" ? (stated ?? publishedSum(diff)) : expectSum === null ? null : { value: expectSum };
  if (wanted !== null) {
    return judgeWanted(wanted, found, layers);
  }
  if (stated !== null) {
    const { verdict, reason } = judgeWanted({ value: stated.value, tolerance: stated.tolerance }, found, layers);
    const speak = verdict === "fail" ? options.onWarning : options.onNote;
    speak?.(`the sum in ${stated.file}, ${stated.value}: ${verdict.replaceAll("-", " ")}: ${reason}`);
  }
  return null;
}
