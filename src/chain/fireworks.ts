/**
 * Fireworks (fireworks_delta_compression 0.1.0): a folder of payloads, whose files have the names of the model's files. It looks like a model of
 * flat U8 tensors. It states neither a version nor a compression: the payloads show how they are compressed. A pickle among them is never opened.
 */
import type { Folder } from "../checkpoint/file-list.js";
import { WeightDiffError } from "../errors.js";
import { headerBudget } from "../formats/header-budget.js";
import { quote } from "../formats/quote.js";
import { readSafetensors } from "../formats/safetensors.js";
import { type ByteRange, rangeLength, type TensorInfo } from "../formats/tensor-info.js";
import type { StatedChecksum } from "../formats/update.js";
import { openShardSource } from "../hub/source.js";
import {
  chainError,
  type FIREWORKS_FORMATS,
  faultOf,
  type ListedVersion,
  type Payload,
  together,
  type VersionHead,
} from "./chain.js";
import { type ChainLayout, once } from "./layout.js";
import { PayloadMap } from "./payload-map.js";
import { holdsPayloads, openShardIn, type UpdateShard, wrongPayload } from "./shards.js";

/** There is only one step, and it has no name. */
const ONLY = { id: "1", number: 1 } as const;
const AGAIN = "it is damaged: fetch it again";

type Format = (typeof FIREWORKS_FORMATS)[number];

export const FIREWORKS: ChainLayout = {
  names: ["fireworks"],
  async find(folder, _, { layout = null, format = null }) {
    const files = folder.files.map(({ file }) => file).filter((file) => file.endsWith(".safetensors"));
    const [first] = files;
    if (first === undefined) {
      return null;
    }
    const shard = await openShardIn(folder, first, ONLY.id).catch((error: unknown) => {
      if (error instanceof WeightDiffError && layout === null) {
        return null; // whoever opens it as a model tells what is wrong with it
      }
      throw error;
    });
    if (shard === null || !holdsPayloads(shard.header) || !decimalSums(shard)) {
      return null;
    }
    return { layout: "fireworks", versions: [versionIn(folder, files, format)], pointer: null, notes: [] };
  },
};

/** Are the checksums decimal numbers? An update of slime without its index looks alike, but has hex ones. */
function decimalSums({ header }: UpdateShard): boolean {
  return [...header.tensors].every(({ name }) => /^\d{1,10}$/.test(header.metadata.get(name) ?? ""));
}

function versionIn(folder: Folder, files: readonly string[], format: string | null): ListedVersion {
  const place = folder.path;
  const head: VersionHead = { kind: "delta", base: 0, encoding: "xor", checksum: "adler32", index: null };
  const open = once(async () => {
    const errors: WeightDiffError[] = [];
    const shards: UpdateShard[] = [];
    const payloads = new PayloadMap();
    const budget = headerBudget();
    for (const file of [...files].sort()) {
      const shard = await openShardIn(folder, file, ONLY.id, { budget });
      shards.push(shard);
      for (const tensor of shard.header.tensors) {
        try {
          if (payloads.has(tensor.name)) {
            throw chainError(
              "duplicate-tensor",
              `tensor ${quote(tensor.name)} is in two shards`,
              AGAIN,
              placeOf(shard, tensor),
            );
          }
          payloads.set(tensor.name, await payloadOf(shard, tensor, format));
        } catch (error) {
          errors.push(faultOf(error));
        }
      }
    }
    if (errors.length > 0) {
      throw together(errors);
    }
    return { shards, payloads };
  });
  return {
    ...ONLY,
    place,
    head: async () => head,
    isUnfinished: async () => false,
    open: async () => ({
      ...{ ...head, ...ONLY, place, ...(await open()) },
      ...{ sums: new Map(), notes: [], checkpoint: null, whole: null, every: true as const },
    }),
  };
}

function placeOf(shard: UpdateShard, { name }: TensorInfo) {
  return { file: shard.path, tensor: name, version: ONLY.id };
}

/** How a payload of arc_v3 begins that holds a pickle. */
const ENVELOPE = "ARC3_ENVELOPE\0";

