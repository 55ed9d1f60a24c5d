/** Decides what happens to an output directory: a new run, a continued run, a replacement, or the check of a finished output. */
import { rmdir } from "node:fs/promises";
import { join } from "node:path";
import { WeightDiffError } from "../errors.js";
import { hasOwnFolder } from "../files/own.js";
import { removeJournal } from "./journal.js";
import { lockOutput, refuseLocked, removeStaleLocks } from "./lock.js";
import { isBegun, type PartNumber, partName, partsIn, partText } from "./part-names.js";
import { hasParts, outputState, STAGING } from "./state.js";

export type OutputMode = "new" | "resume" | "force";

/**
 * The mode in which to open the output; "verify" if it is finished.
 * @throws {WeightDiffError} OUTPUT_REFUSED if the wanted mode does not fit what is there; OUTPUT_LOCKED, IO.
 */
export async function chooseMode(path: string, wanted: OutputMode): Promise<OutputMode | "verify"> {
  const state = await outputState(path);
  if (state === "absent" || state === "empty") {
    return "new";
  }
  if (state === "partial") {
    await refuseLocked(join(path, STAGING)); // force must not take the folder from a running run
    for (const part of await partsIn(path)) {
      await refuseLocked(join(path, STAGING, partName(part)));
    }
    if (wanted === "resume" && (await hasParts(path))) {
      throw refuseParts(path);
    }
  }
  if (wanted === "force" || (wanted === "resume" && state === "partial")) {
    return wanted;
  }
  if (wanted === "resume" && state === "finished") {
    await removeLeftovers(join(path, STAGING));
    return "verify";
  }
  throw state === "partial" && (await hasParts(path)) ? refuseParts(path) : refuseHeld(path, state);
}

/**
 * The mode in which to open one part of the output; "verify" if all parts were already put together. Other parts may be running.
 * @throws {WeightDiffError} OUTPUT_REFUSED if the wanted mode does not fit what is there; IO.
 */
export async function choosePartMode(
  path: string,
  part: PartNumber,
  wanted: OutputMode,
): Promise<OutputMode | "verify"> {
  const state = await outputState(path);
  const begun = await isBegun(path, part);
  if (wanted === "force" || state === "absent" || state === "empty") {
    return wanted;
  }
  if (state === "partial") {
    if (begun && wanted === "new") {
      throw new WeightDiffError("OUTPUT_REFUSED", `holds part ${partText(part)} already`, undefined, {
        at: { file: path },
        advice: [
          { to: "continue or check it", option: "mode", value: "resume" },
          { to: "start it over", option: "mode", value: "force" },
        ],
      });
    }
    return wanted;
  }
  if (wanted === "resume" && state === "finished") {
    return "verify";
  }
  throw refuseHeld(path, state);
}

function refuseParts(path: string): WeightDiffError {
  return new WeightDiffError("OUTPUT_REFUSED", "holds parts of a run on several machines", undefined, {
    at: { file: path },
    advice: [
      { to: "put them together", command: "finalize", options: { path } },
      { to: "start over", option: "mode", value: "force" },
    ],
  });
}

/** The error for a directory that is not empty. */
export function refuseHeld(path: string, state: Awaited<ReturnType<typeof outputState>>): WeightDiffError {
  const force = { option: "mode", value: "force" } as const;
  return state === "partial"
    ? new WeightDiffError("OUTPUT_REFUSED", "holds an unfinished run", undefined, {
        at: { file: path },
        advice: [
          { to: "continue it", option: "mode", value: "resume" },
          { to: "start over", ...force },
        ],
      })
    : new WeightDiffError("OUTPUT_REFUSED", "is not empty", "give another output directory", {
        at: { file: path },
        advice: [{ to: "replace the model in it", ...force }],
      });
}

/** Removes what remains of a run that ended while it cleaned up. @throws {WeightDiffError} OUTPUT_LOCKED if it still runs. */
export async function removeLeftovers(staging: string): Promise<void> {
  if (await hasOwnFolder(staging)) {
    const unlock = await lockOutput(staging);
    await removeStaleLocks(staging);
    await removeJournal(staging);
    await unlock();
    await rmdir(staging).catch(() => {}); // only if it is empty
  }
}
