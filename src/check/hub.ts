/** Compares whole weight files with the sha256 that the Hub (git-lfs) lists for them. */
import type { Checkpoint } from "../checkpoint/checkpoint.js";
import type { Shard } from "../checkpoint/shard.js";
import type { AddFinding } from "../finding.js";
import type { Manifest } from "../manifest/manifest.js";
import type { Reading } from "../run/digest.js";

/**
 * The files that must be digested for the comparison with the Hub's list. A file in the cache was digested when it was fetched. Where
 * manifest and Hub have the same digest, the digests of the tensors prove the file.
 */
export function filesToHold({ shards }: Checkpoint, manifest: Manifest | null): readonly Shard[] {
  const digests = digestsOf(manifest);
  return shards.filter(({ file, hub }) => {
    return hub !== undefined && hub.sha256 !== null && hub.snapshot === null && !digests.has(file);
  });
}

/** Reports the files that differ from the Hub's list, and how many match it. */
export function checkHub(
  { shards }: Checkpoint,
  manifest: Manifest | null,
  reading: Reading,
  report: AddFinding,
): void {
  const digests = digestsOf(manifest);
  let proven = 0;
  for (const { file, hub } of shards) {
    const listed = hub?.sha256 ?? null;
    const stated = digests.get(file);
    const found = reading.files.get(file);
    if (listed === null) {
      continue;
    }
    if (found !== undefined && found !== listed) {
      report("error", `differs: its sha256 is ${found}, the Hub lists ${listed}`, { file });
    } else if (stated !== undefined && stated !== listed) {
      report("error", `the Hub has another file than the manifest lists: its sha256 is ${listed}`, { file });
    } else {
      proven++;
    }
  }
  if (proven > 0) {
    report("note", `${proven} weight ${proven === 1 ? "file has" : "files have"} the sha256 that the Hub lists`);
  }
}

function digestsOf(manifest: Manifest | null): ReadonlyMap<string, string> {
  return new Map((manifest?.files ?? []).flatMap(({ file, sha256 }) => (sha256 === undefined ? [] : [[file, sha256]])));
}
