/** inspect: what a checkpoint holds, tensor by tensor, from its headers alone; with digests if asked. */
import { openCheckpoint, type StoredTensor } from "./checkpoint/checkpoint.js";
import { digestTensors } from "./digest.js";
import { type Dtype, elementCount, tensorBytes } from "./formats/dtype.js";
import type { RunOptions } from "./run-plan.js";

export interface InspectOptions extends RunOptions {
  readonly path: string;
  /** Reads every byte and adds each tensor's sha256. */
  readonly digest?: boolean;
}

export interface InspectReport {
  readonly path: string;
  readonly files: readonly { readonly file: string; readonly size: number; readonly format: string }[];
  readonly tensors: readonly InspectedTensor[];
  /** Number of tensors, elements and bytes by dtype, most bytes first. */
  readonly totals: readonly {
    readonly dtype: Dtype;
    readonly tensors: number;
    readonly elements: number;
    readonly bytes: number;
  }[];
  readonly notes: readonly string[];
}

export interface InspectedTensor {
  /** As in the file: keys of nested dicts joined with ".". */
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly shard: string;
  /** Of the contiguous little-endian bytes; only with `digest`. */
  readonly sha256?: string;
}

/** Lists a checkpoint. @throws {WeightDiffError} as openCheckpoint; with `digest` also CRC_MISMATCH, IO, INPUT_CHANGED. */
export async function inspect(options: InspectOptions): Promise<InspectReport> {
  const checkpoint = await openCheckpoint(options.path);
  const digests = options.digest === true ? await digestTensors(checkpoint, options) : null;
  const tensors = [...checkpoint.stateDict].map(([key, tensor]): InspectedTensor => {
    const sha256 = digests?.get(key);
    const { name, dtype, shape, shard } = tensor;
    return { name, dtype, shape, shard: shard.file, ...(sha256 === undefined ? {} : { sha256 }) };
  });
  return {
    path: checkpoint.path,
    files: checkpoint.shards.map(({ file, size, header }) => ({ file, size, format: header.format })),
    tensors,
    totals: totalsOf([...checkpoint.stateDict.values()]),
    notes: checkpoint.notes,
  };
}

function totalsOf(tensors: readonly StoredTensor[]): InspectReport["totals"] {
  const byDtype = new Map<Dtype, { dtype: Dtype; tensors: number; elements: number; bytes: number }>();
  for (const { dtype, shape } of tensors) {
    const total = byDtype.get(dtype) ?? { dtype, tensors: 0, elements: 0, bytes: 0 };
    total.tensors++;
    total.elements += elementCount(shape) ?? 0;
    total.bytes += tensorBytes(dtype, shape) ?? 0;
    byDtype.set(dtype, total);
  }
  return [...byDtype.values()].sort((a, b) => b.bytes - a.bytes);
}
