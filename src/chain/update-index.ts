/** The index of an update, as slime writes it: one line, with the numbers as text of six digits (slime 624b824a, update_weight_from_disk_delta.py 158-168). */
import { ascii } from "../formats/weight-index.js";

/** What updates are written in. */
export const UPDATE_ENCODINGS = ["xor", "overwrite"] as const;
export type UpdateEncoding = (typeof UPDATE_ENCODINGS)[number];
export const PUBLISHED_CHECKSUMS = ["xxh3-128", "blake3", "adler32"] as const;
export type PublishedChecksum = (typeof PUBLISHED_CHECKSUMS)[number];

export interface UpdateHead {
  readonly version: string;
  readonly baseVersion: string;
  readonly encoding: string;
  readonly checksum: string;
  /** Keys of our own, which readers pass over. */
  readonly own?: ReadonlyMap<string, string>;
}

/** @param weightMap tensor -> shard. */
export function writeUpdateIndex(
  { version, baseVersion, encoding, checksum, own = new Map() }: UpdateHead,
  weightMap: ReadonlyMap<string, string>,
): string {
  const metadata = new Map([
    ["version", version],
    ["base_version", baseVersion],
    ["delta_encoding", encoding],
    ["compression_format", "zstd"],
    ["checksum_format", checksum],
    ...own,
  ]);
  return `{"metadata": ${flat(metadata)}, "weight_map": ${flat(weightMap)}}`;
}

/** As Python's json.dumps. */
function flat(texts: ReadonlyMap<string, string>): string {
  return `{${[...texts].map(([key, value]) => `${ascii(key)}: ${ascii(value)}`).join(", ")}}`;
}
