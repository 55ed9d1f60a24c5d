/**
 * `delta-00000004/`: SkyRL. A manifest, which is written last, lists every tensor with its dtype, its shape and the place of its payload (SkyRL
 * a9564572, delta_checkpoint.py 78-88, 257-273, 710-726).
 */
import type { Folder } from "../checkpoint/file-list.js";
import { WeightDiffError } from "../errors.js";
import { dtypeFromTorch, tensorBytes } from "../formats/dtype.js";
import { headerBudget } from "../formats/header-budget.js";
import { quote } from "../formats/quote.js";
import { rangeLength, type TensorInfo } from "../formats/tensor-info.js";
import type { StatedChecksum } from "../formats/update.js";
import { chainError, faultOf, type ListedVersion, type Payload, together, type Version, versionText } from "./chain.js";
import { isPlainShard } from "./indexed.js";
import { type ChainLayout, enterVersion, isMissing, oddNames, once, versionNames } from "./layout.js";
import { PayloadMap } from "./payload-map.js";
import { checksumOf, isChecksumName, openShardIn, type UpdateShard, wrongPayload } from "./shards.js";
import { fieldsOf, fileNamed, numberOf, readRecord, type SmallFile } from "./small-file.js";
import { shown } from "./version-index.js";

const VERSION_FOLDER = /^delta-(\d{8}|[1-9]\d{8,14})$/;
const MANIFEST = "manifest.json";
const AGAIN = "it was cut short, damaged, or mixed with another run's: fetch this version again, or stop before it";
const FILES_BESIDE =
  "a manifest may only name files beside itself: fetch this version again, from a publisher whom you trust";

export const SKYRL: ChainLayout = {
  names: ["skyrl"],
  async find(folder, hub) {
    const versions = versionNames(folder).flatMap((place): readonly ListedVersion[] => {
      const digits = VERSION_FOLDER.exec(place)?.[1];
      return digits === undefined
        ? []
        : [
            listed(
              place,
              Number(digits),
              once(() => enterVersion(folder, place, versionText(Number(digits)), hub)),
            ),
          ];
    });
    versions.sort((a, b) => a.number - b.number);
    const notes = oddNames(folder, /^delta-\d/, VERSION_FOLDER);
    return versions.length === 0 ? null : { layout: "skyrl", versions, pointer: null, notes };
  },
};

interface Read {
  readonly folder: Folder;
  readonly small: SmallFile;
  readonly base: number;
  readonly tensors: readonly unknown[];
  /** The manifest's entries about all tensors together. */
  readonly stated: ReadonlyMap<string, unknown>;
}

function listed(place: string, number: number, enter: () => Promise<Folder | null>): ListedVersion {
  const id = versionText(number);
  const read = once(async (): Promise<Read> => {
    const folder = await enter();
    const file = folder === null ? undefined : fileNamed(folder, MANIFEST);
    if (folder === null || file === undefined) {
      const what = `has no ${MANIFEST}: still being published, or interrupted`;
      throw chainError("incomplete", what, "wait until it is published, or stop at an earlier version", {
        file: place,
        version: id,
      });
    }
    const { record, ...small } = await readRecord(file, folder.directory, id);
    const at = { file: `${place}/${MANIFEST}`, version: id };
    if (numberOf(record.get("version")) !== number) {
      const what = `says that it is version ${shown(record.get("version"))}, and lies in ${place}`;
      throw chainError("version-dir", what, "it was moved or damaged: fetch the chain again", at);
    }
    const base = numberOf(record.get("base_version"));
    if (base === null || base >= number) {
      const what = `version ${id} says that it is made on ${shown(record.get("base_version"))}, which is no earlier version`;
      throw chainError("link", what, "the manifest is damaged: fetch this version again", at);
    }
    const tensors = record.get("tensors");
    if (!Array.isArray(tensors)) {
      throw chainError("incomplete", "has no list of tensors", AGAIN, at);
    }
    return { folder, small, base, tensors, stated: record };
  });
  const head = async () => {
    const { base, small } = await read();
    return {
      kind: "delta" as const,
      ...{ base, encoding: "xor", checksum: null },
      index: { file: small.file, sha256: small.sha256 },
    };
  };
  return {
    id,
    number,
    place,
    head,
    async isUnfinished() {
      return isMissing(enter, (folder) => fileNamed(folder, MANIFEST) === undefined);
    },
    async open() {
      const opened = await openTensors(await read(), place, id);
      const [first] = opened.payloads.values();
      const checksum = first?.checksum?.algorithm ?? null;
      return { ...(await head()), checksum, ...opened, id, number, place };
    },
  };
}

