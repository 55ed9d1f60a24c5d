/** Writes the index of an update as slime does: one line, with version numbers as text of six digits (slime 624b824a, update_weight_from_disk_delta.py 158-168). */
import type { UpdateEncoding } from "../formats/update.js";
import { ascii } from "../formats/weight-index.js";

/** The value of `compression_format` for each encoding. */
export const COMPRESSIONS = {
  xor: "zstd",
  overwrite: "zstd",
  xor_sparse: "zstd",
  "exact-compressed": "coded",
} as const;

export const PUBLISHED_CHECKSUMS = ["xxh3-128", "blake3", "adler32"] as const;
export type PublishedChecksum = (typeof PUBLISHED_CHECKSUMS)[number];

export interface UpdateHead {
  readonly version: string;
  readonly baseVersion: string;
  readonly encoding: UpdateEncoding;
  readonly checksum: string;
  /** Our own keys. The trainers' readers ignore them. */
  readonly own?: ReadonlyMap<string, string>;
}

/** @param weightMap the shard by tensor. */
export function writeUpdateIndex(
  { version, baseVersion, encoding, checksum, own = new Map() }: UpdateHead,
  weightMap: ReadonlyMap<string, string>,
): string {
  const metadata = new Map([
    ["version", version],
    ["base_version", baseVersion],
    ["delta_encoding", encoding],
    ["compression_format", COMPRESSIONS[encoding]],
    ["checksum_format", checksum],
    ...own,
  ]);
  return `{"metadata": ${flat(metadata)}, "weight_map": ${flat(weightMap)}}`;
}

/** Writes an object as Python's json.dumps does. */
function flat(texts: ReadonlyMap<string, string>): string {
  return `{${[...texts].map(([key, value]) => `${ascii(key)}: ${ascii(value)}`).join(", ")}}`;
}
