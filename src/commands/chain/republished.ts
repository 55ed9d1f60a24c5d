/** Checks whether a version was published again while it was read. */
import { dirname } from "node:path";
import type { Version } from "../../chain/chain.js";
import { readSmall } from "../../chain/small-file.js";
import { WeightDiffError } from "../../errors.js";

/** A publisher that starts over deletes all versions and counts from 1 again. So the bytes that were read may be of two runs. @throws {WeightDiffError} INPUT_CHANGED. */
export async function refuseRepublished(steps: readonly Version[]): Promise<void> {
  for (const { index, place } of steps) {
    if (index === null) {
      continue;
    }
    const now = await readSmall(index.file, dirname(index.file.path)).catch(() => null); // a file that is gone or unreadable is as bad as another one
    if (now?.sha256 !== index.sha256) {
      throw new WeightDiffError(
        "INPUT_CHANGED",
        `${index.file.file} is not what it was when the run began: the version was published again`,
        "look at the chain again, and start over",
        { at: { file: place } },
      );
    }
  }
}
