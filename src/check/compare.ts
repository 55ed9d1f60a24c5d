/**
 * Do two checkpoints hold the same model? Compares them tensor by tensor; formats, shards and dtypes may differ. Names pair as those of a
 * base and a diff do (plan/names.ts). A buffer that models compute may be missing.
 */
import type { Checkpoint, StoredTensor } from "../checkpoint/checkpoint.js";
import { configOf, type ModelConfig } from "../checkpoint/config.js";
import type { Shard } from "../checkpoint/shard.js";
import type { CompareJob } from "../engine/job/job.js";
import type { Comparison } from "../engine/job/result.js";
import { WeightDiffError } from "../errors.js";
import { loadedTie } from "../evidence/ties.js";
import { isFloatDtype } from "../formats/dtype.js";
import { shapeText } from "../formats/tensor-info.js";
import { isComputedBuffer } from "../known/buffers.js";
import { type AlignedPair, alignNames } from "../plan/names.js";
import { modelKinds } from "../plan/pair.js";
import { type LoadedSide, loadedSide, loadedTensor } from "../plan/ties.js";
import { tensorOperand } from "../run/digest.js";
import { readAll } from "../run/read-jobs.js";
import type { RunOptions } from "../run/run-plan.js";

/**
 * "rounded": the tensors are equal once the wider one is rounded to the dtype of the narrower one. "incomparable": the shapes differ, or
 * the dtypes have no common arithmetic.
 */
type Sameness = "identical" | "rounded" | "different" | "incomparable";

interface TensorComparison {
  readonly name: string;
  readonly verdict: Sameness;
  /** Why the tensors cannot be compared; null if they were compared. */
  readonly reason: string | null;
  /** How many elements differ after both tensors are converted to F32. */
  readonly different: number;
  readonly elements: number;
  /** The largest absolute difference; null for dtypes without arithmetic. */
  readonly maxDifference: number | null;
}

export interface CheckpointComparison {
  readonly other: string;
  readonly verdict: "identical" | "rounded" | "different";
  readonly tensors: readonly TensorComparison[];
  /**
   * Names that only one side stores: the other side stores the tied matrix under its other name (head for embedding, or the other way
   * round).
   */
  readonly standIns: readonly string[];
  /** Tensors with another name on the other side: names here -> names there. */
  readonly renamed: ReadonlyMap<string, string>;
  /** Names that only this side stores, except buffers that models compute. */
  readonly onlyHere: readonly string[];
  readonly onlyThere: readonly string[];
  /** Buffers that only one side stores, or whose shapes or dtypes cannot be compared. */
  readonly buffers: readonly string[];
  /** Bytes that were read. */
  readonly read: number;
}