/** Reads how a payload begins. @throws {WeightDiffError} with `why` "pickle", "frame", "no-checksum", "dtype", "unknown-compression". */
async function payloadOf(shard: UpdateShard, tensor: TensorInfo, wanted: string | null): Promise<Payload> {
  const { name, range } = tensor;
  const at = placeOf(shard, tensor);
  const wrong = wrongPayload(tensor, shard.path, ONLY.id);
  if (wrong !== null) {
    throw wrong;
  }
  const source = await openShardSource(shard);
  try {
    const readAt = (offset: number, length: number): Promise<Uint8Array> => source.readAt(range.begin + offset, length);
    const size = rangeLength(range);
    const head = Buffer.from(await readAt(0, Math.min(16, size))).toString("latin1");
    if (head.startsWith(ENVELOPE)) {
      throw chainError(
        "pickle",
        `tensor ${quote(name)} is an envelope of arc_v3 with a pickle in it: a pickle can run any code, so it is not opened`,
        "publish it as arc_v1 or arc_v2",
        at,
      );
    }
    const plain = isContainer(head, size) ? null : compressionOf(head);
    if (plain !== null) {
      refuseOther(plain === "zlib" ? "arc_v1" : "arc_v2", wanted, name, at);
      return {
        name,
        shard,
        range,
        encoding: "xor",
        compression: plain,
        checksum: sumOf(shard.header.metadata.get(name), name, at),
      };
    }
    refuseOther("arc_v3", wanted, name, at);
    const nested = await readSafetensors({ name: `${shard.path}: ${quote(name)}`, size, readAt }).catch(
      (error: unknown) => {
        throw error instanceof WeightDiffError && ["input", "limit"].includes(error.kind)
          ? chainError("frame", `tensor ${quote(name)} is neither zlib, zstd nor a container of arc_v3`, AGAIN, at)
          : error;
      },
    );
    const [inner] = nested.tensors;
    if (inner === undefined || nested.tensors.length !== 1 || inner.name !== "tensor" || inner.dtype !== "U8") {
      throw chainError("frame", `tensor ${quote(name)}: a container of arc_v3 without its tensor`, AGAIN, at);
    }
    const own: ByteRange = { begin: range.begin + inner.range.begin, end: range.begin + inner.range.end };
    const first = Buffer.from(await readAt(inner.range.begin, Math.min(16, rangeLength(own)))).toString("latin1");
    const compression = compressionOf(first);
    if (compression === null) {
      const what = `tensor ${quote(name)}: fallback ${quote(nested.metadata.get("fallback_name") ?? "")} is neither zlib nor zstd`;
      throw chainError("unknown-compression", what, AGAIN, at);
    }
    return {
      name,
      shard,
      range: own,
      encoding: "xor",
      compression,
      checksum: sumOf(nested.metadata.get("tensor"), name, at),
    };
  } finally {
    await source.close();
  }
}

/** Is it a safetensors file? Its first bytes, the header's length, can look like the start of zlib data. */
function isContainer(head: string, size: number): boolean {
  return head.length > 8 && head[8] === "{" && Buffer.from(head, "latin1").readBigUInt64LE() <= size - 8;
}

function compressionOf(head: string): "zlib" | "zstd" | null {
  return head.startsWith("\x28\xb5\x2f\xfd") ? "zstd" : head.startsWith("\x78") ? "zlib" : null;
}

function refuseOther(found: Format, wanted: string | null, name: string, at: ReturnType<typeof placeOf>): void {
  if (wanted !== null && wanted !== found) {
    const what = `tensor ${quote(name)} is of the format ${found}, not ${wanted}`;
    throw chainError("unknown-compression", what, "ask for no format: the payloads show which one they have", at);
  }
}

/** Reads a checksum, which is a decimal number. */
function sumOf(stated: string | undefined, name: string, at: ReturnType<typeof placeOf>): StatedChecksum {
  const value = Number(stated);
  if (stated === undefined || !/^\d{1,10}$/.test(stated) || value >= 2 ** 32) {
    throw chainError(
      "no-checksum",
      `tensor ${quote(name)} has no checksum`,
      "a payload without a checksum is not applied: fetch it again",
      at,
    );
  }
  return { algorithm: "adler32", hex: value.toString(16).padStart(8, "0") };
}
