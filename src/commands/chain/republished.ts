/** Was a version that was read published again meanwhile? */
import { dirname } from "node:path";
import type { Version } from "../../chain/chain.js";
import { readSmall } from "../../chain/small-file.js";
import { WeightDiffError } from "../../errors.js";

/** A publisher starts over by deleting all versions, and counts from 1 again: what was read may be of two runs. @throws {WeightDiffError} INPUT_CHANGED. */
export async function refuseRepublished(steps: readonly Version[]): Promise<void> {
  for (const { index, place } of steps) {
    if (index === null) {
      continue;
    }
    const now = await readSmall(index.file, dirname(index.file.path)).catch(() => null); // gone, or not to be read: as bad as another
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
