/** The tensors of a fold: the bytes from which each is made, and the room that its payload may take. */
import type { Payload, StoredBytes, Version } from "../../../chain/chain.js";
import type { Checkpoint } from "../../../checkpoint/checkpoint.js";
import type { ShardFile } from "../../../checkpoint/shard.js";
import type { UpdateStep } from "../../../engine/job/job.js";
import { widthOf } from "../../../engine/job/operand.js";
import type { ChecksumName } from "../../../formats/checksum.js";
import { quote } from "../../../formats/quote.js";
import { rangeLength } from "../../../formats/tensor-info.js";
import type { UpdateEncoding } from "../../../formats/update.js";
import { FRAME_HEADER, walkFrame } from "../../../formats/zstd/walk.js";
import { openShardSource } from "../../../hub/source.js";
import { storedOperand } from "../../../plan/operands.js";
import type { PlanInput } from "../../../plan/plan.js";
import type { PayloadEntry } from "../../../plan/plan-payloads.js";
import { asBytes, stepOf } from "../../../plan/plan-update.js";

/** The steps that change a tensor, in order, and their payloads. */
interface Touched {
  readonly steps: UpdateStep[];
  readonly payloads: Payload[];
}

function touched(steps: readonly Version[], inputs: readonly PlanInput[]): ReadonlyMap<string, Touched> {
  const place = new Map(inputs.map(({ role, path }, index) => [role + path, index]));
  const inputOf = ({ shard }: StoredBytes): number => place.get(`payload${shard.path}`) ?? 0;
  const found = new Map<string, Touched>();
  for (const { id, payloads } of steps) {
    for (const [name, payload] of payloads) {
      const own = found.get(name) ?? { steps: [], payloads: [] };
      found.set(name, own);
      own.steps.push(stepOf(id, payload, inputOf));
      own.payloads.push(payload);
    }
  }
  return found;
}

/** The entries of a fold with the base, for steps of any encoding. Takes the wanted checksum, and the one that the last step states. */
export function baseEntries(
  base: Checkpoint,
  steps: readonly Version[],
  inputs: readonly PlanInput[],
  checksum: ChecksumName,
): readonly PayloadEntry[] {
  const place = new Map(inputs.map(({ role, path }, index) => [role + path, index]));
  const found = touched(steps, inputs);
  return [...base.stateDict].flatMap(([name, tensor]): readonly PayloadEntry[] => {
    const own = found.get(name);
    if (own === undefined) {
      return [];
    }
    const { dtype, start } = asBytes(storedOperand(tensor, ({ path }) => place.get(`raw${path}`) ?? 0));
    const width = widthOf(dtype);
    const { operand } = start;
    if (operand.kind !== "stored") {
      throw new TypeError(`${name} is not stored`);
    }
    const bytes = width * operand.shape.reduce((product, extent) => product * extent, 1);
    const stated = own.payloads.at(-1)?.checksum?.algorithm ?? checksum;
    const sums = [...new Set([checksum, stated])];
    return [{ name, bytes, width, base: operand, tuned: null, steps: own.steps, most: bytes, sums, baseSums: [] }];
  });
}

/** Positions of overwrite have four bytes, so no tensor of such steps is longer. */
const MOST_BYTES = 2 ** 32;

/** Overwritten bytes that a payload of so many bytes may have: a count, then a position and a value for each. */
function overwritten(payloadBytes: number): number {
  return Math.max(0, Math.floor((payloadBytes - 4) / 5));
}

/** The entries of a fold without the base. @returns in their place why the fold needs the base, if no frame states the size of a tensor. */
export async function freeEntries(
  steps: readonly Version[],
  inputs: readonly PlanInput[],
  encoding: UpdateEncoding,
): Promise<readonly PayloadEntry[] | string> {
  const found = touched(steps, inputs);
  const sizes = await statedSizes([...found.values()].flatMap(({ payloads }) => payloads));
  const entries: PayloadEntry[] = [];
  for (const [name, own] of found) {
    const stated = own.payloads.map((payload) => sizes.get(payload) ?? null);
    const known = stated.filter((size) => size !== null);
    const dense = own.payloads.findIndex((payload, i) => payload.encoding === "xor" && stated[i] !== null);
    const bytes = encoding === "xor" ? (stated[dense] ?? null) : known.length < stated.length ? null : MOST_BYTES;
    if (bytes === null) {
      return `the size of tensor ${quote(name)} is in none of its frames: only the base tells it`;
    }
    const most = encoding === "xor" ? bytes : known.reduce((sum, size) => sum + overwritten(size), 0);
    entries.push({ name, bytes, most, width: 1, base: null, tuned: null, steps: own.steps, sums: [], baseSums: [] });
  }
  return entries;
}

/** The number of decoded bytes that each frame's header states. A damaged frame is reported when it is decoded. */
async function statedSizes(payloads: readonly Payload[]): Promise<ReadonlyMap<Payload, number | null>> {
  const byShard = new Map<ShardFile, Payload[]>();
  for (const payload of payloads) {
    const own = byShard.get(payload.shard);
    if (own === undefined) {
      byShard.set(payload.shard, [payload]);
    } else {
      own.push(payload);
    }
  }
  const sizes = new Map<Payload, number | null>();
  for (const [shard, own] of byShard) {
    const source = await openShardSource(shard);
    try {
      for (const payload of own) {
        const { range, compression, name } = payload;
        const head = await source.readAt(range.begin, Math.min(FRAME_HEADER, rangeLength(range)));
        const walk = walkFrame({ least: 0, most: Number.MAX_SAFE_INTEGER }, { file: shard.path, tensor: name });
        if (compression === "zstd") {
          walk.push(head);
        }
        sizes.set(payload, walk.contentSize);
      }
    } finally {
      await source.close();
    }
  }
  return sizes;
}