/** @throws {WeightDiffError} CRC_MISMATCH, INPUT_CHANGED, IO, INTERRUPTED; FORMAT_UNSUPPORTED for strided types of less than a byte. */
export async function compareCheckpoints(
  left: Checkpoint,
  right: Checkpoint,
  options: RunOptions,
): Promise<CheckpointComparison> {
  const shards: readonly Shard[] = [...left.shards, ...right.shards];
  const place = new Map(shards.map((shard, index) => [shard, index]));
  const placeOf = (shard: Shard): number => place.get(shard) ?? 0;
  const sides = await alignedSides(left, right);
  const stored = { left: storedNames(left), right: storedNames(right) };
  const jobs: CompareJob[] = [];
  const standIns: string[] = [];
  const renamed = new Map<string, string>();
  const buffers: string[] = [];
  const tensors: ((results: ReadonlyMap<number, { readonly comparison?: Comparison }>) => TensorComparison)[] = [];
  for (const { name: common, ours, theirs } of bothOf(sides)) {
    const standIn = !sides.left.stateDict.has(common) || !sides.right.stateDict.has(common);
    const name = (standIn ? undefined : stored.left.get(ours)) ?? common;
    const there = stored.right.get(theirs);
    if (standIn) {
      standIns.push(name);
    } else if (there !== undefined && there !== name) {
      renamed.set(name, there);
    }
    const elements = ours.shape.reduce((product, size) => product * size, 1);
    const reason =
      shapeText(ours.shape) !== shapeText(theirs.shape)
        ? `${shapeText(ours.shape)} here, ${shapeText(theirs.shape)} there`
        : ours.dtype === theirs.dtype || (isFloatDtype(ours.dtype) && isFloatDtype(theirs.dtype))
          ? null
          : `${ours.dtype} here, ${theirs.dtype} there`;
    if (reason !== null && sides.isBuffer(common, ours) && sides.isBuffer(common, theirs)) {
      buffers.push(name);
      continue;
    }
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
  const alone = (own: ReadonlyMap<StoredTensor, string>, one: LoadedSide, two: LoadedSide): readonly string[] => {
    const common = new Map([...one.stateDict].map(([name, tensor]) => [tensor, name]));
    return [...own].flatMap(([tensor, name]) => {
      const now = common.get(tensor);
      if (now !== undefined && loadedTensor(two, now) !== undefined) {
        return [];
      }
      const isBuffer = sides.isBuffer(now ?? name, tensor);
      isBuffer && buffers.push(name);
      return isBuffer ? [] : [name];
    });
  };
  const onlyHere = alone(stored.left, sides.left, sides.right);
  const onlyThere = alone(stored.right, sides.right, sides.left);
  const bad = compared.some(({ verdict }) => verdict === "different" || verdict === "incomparable");
  return {
    other: right.path,
    verdict:
      bad || onlyHere.length + onlyThere.length > 0 || compared.length === 0
        ? "different"
        : compared.some(({ verdict }) => verdict === "rounded")
          ? "rounded"
          : "identical",
    tensors: compared,
    standIns,
    renamed,
    onlyHere,
    onlyThere,
    buffers,
    read,
  };
}

interface Sides {
  /** Both sides, under the names of the left side. */
  readonly left: LoadedSide;
  readonly right: LoadedSide;
  isBuffer(name: string, tensor: StoredTensor): boolean;
}

/** Both sides as transformers would load them, under one set of names. */
async function alignedSides(left: Checkpoint, right: Checkpoint): Promise<Sides> {
  const aligned = align(left, right);
  const [ours, theirs] = [await configIfAny(left), await configIfAny(right)];
  const { modelType } = modelKinds(theirs, ours);
  const side = async (checkpoint: Checkpoint, config: ModelConfig | null): Promise<LoadedSide> =>
    loadedSide(checkpoint, { tied: (await loadedTie(checkpoint, config)).tied, languageModel: null }, "models");
  return {
    left: await side(aligned.driver, ours),
    right: await side(aligned.raw, theirs),
    isBuffer: (name, tensor) => isComputedBuffer(name, tensor, modelType),
  };
}

/** Names that cannot be brought together are compared as they are. */
function align(left: Checkpoint, right: Checkpoint): AlignedPair {
  try {
    return alignNames(right, left, { raw: right.path, driver: left.path });
  } catch (error) {
    if (error instanceof WeightDiffError && error.code === "MISMATCH") {
      return { raw: right, driver: left };
    }
    throw error;
  }
}

/** Null for a config that cannot be read. Verify reports that elsewhere. */
async function configIfAny(checkpoint: Checkpoint): Promise<ModelConfig | null> {
  return configOf(checkpoint).catch(() => null);
}

function storedNames({ stateDict }: Checkpoint): ReadonlyMap<StoredTensor, string> {
  return new Map([...stateDict].map(([name, tensor]) => [tensor, name]));
}

/** Every tensor that both sides have, in the order of the left side's files. Then the tensors whose name only the right side stores. */
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

/** Equal values in two dtypes count as identical, since the conversion lost nothing. */
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
