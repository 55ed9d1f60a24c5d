/**
 * The index of a version as slime, miles, stitch, vime and ModelExpress publish it. Its metadata has five entries about the update (docs/chains.md 1;
 * slime 624b824a, update_weight_from_disk_delta.py 158-168).
 */
import type { Folder } from "../checkpoint/file-list.js";
import { findHuggingface } from "../checkpoint/layouts/huggingface.js";
import { WeightDiffError } from "../errors.js";
import type { ChecksumName } from "../formats/checksum.js";
import { Column } from "../formats/column.js";
import type { ValueReader } from "../formats/json.js";
import type { JsonScanner } from "../formats/json-scanner.js";
import { type Names, tensorNames } from "../formats/names.js";
import { quote } from "../formats/quote.js";
import { chainError, together, type VersionHead } from "./chain.js";
import { type CodedTensors, readCodedKeys } from "./coded-index.js";
import { isChecksumName } from "./shards.js";
import { fieldsOf, fileNamed, jsonOf, readJson, refuseNoObject, type SmallFile } from "./small-file.js";
import { COMPRESSIONS } from "./update-index.js";

export const INDEX = "model.safetensors.index.json";

/** The index of an update. */
export interface DeltaIndex {
  readonly kind: "delta";
  readonly small: SmallFile;
  readonly metadata: ReadonlyMap<string, unknown>;
  readonly weightMap: WeightMap;
  readonly encoding: keyof typeof COMPRESSIONS;
  readonly algorithm: ChecksumName;
  /** The tensors if the payloads are coded; else null. */
  readonly coded: CodedTensors | null;
}

/** Which file holds which tensor. An index may name 35,000 tensors, so it is stored in columns: one row for each, in the order of the index. */
export interface WeightMap {
  readonly names: Names;
  /** The number of each tensor's name. */
  readonly ids: Int32Array;
  /** The file of each, as an index into `files`. */
  readonly fileOf: Int32Array;
  /** The different ones as they stand there, which need not be text. */
  readonly files: readonly unknown[];
}

/** A whole model: it has an ordinary index, or none. */
export interface FullIndex {
  readonly kind: "full";
  readonly small: SmallFile | null;
  readonly metadata: ReadonlyMap<string, unknown>;
}

/** The shards that slime wrote before July 2026. Its folders had the same names (slime 987b3149). */
const OLD_SHARD = /^rank\d+_flush\d+\.safetensors$/;

export const UNFINISHED_HINT = "wait until it is published, or stop at an earlier version";

/** Has it neither an index nor a whole model? Then it is being published, or its publisher was interrupted. */
export function isUnfinished({ files }: Folder): boolean {
  const names = new Set(files.map(({ file }) => file));
  return findHuggingface(names) === null && ![...names].some((name) => OLD_SHARD.test(name) || name === "DONE");
}

