/** Are two checkpoints the same model? Tensor by tensor, whatever formats, shards and dtypes they are stored in. */
import type { Checkpoint, StoredTensor } from "../checkpoint/checkpoint.js";
import { configOf } from "../checkpoint/config.js";
import type { Shard } from "../checkpoint/shard.js";
import type { CompareJob, Comparison } from "../engine/job/job.js";
import { isFloatDtype } from "../formats/dtype.js";
import { INV_FREQ } from "../plan/pair.js";
import { shapeText } from "../plan/pairing.js";
import { type LoadedSide, loadedSide, loadedTensor } from "../plan/ties.js";
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
  /** Names of which one side has the other of two that are tied: a head for an embedding, or the other way round. */
  readonly standIns: readonly string[];
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
  const sides = { left: await sideOf(left), right: await sideOf(right) };
  const jobs: CompareJob[] = [];
  const standIns: string[] = [];
  const tensors: ((results: ReadonlyMap<number, { readonly comparison?: Comparison }>) => TensorComparison)[] = [];
  for (const { name, ours, theirs } of bothOf(sides)) {
    if (!left.stateDict.has(name) || !right.stateDict.has(name)) {
      standIns.push(name);
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
  const only = (one: LoadedSide, two: LoadedSide): string[] =>
    [...one.stateDict.keys()].filter((name) => loadedTensor(two, name) === undefined);
  const onlyHere = only(sides.left, sides.right);
  const onlyThere = only(sides.right, sides.left);
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
    standIns,
    onlyHere: weights(onlyHere),
    onlyThere: weights(onlyThere),
    buffers: [...onlyHere, ...onlyThere].filter((name) => INV_FREQ.test(name)),
    read,
  };
}

interface Sides {
  readonly left: LoadedSide;
  readonly right: LoadedSide;
}

/** As transformers would load it. */
async function sideOf(checkpoint: Checkpoint): Promise<LoadedSide> {
  const config = await configOf(checkpoint).catch(() => null); // what is wrong with it is told elsewhere
  return loadedSide(checkpoint, { tied: config?.tied ?? null, languageModel: null }, "models");
}

/** Every tensor that both have, in the order of the left side's files; one that only the right side stores under this name comes last. */
function* bothOf({ left, right }: Sides): Generator<{ name: string; ours: StoredTensor; theirs: StoredTensor }> {
  const compared = new Set<StoredTensor>();
  for (const [name, ours] of left.stateDict) {
    const theirs = loadedTensor(right, name);
    if (theirs !== undefined) {
      compared.add(theirs);
      yield { name, ours, theirs };
    }
  }
  for (const [name, theirs] of right.stateDict) {
    const ours = compared.has(theirs) ? undefined : loadedTensor(left, name);
    if (ours !== undefined) {
      yield { name, ours, theirs };
    }
  }
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
