/** Are two checkpoints the same model? Tensor by tensor, whatever formats, shards and dtypes they are stored in. */
import type { Checkpoint } from "../checkpoint/checkpoint.js";
import type { Shard } from "../checkpoint/shard.js";
import type { CompareJob, Comparison } from "../engine/job/job.js";
import { isFloatDtype } from "../formats/dtype.js";
import { INV_FREQ } from "../plan/pair.js";
import { shapeText } from "../plan/pairing.js";
import { tensorOperand } from "../run/digest.js";
import { readAll } from "../run/read-jobs.js";
import type { RunOptions } from "../run/run-plan.js";

/** "rounded": equal once the wider one is rounded to the dtype of the narrower. "incomparable": shapes or dtypes do not meet. */
export type Sameness = "identical" | "rounded" | "different" | "incomparable";

export interface TensorComparison {
  readonly name: string;
  readonly verdict: Sameness;
  /** Why these cannot be compared; null if they were. */
  readonly reason: string | null;
  /** Elements whose bits differ in F32, of how many. */
  readonly different: number;
  readonly elements: number;
  /** Null for dtypes that are not computed with. */
  readonly maxDifference: number | null;
}

export interface CheckpointComparison {
  readonly other: string;
  readonly verdict: "identical" | "rounded" | "different";
  readonly tensors: readonly TensorComparison[];
  /** Names on one side only, rotary buffers apart: models recompute those. */
  readonly onlyHere: readonly string[];
  readonly onlyThere: readonly string[];
  readonly buffers: readonly string[];
  /** Bytes. */
  readonly read: number;
}

/** @throws {WeightDiffError} CRC_MISMATCH, INPUT_CHANGED, IO, INTERRUPTED, FORMAT_UNSUPPORTED for strided sub-byte types. */
export async function compareCheckpoints(
  left: Checkpoint,
  right: Checkpoint,
  options: RunOptions,
): Promise<CheckpointComparison> {
  const shards: readonly Shard[] = [...left.shards, ...right.shards];
  const place = new Map(shards.map((shard, index) => [shard, index]));
  const placeOf = (shard: Shard): number => place.get(shard) ?? 0;
  const jobs: CompareJob[] = [];
  const tensors: ((results: ReadonlyMap<number, { readonly comparison?: Comparison }>) => TensorComparison)[] = [];
  for (const [name, ours] of left.stateDict) {
    const theirs = right.stateDict.get(name);
    if (theirs === undefined) {
      continue;
    }
    const elements = ours.shape.reduce((product, size) => product * size, 1);
    const reason =
      shapeText(ours.shape) !== shapeText(theirs.shape)
        ? `${shapeText(ours.shape)} here, ${shapeText(theirs.shape)} there`
        : ours.dtype === theirs.dtype || (isFloatDtype(ours.dtype) && isFloatDtype(theirs.dtype))
          ? null
          : `${ours.dtype} here, ${theirs.dtype} there`;
    if (reason !== null) {
      const result = {
        name,
        verdict: "incomparable",
        reason,
        different: elements,
        elements,
        maxDifference: null,
      } as const;
      tensors.push(() => result);
      continue;
    }
    const id = jobs.length;
    jobs.push({
      kind: "compare",
      id,
      name,
      left: tensorOperand(ours, placeOf),
      right: tensorOperand(theirs, placeOf),
    });
    tensors.push((results) => judged(name, elements, ours.dtype === theirs.dtype, results.get(id)?.comparison));
  }
  const { results, read } = await readAll(shards, jobs, options);
  const compared = tensors.map((judge) => judge(results));
  const only = (one: Checkpoint, two: Checkpoint): string[] =>
    [...one.stateDict.keys()].filter((name) => !two.stateDict.has(name));
  const onlyHere = only(left, right);
  const onlyThere = only(right, left);
  const weights = (names: readonly string[]): string[] => names.filter((name) => !INV_FREQ.test(name));
  const unmatched = weights(onlyHere).length + weights(onlyThere).length;
  const bad = compared.some(({ verdict }) => verdict === "different" || verdict === "incomparable");
  return {
    other: right.path,
    verdict:
      bad || unmatched > 0 || compared.length === 0
        ? "different"
        : compared.some(({ verdict }) => verdict === "rounded")
          ? "rounded"
          : "identical",
    tensors: compared,
    onlyHere: weights(onlyHere),
    onlyThere: weights(onlyThere),
    buffers: [...onlyHere, ...onlyThere].filter((name) => INV_FREQ.test(name)),
    read,
  };
}

/** Equal values of two dtypes are identical too: nothing was lost between them. */
function judged(
  name: string,
  elements: number,
  sameDtype: boolean,
  comparison: Comparison | undefined,
): TensorComparison {
  const { different, maxDifference, equalRounded } = comparison ?? {
    different: elements,
    maxDifference: null,
    equalRounded: false,
  };
  const verdict = different === 0 ? "identical" : equalRounded && !sameDtype ? "rounded" : "different";
  return { name, verdict, reason: null, different, elements, maxDifference };
}