/** @throws {WeightDiffError} with `why`. It lists everything that is wrong. */
async function openTensors(
  { folder, tensors, stated }: Read,
  place: string,
  id: string,
): Promise<Pick<Version, "shards" | "payloads" | "sums" | "notes" | "checkpoint" | "whole">> {
  const errors: WeightDiffError[] = [];
  const records = tensors.map(fieldsOf);
  const files = new Set<string>();
  for (const record of records) {
    const file = record?.get("payload_file");
    if (typeof file === "string" && isPlainShard(file)) {
      files.add(file);
    } else {
      const what = `${shown(file)} is not the bare name of a .safetensors file`;
      const at = { file: typeof file === "string" ? file : `${place}/${MANIFEST}`, version: id };
      errors.push(chainError("index-path", what, FILES_BESIDE, at));
    }
  }
  const listed = fileList(stated.get("payload_files"));
  if (listed === null) {
    const at = { file: `${place}/${MANIFEST}`, version: id };
    const what = `payload_files is ${shown(stated.get("payload_files"))}, not a list of bare names of .safetensors files`;
    errors.push(chainError("index-path", what, FILES_BESIDE, at));
  }
  const budget = headerBudget();
  const shards = new Map<string, UpdateShard>();
  const held = new Map<string, ReadonlyMap<string, TensorInfo>>();
  for (const file of [...new Set([...files, ...(listed ?? [])])].sort()) {
    try {
      const shard = await openShardIn(folder, file, id, { budget });
      shards.set(file, shard);
      held.set(file, new Map([...shard.header.tensors].map((tensor) => [tensor.name, tensor])));
    } catch (error) {
      errors.push(faultOf(error));
    }
  }
  const payloads = new PayloadMap();
  const used = new Set<string>();
  for (const record of records) {
    const shard = shards.get(String(record?.get("payload_file")));
    if (record === null || shard === undefined) {
      continue;
    }
    const tensor = held.get(shard.file)?.get(String(record.get("payload_key")));
    const found = payloadOf(record, shard, tensor, { place, id });
    if (found instanceof WeightDiffError) {
      errors.push(found);
      continue;
    }
    used.add(`${shard.file}/${String(record.get("payload_key"))}`);
    if (payloads.has(found.name)) {
      const at = { file: shard.path, tensor: found.name, version: id };
      errors.push(chainError("duplicate-tensor", `tensor ${quote(found.name)} is listed twice`, AGAIN, at));
    }
    payloads.set(found.name, found);
  }
  for (const shard of shards.values()) {
    for (const { name } of shard.header.tensors) {
      if (!used.has(`${shard.file}/${name}`) && errors.length === 0) {
        const at = { file: shard.path, tensor: name, version: id };
        errors.push(
          chainError("shard-extra", `tensor ${quote(name)} is in the shard and not in the manifest`, AGAIN, at),
        );
      }
    }
  }
  if (errors.length === 0) {
    errors.push(...contradictions(stated, records, { files, listed }, { file: `${place}/${MANIFEST}`, version: id }));
  }
  if (errors.length > 0) {
    throw together(errors);
  }
  // Readers open only the files that the manifest names. A run that started over may have left others.
  const others = folder.files.filter(({ file }) => isPlainShard(file) && !shards.has(file));
  const notes = others.map(({ file }) => `${file} is not named in ${MANIFEST}, and is not read`);
  return { shards: [...shards.values()], payloads, sums: new Map(), notes, checkpoint: null, whole: null };
}

/** A missing list is empty, as in SkyRL's own reader; null if it is not a list of names. */
function fileList(value: unknown): readonly string[] | null {
  const files: readonly unknown[] = value === undefined ? [] : Array.isArray(value) ? value : [value];
  const names = files.filter((file) => typeof file === "string" && isPlainShard(file));
  return names.length === files.length ? (names as readonly string[]) : null;
}

/**
 * The publisher writes the list of files and the totals from the list of tensors (a9564572, delta_checkpoint.py 1297-1304). Its reader fetches the
 * files by the list of files (258-273). If the lists differ, something is missing. A missing key proves nothing.
 */
