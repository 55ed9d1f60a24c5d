/**
 * What an indexed version holds: the payloads of an update, or a whole model. Index and shards must agree (docs/chains.md 1; slime 624b824a,
 * update_weight_from_disk_delta.py 131-168).
 */
import { type Checkpoint, openCheckpoint } from "../checkpoint/checkpoint.js";
import type { Folder } from "../checkpoint/file-list.js";
import { type Shard, type ShardFile, withoutTensors } from "../checkpoint/shard.js";
import { WeightDiffError } from "../errors.js";
import { CODED_KEY, type CodedTensor, leastCodedBytes, mostCodedBytes } from "../formats/coded/index.js";
import { headerBudget } from "../formats/header-budget.js";
import { quote } from "../formats/quote.js";
import { rangeLength, shapeText, type TensorInfo } from "../formats/tensor-info.js";
import { isBareFileName } from "../formats/weight-index.js";
import type { Hub } from "../hub/place.js";
import { openShardSource } from "../hub/source.js";
import { chainError, faultOf, type Payload, together, type Version } from "./chain.js";
import { PayloadTable, type StatedPayload } from "./payload-table.js";
import { checksumOf, holdsPayloads, noChecksum, openShardIn, wrongPayload } from "./shards.js";
import { COMPRESSIONS } from "./update-index.js";
import { type DeltaIndex, shown, UNFINISHED_HINT } from "./version-index.js";

type Opened = Pick<Version, "shards" | "payloads" | "sums" | "notes" | "checkpoint">;

/** Opens the payloads of an update. @throws {WeightDiffError} with `why`. It lists everything that is wrong. */
export async function openDelta(
  folder: Folder,
  { weightMap, small, encoding, algorithm, coded }: DeltaIndex,
  id: string,
): Promise<Opened> {
  const errors: WeightDiffError[] = [];
  const named = new Set<string>();
  for (const [tensor, file] of weightMap) {
    if (typeof file !== "string" || !(named.has(file) || isPlainShard(file))) {
      errors.push(
        chainError(
          "index-path",
          `tensor ${quote(tensor)} is said to be in ${shown(file)}, which is not the bare name of a .safetensors file`,
          "an index may only name files beside itself: fetch this version again, from a publisher whom you trust",
          { file: typeof file === "string" ? file : small.file.name, tensor, version: id },
        ),
      );
    } else {
      named.add(file);
    }
  }
  // Shards that the index does not name count, too: the trainers' readers open every shard in the folder.
  for (const { file } of folder.files) {
    if (file.endsWith(".safetensors") && !file.startsWith(".")) {
      named.add(file);
    }
  }
  const budget = headerBudget();
  const shards: Shard[] = [];
  for (const file of [...named].sort()) {
    try {
      shards.push(await openShardIn(folder, file, id, budget));
    } catch (error) {
      errors.push(faultOf(error));
    }
  }
  const payloads = new PayloadTable({ encoding, compression: COMPRESSIONS[encoding], algorithm });
  const notes: string[] = [];
  for (const opened of shards) {
    const shard = withoutTensors(opened);
    for (const tensor of opened.header.tensors) {
      const found = payloadIn(opened, shard, tensor, { algorithm, coded }, id);
      if (found instanceof WeightDiffError) {
        errors.push(found);
        continue;
      }
      const file = weightMap.get(tensor.name);
      const before = payloads.get(tensor.name);
      const at = { file: shard.path, tensor: tensor.name, version: id };
      if (file === undefined) {
        errors.push(
          chainError("shard-extra", `tensor ${quote(tensor.name)} is in the shard and not in the index`, MIXED, at),
        );
      } else if (before === undefined) {
        payloads.add(found);
      } else if (await isSame(before, found)) {
        notes.push(
          `tensor ${quote(tensor.name)} is in ${before.shard.file} and, byte for byte, in ${shard.file}: applied once`,
        );
      } else {
        const what = `tensor ${quote(tensor.name)} is in ${before.shard.file} and in ${shard.file}, with other bytes`;
        errors.push(chainError("duplicate-tensor", what, MIXED, at));
      }
    }
  }
  const held = new Map(shards.map((shard) => [shard.file, { shard, names: namesOnce(shard) }]));
  for (const [tensor, file] of weightMap) {
    if (payloads.get(tensor)?.shard.file === file) {
      continue;
    }
    const { shard, names } = held.get(String(file)) ?? {};
    if (shard !== undefined && names?.().has(tensor) === false) {
      const what = `tensor ${quote(tensor)} is named in the index, but is not in the shard`;
      errors.push(chainError("index-tensor", what, MIXED, { file: shard.path, tensor, version: id }));
    }
  }
  if (errors.length > 0) {
    throw together(errors);
  }
  return { shards: shards.map(withoutTensors), payloads, sums: new Map(), notes, checkpoint: null };
}

