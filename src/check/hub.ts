/** Weight files against the digests that the Hub lists for them: whole files, git-lfs' own sha256. */
import type { Checkpoint } from "../checkpoint/checkpoint.js";
import type { Shard } from "../checkpoint/shard.js";
import type { AddFinding } from "../finding.js";
import type { Manifest } from "../manifest/manifest.js";
import type { Reading } from "../run/digest.js";

/**
 * Files whose digest must be taken to be held against the Hub's. What comes into the cache was digested on its way; and a file
 * that the manifest has a digest of is proven by its tensors, if the Hub lists the same digest.
 */
export function filesToHold({ shards }: Checkpoint, manifest: Manifest | null): readonly Shard[] {
  const digests = digestsOf(manifest);
  return shards.filter(({ file, hub }) => {
    return hub !== undefined && hub.sha256 !== null && hub.snapshot === null && !digests.has(file);
  });
}

/** Tells which files are not the ones that the Hub lists, and of how many it is proven that they are. */
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