function contradictions(
  stated: ReadonlyMap<string, unknown>,
  records: readonly (ReadonlyMap<string, unknown> | null)[],
  { files, listed }: { readonly files: ReadonlySet<string>; readonly listed: readonly string[] | null },
  at: { readonly file: string; readonly version: string },
): readonly WeightDiffError[] {
  const totals = ["uncompressed_num_bytes", "compressed_num_bytes"].flatMap((key) => {
    const [total, sum] = [stated.get(`total_${key}`), records.reduce((all, one) => all + Number(one?.get(key)), 0)];
    return total === undefined || total === sum
      ? []
      : [chainError("length", `total_${key} is ${shown(total)}, but its tensors have ${sum} together`, AGAIN, at)];
  });
  const unlisted = stated.has("payload_files") ? [...files].filter((file) => listed?.includes(file) === false) : [];
  return [
    ...totals,
    ...unlisted.map((file) =>
      chainError("index-tensor", `${quote(file)} has payloads of tensors, but is not in payload_files`, AGAIN, at),
    ),
  ];
}

function payloadOf(
  record: ReadonlyMap<string, unknown>,
  shard: UpdateShard,
  tensor: TensorInfo | undefined,
  { place, id }: { readonly place: string; readonly id: string },
): Payload | WeightDiffError {
  const name = record.get("name");
  const manifest = { file: `${place}/${MANIFEST}`, version: id };
  if (typeof name !== "string") {
    return chainError("incomplete", `a tensor's name is ${shown(name)}`, AGAIN, manifest);
  }
  const at = { ...manifest, tensor: name };
  if (tensor === undefined) {
    const what = `tensor ${quote(name)}: its payload ${shown(record.get("payload_key"))} is not in ${shard.file}`;
    return chainError("index-tensor", what, AGAIN, { ...at, file: shard.path });
  }
  const wrong = wrongPayload(tensor, shard.path, id);
  if (wrong !== null) {
    return wrong;
  }
  const [torch, sizes] = [record.get("dtype"), record.get("shape")];
  const dtype = typeof torch === "string" ? dtypeFromTorch(torch.replace(/^torch\./, "")) : undefined;
  const shape =
    Array.isArray(sizes) && sizes.every((size) => Number.isSafeInteger(size) && size >= 0) ? sizes.map(Number) : null;
  if (dtype === undefined || shape === null) {
    return chainError("dtype", `tensor ${quote(name)} is ${shown(torch)} ${shown(sizes)}`, AGAIN, at);
  }
  const bytes = tensorBytes(dtype, shape);
  if (bytes === undefined) {
    return chainError(
      "dtype",
      `tensor ${quote(name)} is ${shown(torch)} ${shown(sizes)}, more than any file holds`,
      AGAIN,
      at,
    );
  }
  const stated = [record.get("uncompressed_num_bytes"), record.get("compressed_num_bytes")];
  if (stated[0] !== bytes || stated[1] !== rangeLength(tensor.range)) {
    const what = `${shown(stated[1])} compressed and ${shown(stated[0])} decoded bytes are stated, expected ${rangeLength(tensor.range)} and ${bytes}`;
    return chainError("length", `tensor ${quote(name)}: ${what}`, AGAIN, at);
  }
  const checksum = statedSum(record, name, at);
  return checksum instanceof WeightDiffError
    ? checksum
    : { name, shard, range: tensor.range, encoding: "xor", compression: "zstd", checksum, dtype, shape };
}

/** Older records have `sha256` in place of a checksum and its algorithm. If the algorithm is left out, it is the one that SkyRL's reader assumes (78-88). */
function statedSum(
  record: ReadonlyMap<string, unknown>,
  name: string,
  at: { readonly file: string; readonly version: string; readonly tensor: string },
): StatedChecksum | WeightDiffError {
  const algorithm = record.get("checksum_algorithm") ?? (record.has("checksum") ? "xxh3-128" : "sha256");
  if (!isChecksumName(algorithm)) {
    const what = `tensor ${quote(name)}: checksum_algorithm ${shown(algorithm)} is not known`;
    return chainError("unknown-checksum", what, "it may be from a newer publisher: update weight-diff", at);
  }
  const hex = record.get("checksum") ?? record.get("sha256");
  return (
    checksumOf(algorithm, hex) ??
    chainError(
      "no-checksum",
      `tensor ${quote(name)} has no checksum: ${shown(hex)} is no ${algorithm}`,
      "a payload without a checksum is not applied: fetch this version again, or stop before it",
      at,
    )
  );
}
