/** The plan as data, for schedulers and for users who want to know the work beforehand. */
import type { Dtype } from "../formats/dtype.js";
import type { PartNumber } from "../output/part-names.js";
import { splitPlan } from "../plan/parts.js";
import type { RunPlan } from "../plan/plan.js";
import { planTraffic } from "../plan/traffic.js";

interface PlannedPart extends PartNumber {
  /** Names of the files that this part makes. */
  readonly files: readonly string[];
  /** Bytes. */
  readonly bytesRead: number;
  readonly bytesWritten: number;
}

export interface PlannedWork {
  /** Equal for equal inputs and options, whatever the number of parts. */
  readonly digest: string;
  /** Bytes. */
  readonly bytesRead: number;
  readonly bytesWritten: number;
  /** Upper bound of the bytes that the large files of the output take. */
  readonly disk: number;
  readonly parts: readonly PlannedPart[];
  /** @param part the part that makes the file. */
  readonly files: readonly { readonly file: string; readonly size: number; readonly part: number }[];
  readonly tensors: readonly {
    readonly name: string;
    readonly dtype: Dtype;
    readonly shape: readonly number[];
    readonly file: string;
  }[];
}

/** @param count the number of parts. */
export function describeWork(plan: RunPlan, digest: string, count: number): PlannedWork {
  const { shards, jobs } = plan;
  const parts = splitPlan(plan, count);
  const partOf = new Map(parts.flatMap(({ index, shards: own }) => own.map((shard) => [shard, index] as const)));
  const { read, write } = planTraffic(plan);
  const files = shards.map(({ file, size, most }, shard) => ({
    ...{ file, size: size ?? most ?? 0, part: partOf.get(shard) ?? 0 },
  }));
  return {
    digest,
    bytesRead: read,
    bytesWritten: write,
    disk: files.reduce((sum, { size }) => sum + size, 0),
    parts: parts.map((part) => ({
      ...{ index: part.index, count, files: part.shards.flatMap((shard) => shards[shard]?.file ?? []) },
      ...{ bytesRead: part.read, bytesWritten: part.write },
    })),
    files,
    tensors: jobs.flatMap((job) =>
      job.kind === "tensor" && job.output !== null
        ? [{ name: job.name, dtype: job.dtype, shape: job.shape, file: shards[job.output.shard]?.file ?? "" }]
        : [],
    ),
  };
}
