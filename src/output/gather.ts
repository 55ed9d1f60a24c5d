/**
 * Puts the parts of a run on several machines together. Every file gets its final name straight from the folder of its part. Meanwhile the
 * gathering run holds the lock of every part. If it ends while it gives names, it can be run again.
 */
import { join } from "node:path";
import { runError } from "../files/errno.js";
import { hasOwnFolder, ownFolder } from "../files/own.js";
import { type OutputDirectory, outputDirectory } from "./directory.js";
import { type Journal, listedFiles, readJournal, removeJournal, resumeJournal, startJournal } from "./journal.js";
import type { PlanIdentity } from "./journal-text.js";
import { type Lock, removeStaleLocks, takeLock } from "./lock.js";
import { refuseTwins } from "./names.js";
import { clearPart, removePart } from "./part.js";
import { type PartNumber, partName, partsIn } from "./part-names.js";
import { isHeard } from "./part-state.js";
import {
  refuseStrangers,
  removeFolders,
  removeStaged,
  type StagedShard,
  stagedPath,
  syncDirectory,
} from "./staging.js";
import { MANIFEST, STAGING } from "./state.js";
import { refuseTaken, takeBack } from "./sweep.js";

export interface GatherRequest {
  readonly identity: PlanIdentity;
  readonly parts: readonly PartNumber[];
  /** The parts were made to replace the model in the directory. */
  readonly replace: boolean;
  readonly shards: readonly StagedShard[];
  /** The part that made a file; null for a file that is made now. */
  readonly partOf: (file: string) => PartNumber | null;
  /** Names of the small files that will come. */
  readonly small: readonly string[];
}

/** The folder where a part keeps its files. */
export function partFolder(path: string, part: PartNumber): string {
  return join(path, STAGING, partName(part));
}

/**
 * Takes the directory and all parts. Takes back names that an earlier run gave, so that everything is checked again.
 * @throws {WeightDiffError} OUTPUT_LOCKED if a part is running; OUTPUT_REFUSED, IO.
 */
export async function openGathering(path: string, request: GatherRequest): Promise<OutputDirectory> {
  const { identity, parts, replace, shards, partOf, small } = request;
  const staging = join(path, STAGING);
  const files = shards.map(({ file }) => file);
  const staged = (file: string): string => {
    const part = partOf(file);
    return stagedPath(part === null ? staging : partFolder(path, part), file);
  };
  const locks: Lock[] = [];
  const unlock = async (): Promise<void> => {
    for (const lock of locks.splice(0).toReversed()) {
      await lock.release();
    }
  };
  try {
    await ownFolder(staging);
    locks.push(await takeLock(staging));
    await removeStaleLocks(staging);
    for (const part of parts) {
      const folder = partFolder(path, part);
      locks.push(await takeLock(folder, () => isHeard(folder, undefined)));
    }
    await refuseTwins(staging, [...files, ...small, MANIFEST]);
    const opened = await openJournal();
    let naming = false;
    const journal: Journal = {
      ...opened,
      async beginSweep() {
        naming = true;
        await opened.beginSweep();
      },
    };
    const clear = async (): Promise<void> => {
      await journal.end();
      for (const part of parts) {
        await clearPart(partFolder(path, part));
      }
      for (const lock of locks.splice(1)) {
        await lock.release();
      }
      await removeFolders(parts.map((part) => partFolder(path, part)));
    };
    const output = outputDirectory(path, journal, { unlock, made: [], staged, clear });
    // If anything fails before names are given, the parts stay, and everything else goes.
    const leave = (): Promise<void> => (naming ? output.suspend() : output.discard());
    return { ...output, suspend: leave, discard: leave };
  } catch (error) {
    await unlock().catch(() => {}); // the first error is the one to report
    throw runError(staging, "gather", error);
  }

  async function openJournal(): Promise<Journal> {
    const earlier = await readJournal(staging);
    const known = [...(earlier?.files ?? []), ...parts.map(partName)];
    await refuseStrangers(staging, new Set(known));
    if (earlier?.swept === true) {
      const journal = await resumeJournal(staging, identity);
      await takeBack(path, staged, journal.files, shards);
      await journal.undoSweep();
      return journal;
    }
    await refuseTaken(path, [...files, MANIFEST], replace);
    await removeStaged(staging, await listedFiles(staging));
    await removeJournal(staging);
    return startJournal(staging, { plan: identity, replace, files, gathers: parts.length });
  }
}

/** Removes what remains of a run that had given all names and ended while it cleaned up. */
export async function clearGathered(path: string): Promise<void> {
  const staging = join(path, STAGING);
  if (!(await hasOwnFolder(staging)) || (await readJournal(staging))?.done !== true) {
    return;
  }
  const lock = await takeLock(staging);
  await removeStaleLocks(staging);
  for (const part of await partsIn(path)) {
    await removePart(path, part);
  }
  await removeJournal(staging);
  await lock.release();
  await removeFolders([staging]);
  await syncDirectory(path);
}
