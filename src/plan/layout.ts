/** Which output tensors go into which file, and where: known to the byte before any tensor is read. */
import type { TensorJob } from "../engine/job/job.js";
import { WeightDiffError } from "../errors.js";
import { tensorBytes } from "../formats/dtype.js";
import { quote } from "../formats/quote.js";
import { type ByteRange, shapeText } from "../formats/tensor-info.js";
import type { Container } from "../output/containers/container.js";
import { SAFETENSORS } from "../output/containers/safetensors.js";
import { layOutRoom } from "./coded.js";
import type { Pair } from "./pair.js";

/** The layout of an output file. */
export interface PlanShard {
  readonly file: string;
  /** Bytes; null if only the run tells. `most` is then the upper bound. */
  readonly size: number | null;
  readonly most: number;
  /** All bytes before the data section. */
  readonly header: Uint8Array;
  /** From this offset on, no tensor has a length that is a multiple of 4096. */
  readonly directEnd: number;
  readonly tensors: readonly string[];
}

/** Greedy, in the order of the state dict, as `split_torch_state_dict_into_shards` of huggingface_hub (docs/formats.md 1.1). */
function groupByShard(pairs: readonly Pair[], limit: number): readonly (readonly Pair[])[] {
  const groups: Pair[][] = [];
  let open: Pair[] = [];
  let filled = 0;
  for (const pair of pairs) {
    const bytes = outputBytes(pair);
    if (bytes > limit) {
      // A tensor above the limit gets a shard of its own, before the shard that is being filled.
      groups.push([pair]);
      continue;
    }
    if (filled + bytes > limit) {
      groups.push(open);
      open = [];
      filled = 0;
    }
    open.push(pair);
    filled += bytes;
  }
  return open.length > 0 || groups.length === 0 ? [...groups, open] : groups;
}

/**
 * The output files, and the place of every tensor.
 * @throws {WeightDiffError} LIMIT; FORMAT_UNSUPPORTED for a name that the format cannot hold.
 */
export function layOut(
  pairs: readonly Pair[],
  options: {
    /** Bytes of tensor data in one output file. */
    readonly maxShardSize: number;
    /** The metadata of a file with these tensors. */
    readonly metadata: (pairs: readonly Pair[]) => ReadonlyMap<string, string>;
    /** Tensors will be coded, so their lengths are not known yet. */
    readonly compress?: boolean;
  },
  container: Container = SAFETENSORS,
): {
  readonly shards: readonly PlanShard[];
  readonly placed: ReadonlyMap<Pair, NonNullable<TensorJob["output"]>>;
  /** The index of several files; null for a single file. */
  readonly index: ReturnType<Container["index"]> | null;
} {
  const groups = groupByShard(pairs, options.maxShardSize);
  const placed = new Map<Pair, NonNullable<TensorJob["output"]>>();
  const shards = groups.map((group, shard): PlanShard => {
    const file = container.fileName(shard, groups.length);
    const place = (ranges: readonly ByteRange[]): void => {
      ranges.forEach((range, index) => {
        const pair = group[index];
        if (pair !== undefined) {
          placed.set(pair, { shard, range });
        }
      });
    };
    if (options.compress === true) {
      const { ranges, size: most } = layOutRoom(group, file);
      place(ranges);
      return {
        ...{ file, size: null, most, header: new Uint8Array(), directEnd: 0 },
        tensors: group.map(({ name }) => name),
      };
    }
    const layout = container.layOut(
      group.map((pair) => ({ name: pair.name, dtype: pair.dtype, shape: pair.driver.shape })),
      { name: file, metadata: options.metadata(group) },
    );
    place(layout.ranges);
    return {
      file,
      size: layout.size,
      most: layout.size,
      header: layout.header,
      directEnd: layout.directEnd,
      tensors: group.map((pair) => pair.name),
    };
  });
  const weightMap = new Map(shards.flatMap(({ file, tensors }) => tensors.map((name) => [name, file] as const)));
  const totalSize = pairs.reduce((sum, pair) => sum + outputBytes(pair), 0);
  return { shards, placed, index: shards.length > 1 ? container.index(weightMap, totalSize) : null };
}

/** Bytes of the output tensor. @throws {WeightDiffError} LIMIT past 2^53. */
export function outputBytes(pair: Pair): number {
  const bytes = tensorBytes(pair.dtype, pair.driver.shape);
  if (bytes === undefined) {
    throw new WeightDiffError(
      "LIMIT",
      `tensor ${quote(pair.name)} ${shapeText(pair.driver.shape)} is too large to write as ${pair.dtype}`,
      undefined,
      { at: { file: pair.driver.shard.file } },
    );
  }
  return bytes;
}
