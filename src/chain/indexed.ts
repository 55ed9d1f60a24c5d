/**
 * What an indexed version holds: the payloads of an update, or a whole model. Index and shards must agree (docs/chains.md 1; slime 624b824a,
 * update_weight_from_disk_delta.py 131-168).
 */
import { type Checkpoint, openCheckpoint } from "../checkpoint/checkpoint.js";
import type { Folder } from "../checkpoint/file-list.js";
import { type ShardFile, withoutTensors } from "../checkpoint/shard.js";
import { WeightDiffError } from "../errors.js";
import { CHECKSUM_DIGITS } from "../formats/checksum.js";
import { CODED_KEY, leastCodedBytes, mostCodedBytes } from "../formats/coded/index.js";
import { headerBudget } from "../formats/header-budget.js";
import { type Lend, withLentMemory } from "../formats/lent-memory.js";
import { Places } from "../formats/names.js";
import { quote } from "../formats/quote.js";
import { type ByteRange, rangeLength, shapeText, type TensorInfo } from "../formats/tensor-info.js";
import { isBareFileName } from "../formats/weight-index.js";
import type { Hub } from "../hub/place.js";
import { openShardSource } from "../hub/source.js";
import { chainError, faultOf, type Payload, together, type Version } from "./chain.js";
import type { CodedTensors } from "./coded-index.js";
import { PayloadMap } from "./payload-map.js";
import { PayloadTable } from "./payload-table.js";
import { checksumOf, holdsPayloads, noChecksum, openShardIn, type UpdateShard, wrongPayload } from "./shards.js";
import { COMPRESSIONS } from "./update-index.js";
import { type DeltaIndex, shown, UNFINISHED_HINT } from "./version-index.js";

type Opened = Pick<Version, "shards" | "payloads" | "sums" | "notes" | "checkpoint">;

/** Opens the payloads of an update. @throws {WeightDiffError} with `why`. It lists everything that is wrong. */
export function openDelta(folder: Folder, index: DeltaIndex, id: string): Promise<Opened> {
  return withLentMemory((lend) => openWith(lend, folder, index, id));
}

async function openWith(
  lend: Lend,
  folder: Folder,
  { weightMap, small, encoding, algorithm, coded }: DeltaIndex,
  id: string,
): Promise<Opened> {
  const { names, ids, fileOf, files } = weightMap;
  const errors: WeightDiffError[] = [];
  const isPlain = files.map((file) => typeof file === "string" && isPlainShard(file));
  for (let row = 0; row < ids.length; row++) {
    const place = fileOf[row] ?? 0;
    if (isPlain[place] !== true) {
      const [tensor, file] = [names.textOf(ids[row] ?? 0), files[place]];
      errors.push(
        chainError(
          "index-path",
          `tensor ${quote(tensor)} is said to be in ${shown(file)}, which is not the bare name of a .safetensors file`,
          "an index may only name files beside itself: fetch this version again, from a publisher whom you trust",
          { file: typeof file === "string" ? file : small.file.name, tensor, version: id },
        ),
      );
    }
  }
  const named = new Set(files.filter((_, place) => isPlain[place] === true).map(String));
  // Shards that the index does not name count, too: the trainers' readers open every shard in the folder.
  for (const { file } of folder.files) {
    if (file.endsWith(".safetensors") && !file.startsWith(".")) {
      named.add(file);
    }
  }
  const budget = headerBudget();
  const shards: UpdateShard[] = [];
  for (const file of [...named].sort()) {
    try {
      shards.push(await openShardIn(folder, file, id, { budget, names, lend }));
    } catch (error) {
      errors.push(faultOf(error));
    }
  }
  const most = shards.reduce((sum, { header }) => sum + header.tensors.length, 0);
  const payloads = new PayloadTable({ encoding, compression: COMPRESSIONS[encoding], algorithm }, names, most);
  const notes: string[] = [];
  const sum = new Uint8Array(CHECKSUM_DIGITS[algorithm] / 2);
  const indexed = new Places(ids);
  /** By the number of a name: the row of its payload plus one. By row of the index: is its payload in the shard that is named there? */
  const rows = new Int32Array(names.size);
  const found = new Uint8Array(ids.length);
  for (const opened of shards) {
    const shard = withoutTensors(opened);
    const { tensors } = opened.header;
    const { columns } = tensors;
    const own = files.indexOf(shard.file);
    for (let row = 0; row < tensors.length; row++) {
      const name = columns.ids[row] ?? 0;
      const wrong = refusePayload(opened, row, { algorithm, coded }, id, sum);
      if (wrong !== null) {
        errors.push(wrong);
        continue;
      }
      const entry = indexed.of(name);
      const before = (rows[name] ?? 0) - 1;
      if (entry >= 0 && before < 0) {
        const tensor = coded?.get(names.textOf(name));
        payloads.add(name, shard, columns.begins[row] ?? 0, columns.ends[row] ?? 0, sum, tensor);
        rows[name] = payloads.size;
        found[entry] = fileOf[entry] === own ? 1 : 0;
        continue;
      }
      const tensor = names.textOf(name);
      const at = { file: shard.path, tensor, version: id };
      if (entry < 0) {
        const what = `tensor ${quote(tensor)} is in the shard and not in the index`;
        errors.push(chainError("shard-extra", what, MIXED, at));
        continue;
      }
      const first = payloads.at(before);
      const { range } = tensors.at(row);
      if (await isSame(first, { shard, range, hex: Buffer.from(sum).toString("hex") })) {
        notes.push(
          `tensor ${quote(tensor)} is in ${first.shard.file} and, byte for byte, in ${shard.file}: applied once`,
        );
      } else {
        const what = `tensor ${quote(tensor)} is in ${first.shard.file} and in ${shard.file}, with other bytes`;
        errors.push(chainError("duplicate-tensor", what, MIXED, at));
      }
    }
  }
  const held = new Map(shards.map((shard) => [shard.file, shard]));
  for (let entry = 0; entry < ids.length; entry++) {
    if (found[entry] === 1) {
      continue;
    }
    const name = ids[entry] ?? 0;
    const shard = held.get(String(files[fileOf[entry] ?? 0]));
    if (shard?.header.tensors.rowOf(name) === -1) {
      const tensor = names.textOf(name);
      const what = `tensor ${quote(tensor)} is named in the index, but is not in the shard`;
      errors.push(chainError("index-tensor", what, MIXED, { file: shard.path, tensor, version: id }));
    }
  }
  if (errors.length > 0) {
    throw together(errors);
  }
  return { shards: shards.map(withoutTensors), payloads, sums: new Map(), notes, checkpoint: null };
}