function namesOnce({ header }: Shard): () => ReadonlySet<string> {
  let names: ReadonlySet<string> | undefined;
  return () => {
    names ??= new Set(header.tensors.map(({ name }) => name));
    return names;
  };
}

const MIXED =
  "index and shards are of different publishes, or it was damaged: fetch this version again, or stop before it";

/** Is it the bare name of a shard, which lies beside the index? */
export function isPlainShard(name: string): boolean {
  return isBareFileName(name) && !name.startsWith(".") && name.endsWith(".safetensors");
}

/** @param shard the same shard without its list of tensors. */
function payloadIn(
  { header }: Shard,
  shard: ShardFile,
  tensor: TensorInfo,
  { algorithm, coded }: Pick<DeltaIndex, "algorithm" | "coded">,
  id: string,
): StatedPayload | WeightDiffError {
  const { name, range } = tensor;
  const wrong = wrongPayload(tensor, shard.path, id);
  if (wrong !== null) {
    return wrong;
  }
  const stated = header.metadata.get(name);
  const checksum = checksumOf(algorithm, stated);
  const at = { file: shard.path, tensor: name, version: id };
  if (checksum === null) {
    return noChecksum(name, stated, algorithm, at);
  }
  const payload = { name, shard, range, checksum };
  return coded === null ? payload : codedPayload(payload, coded.get(name), at);
}

/** Refuses a coded payload that is shorter or longer than its windows can be. */
function codedPayload(
  payload: StatedPayload,
  tensor: CodedTensor | undefined,
  at: { readonly file: string; readonly tensor: string; readonly version: string },
): StatedPayload | WeightDiffError {
  const { name, range } = payload;
  if (tensor === undefined) {
    return chainError("index-tensor", `tensor ${quote(name)} is not in the index's ${CODED_KEY}`, MIXED, at);
  }
  const { dtype, shape } = tensor;
  const bytes = rangeLength(range);
  const most = mostCodedBytes(tensor);
  return most === undefined || bytes > most || bytes < leastCodedBytes(tensor)
    ? chainError(
        "length",
        `tensor ${quote(name)} has ${bytes} bytes, which is no coded ${dtype} ${shapeText(shape)}`,
        MIXED,
        at,
      )
    : { ...payload, dtype, shape };
}

/** Pipelines that share a tensor publish it more than once. A second payload with the same bytes and the same checksum does no harm. */
async function isSame(one: Payload, other: StatedPayload): Promise<boolean> {
  const length = one.range.end - one.range.begin;
  if (one.checksum?.hex !== other.checksum.hex || other.range.end - other.range.begin !== length) {
    return false;
  }
  const [left, right] = [await openShardSource(one.shard), await openShardSource(other.shard)];
  try {
    for (let at = 0; at < length; at += PIECE) {
      const count = Math.min(PIECE, length - at);
      const [a, b] = [
        await left.readAt(one.range.begin + at, count),
        await right.readAt(other.range.begin + at, count),
      ];
      if (!Buffer.from(a.buffer, a.byteOffset, count).equals(b)) {
        return false;
      }
    }
    return true;
  } finally {
    await left.close();
    await right.close();
  }
}

/** How many bytes are compared at a time. */
const PIECE = 1 << 20;

/** Opens a whole model. @throws {WeightDiffError} with `why` "incomplete" if it holds payloads, or cannot be opened. */
export async function openFull(folder: Folder, id: string, hub: Hub | null): Promise<Opened> {
  let checkpoint: Checkpoint;
  try {
    checkpoint = await openCheckpoint(folder.path, hub);
  } catch (error) {
    if (error instanceof WeightDiffError && ["input", "limit"].includes(error.kind)) {
      const { code, fact, hint, at, problems } = error;
      throw new WeightDiffError(code, fact, hint, { at: { ...at, version: id }, why: "incomplete", problems });
    }
    throw error;
  }
  const payloads = checkpoint.shards.find(({ header }) => holdsPayloads(header));
  if (payloads !== undefined) {
    throw chainError(
      "incomplete",
      `${payloads.file} holds payloads of an update, and no index says of which: still being published, or interrupted`,
      UNFINISHED_HINT,
      { file: folder.path, version: id },
    );
  }
  return { shards: checkpoint.shards, payloads: new Map(), sums: new Map(), notes: [], checkpoint };
}
