/**
 * Plans a new step of a chain: what to read for each tensor, and shards with room for the payloads. After the run, gives the shards their
 * final form.
 */
import type { PayloadJob } from "../engine/job/job.js";
import type { TensorResult } from "../engine/job/result.js";
import { WeightDiffError } from "../errors.js";
import { quote } from "../formats/quote.js";
import { layoutShard } from "../formats/safetensors-layout.js";
import { payloadRoom, type UpdateEncoding } from "../formats/update.js";
import type { PlanInput, RunPlan } from "./plan.js";
import type { Move } from "./settle.js";

/** One tensor of the step. */
export type PayloadEntry = Pick<
  PayloadJob,
  "name" | "bytes" | "width" | "base" | "tuned" | "steps" | "most" | "sums" | "baseSums"
>;

export interface PayloadPlan extends RunPlan {
  readonly jobs: readonly PayloadJob[];
  readonly inputs: readonly PlanInput[];
}

interface PayloadPlanOptions {
  readonly encoding: UpdateEncoding;
  /** Bytes of the tensors whose payloads share a shard. */
  readonly maxShardSize: number;
}

/** Positions in overwrite payloads have four bytes. */
const MOST_OVERWRITTEN = 2 ** 32;

/** @throws {WeightDiffError} FORMAT_UNSUPPORTED for a tensor or a name that the step cannot hold; LIMIT. */
export function planPayloads(
  entries: readonly PayloadEntry[],
  inputs: readonly PlanInput[],
  { encoding, maxShardSize }: PayloadPlanOptions,
): PayloadPlan {
  for (const { name, bytes } of entries) {
    if (encoding === "overwrite" && bytes > MOST_OVERWRITTEN) {
      throw new WeightDiffError(
        "FORMAT_UNSUPPORTED",
        `tensor ${quote(name)} has ${bytes} bytes, but positions of overwrite end at 2^32`,
        undefined,
        { at: { tensor: name }, advice: [{ to: "publish the XOR", option: "encoding", value: "xor" }] },
      );
    }
  }
  const groups = groupBySize(entries, maxShardSize);
  const jobs: PayloadJob[] = [];
  const shards = groups.map((group, shard) => {
    const file = shardName(shard, groups.length);
    const rooms = group.map((entry) => payloadRoom(encoding, entry, entry.steps.length).size);
    // All checksums have the same length, so zeros reserve the room in the header.
    const longest = new Map(group.map(({ name }) => [name, "0".repeat(64)]));
    const { ranges, size: most } = layOut(group, rooms, longest, file);
    group.forEach((entry, index) => {
      const range = ranges[index] ?? { begin: 0, end: 0 };
      jobs.push({ kind: "payload", id: jobs.length, ...entry, encoding, output: { shard, range } });
    });
    return { file, size: null, most, header: new Uint8Array(), directEnd: 0 };
  });
  return { inputs, shards, jobs };
}

/** Shards count from 0, as the trainers' do. */
function shardName(index: number, count: number): string {
  const number = (n: number): string => String(n).padStart(5, "0");
  return `model-${number(index)}-of-${number(count)}.safetensors`;
}

function groupBySize(entries: readonly PayloadEntry[], limit: number): readonly (readonly PayloadEntry[])[] {
  const groups: PayloadEntry[][] = [];
  let filled = Number.POSITIVE_INFINITY;
  for (const entry of entries) {
    const bytes = Math.min(entry.bytes, 5 * entry.most);
    if (filled + bytes > limit) {
      groups.push([]);
      filled = 0;
    }
    groups.at(-1)?.push(entry);
    filled += bytes;
  }
  return groups;
}

/** The metadata holds the checksums and nothing else. */
function layOut(
  group: readonly Pick<PayloadEntry, "name">[],
  sizes: readonly number[],
  metadata: ReadonlyMap<string, string>,
  name: string,
): ReturnType<typeof layoutShard> {
  const tensors = group.map(({ name: tensor }, index) => ({
    name: tensor,
    dtype: "U8" as const,
    shape: [sizes[index] ?? 0],
  }));
  return layoutShard(tensors, { name, metadata, paged: false });
}

/** A shard after the run has told the lengths of its payloads: its final file, and what must be moved in it. */
interface SettledShard {
  readonly file: string;
  readonly header: Uint8Array;
  readonly moves: readonly Move[];
  readonly size: number;
  readonly tensors: readonly string[];
}

/** @param checksums those of the tensors that the step changes. There are no others. */
export function settlePayloads(
  { shards, jobs }: PayloadPlan,
  results: ReadonlyMap<number, TensorResult>,
  checksums: ReadonlyMap<string, string>,
): readonly SettledShard[] {
  return shards.map(({ file }, shard) => {
    const kept = jobs.filter(({ name, output }) => output.shard === shard && checksums.has(name));
    const sizes = kept.map(({ id }) => results.get(id)?.size ?? 0);
    const metadata = new Map(kept.map(({ name }) => [name, checksums.get(name) ?? ""]));
    const { header, ranges, size } = layOut(kept, sizes, metadata, file);
    const moves = kept.map(({ output: { range } }, index) => ({
      from: { begin: range.begin, end: range.begin + (sizes[index] ?? 0) },
      to: ranges[index]?.begin ?? 0,
    }));
    return { file, header, moves, size, tensors: kept.map(({ name }) => name) };
  });
}