const MIXED =
  "index and shards are of different publishes, or it was damaged: fetch this version again, or stop before it";

/** Is it the bare name of a shard, which lies beside the index? */
export function isPlainShard(name: string): boolean {
  return isBareFileName(name) && !name.startsWith(".") && name.endsWith(".safetensors");
}

/** The error for a tensor that is no payload, or has no checksum; null if it is one. @param sum takes the bytes of the checksum. */
function refusePayload(
  { path, header: { tensors, metadata } }: UpdateShard,
  row: number,
  { algorithm, coded }: Pick<DeltaIndex, "algorithm" | "coded">,
  id: string,
  sum: Uint8Array,
): WeightDiffError | null {
  if (tensors.dtypeOf(row) !== "U8" || tensors.rankOf(row) !== 1) {
    return wrongPayload(tensors.at(row), path, id);
  }
  const stated = metadata.rowOf(tensors.columns.ids[row] ?? 0);
  if (stated < 0 || !metadata.readHex(stated, sum)) {
    const { name } = tensors.at(row);
    const text = stated < 0 ? undefined : metadata.textAt(stated);
    const checksum = checksumOf(algorithm, text);
    if (checksum === null) {
      return noChecksum(name, text, algorithm, { file: path, tensor: name, version: id });
    }
    sum.set(Buffer.from(checksum.hex, "hex"));
  }
  return coded === null ? null : wrongLength(tensors.at(row), coded, { file: path, version: id });
}

/** The error for a coded payload that is shorter or longer than its windows can be; null if it is not. */
function wrongLength(
  { name, range }: Pick<TensorInfo, "name" | "range">,
  coded: CodedTensors,
  place: { readonly file: string; readonly version: string },
): WeightDiffError | null {
  const at = { ...place, tensor: name };
  const tensor = coded.get(name);
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
    : null;
}

/** Pipelines that share a tensor publish it more than once. A second payload with the same bytes and the same checksum does no harm. */
async function isSame(
  one: Payload,
  other: { readonly shard: ShardFile; readonly range: ByteRange; readonly hex: string },
): Promise<boolean> {
  const length = rangeLength(one.range);
  if (one.checksum?.hex !== other.hex || rangeLength(other.range) !== length) {
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
  return { shards: checkpoint.shards, payloads: new PayloadMap(), sums: new Map(), notes: [], checkpoint };
}