/** Reads only the index. @throws {WeightDiffError} with `why`. */
export async function readVersionIndex(folder: Folder, id: string): Promise<DeltaIndex | FullIndex> {
  const at = { file: folder.path, version: id };
  const old = folder.files.find(({ file }) => OLD_SHARD.test(file));
  if (old !== undefined) {
    throw chainError(
      "old-layout",
      `${quote(old.file)} is of slime's layout before July 2026, which is not read`,
      "publish it again with a newer slime",
      at,
    );
  }
  if (isUnfinished(folder)) {
    const shards = folder.files.some(({ file }) => file.endsWith(".safetensors"));
    const what = shards ? "has shards and no index" : "has no index and no weights";
    throw chainError("incomplete", `${what}: still being published, or interrupted`, UNFINISHED_HINT, at);
  }
  const file = fileNamed(folder, INDEX);
  if (file === undefined) {
    return { kind: "full", small: null, metadata: new Map() };
  }
  const { value, ...small } = await readJson(file, folder.directory, id, readIndex);
  const { metadata, weightMap } = value;
  if (!metadata.has("delta_encoding")) {
    return { kind: "full", small, metadata };
  }
  const where = { file: file.name, version: id };
  if (weightMap === null) {
    throw chainError("incomplete", "has no weight_map", "fetch this version again", where);
  }
  const errors: WeightDiffError[] = [];
  const [encoding, compression, algorithm] = ["delta_encoding", "compression_format", "checksum_format"].map((key) =>
    metadata.get(key),
  );
  if (!isEncoding(encoding)) {
    const what = `delta_encoding ${shown(encoding)} is not known; known are xor, overwrite, xor_sparse and exact-compressed`;
    errors.push(chainError("unknown-encoding", what, NEWER, where));
  }
  const expected = isEncoding(encoding) ? COMPRESSIONS[encoding] : "zstd";
  if (compression !== expected) {
    const what = `compression_format ${shown(compression)} is not known: expected ${quote(expected)}`;
    errors.push(chainError("unknown-compression", what, NEWER, where));
  }
  const coded = encoding === "exact-compressed" ? readCodedKeys(metadata, where) : null;
  if (coded instanceof WeightDiffError) {
    errors.push(coded);
  }
  if (!isChecksumName(algorithm) || algorithm === "sha256") {
    const what = `checksum_format ${shown(algorithm)} is not known; known are xxh3-128, blake3 and adler32`;
    errors.push(chainError("unknown-checksum", what, NEWER, where));
  }
  if (errors.length > 0 || !isEncoding(encoding) || coded instanceof WeightDiffError) {
    throw together(errors);
  }
  return { kind: "delta", small, metadata, weightMap, encoding, algorithm: algorithm as ChecksumName, coded };
}

function readIndex(
  scanner: JsonScanner,
  values: ValueReader,
): { readonly metadata: ReadonlyMap<string, unknown>; readonly weightMap: WeightMap | null } {
  let metadata: ReadonlyMap<string, unknown> | null = null;
  let weightMap: WeightMap | null = null;
  if (scanner.peek() !== "{") {
    values.read();
    refuseNoObject(scanner);
  }
  values.count();
  scanner.object((key) => {
    if (key === "weight_map" && scanner.peek() === "{") {
      weightMap = readWeightMap(scanner, values);
    } else {
      const value = values.read();
      metadata = key === "metadata" ? fieldsOf(value) : metadata;
    }
  });
  return { metadata: metadata ?? new Map(), weightMap };
}

function readWeightMap(scanner: JsonScanner, values: ValueReader): WeightMap {
  const names = tensorNames();
  const [ids, fileOf] = [new Column(Int32Array, names.size), new Column(Int32Array, names.size)];
  const files: unknown[] = [];
  const known = new Map<unknown, number>();
  let [last, place]: [unknown, number] = [undefined, -1];
  values.count();
  scanner.named(names, (id) => {
    const file = values.read();
    if (file !== last || place < 0) {
      place = known.get(file) ?? files.push(file) - 1;
      known.set(file, place);
      last = file;
    }
    ids.push(id);
    fileOf.push(place);
  });
  return { names, ids: ids.all().slice(), fileOf: fileOf.all().slice(), files };
}

function isEncoding(value: unknown): value is keyof typeof COMPRESSIONS {
  return typeof value === "string" && Object.hasOwn(COMPRESSIONS, value);
}

export const NEWER = "it may be from a newer publisher: update weight-diff, or publish it in another form";

export function shown(value: unknown): string {
  return typeof value === "string" ? quote(value) : value === undefined ? "(missing)" : jsonOf(value);
}

/** The version on which an update is made; `base` is null for a full version. */
export type Link = Pick<VersionHead, "base" | "unnamed">;

export function headOf(index: DeltaIndex | FullIndex, link: Link): VersionHead {
  const { small } = index;
  return {
    kind: index.kind,
    ...link,
    encoding: index.kind === "full" ? null : index.encoding,
    checksum: index.kind === "full" ? null : index.algorithm,
    index: small === null ? null : { file: small.file, sha256: small.sha256 },
  };
}
