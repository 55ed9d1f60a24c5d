/** The diff's own manifest, and whether this base is the one that it states. */
import { readPublished, refuseOtherBase } from "../../check/published.js";
import type { Inputs } from "../../evidence/guards.js";
import type { MakeDiffManifest } from "../../manifest/manifest.js";
import type { RecoverOptions } from "./options.js";

export interface Published {
  /** Null if there is none, or if the user told recover to ignore it. */
  readonly manifest: MakeDiffManifest | null;
  /** The number of the base's tensors with the digests that the manifest states. */
  readonly proven: number;
}

/** @throws {WeightDiffError} MISMATCH for another base; as readPublished. */
export async function publishedFor(
  { raw, diff }: Inputs,
  { ignore, onNote }: Pick<RecoverOptions, "ignore" | "onNote">,
): Promise<Published> {
  const manifest = ignore?.includes("wrong-base") === true ? null : await readPublished(diff);
  const proven = manifest === null ? 0 : await refuseOtherBase(raw, manifest);
  if (proven > 0) {
    // A sample: the rest of the base may still be another's, which the recovered tensors show.
    const have = proven === 1 ? "has the digest" : "have the digests";
    onNote?.(`${proven} of the base's tensors ${have} that the diff's manifest states`);
  }
  return { manifest, proven };
}
