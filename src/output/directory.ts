/**
 * The output directory. Everything grows inside OUT/.weight-diff/ and gets its final name in one sweep at the end, the manifest last: its
 * presence means that the run finished. Files are synced before they are renamed, directories after.
 */
import { rmdir } from "node:fs/promises";
import { join } from "node:path";
import { runError } from "../files/errno.js";
import { hasOwnFolder } from "../files/own.js";
import { type OutputMode, refuseHeld } from "./choose-mode.js";
import { type Journal, listedFiles, removeJournal, resumeJournal, startJournal } from "./journal.js";
import type { PlanIdentity } from "./journal-text.js";
import { lockOutput, removeStaleLocks } from "./lock.js";
import { refuseName, refuseTwins } from "./names.js";
import { removePart } from "./part.js";
import { partsIn } from "./part-names.js";
import {
  contentOf,
  type ExtraFile,
  layOutShard,
  makeOutput,
  refuseStrangers,
  removeFolders,
  removeStaged,
  type StagedShard,
  type Staging,
  stagedPath,
  syncDirectory,
  syncFile,
  type WrittenFile,
  writeSmall,
} from "./staging.js";
import { MANIFEST, outputState, STAGING } from "./state.js";
import { giveNames, refuseTaken, removeOld, takeBack } from "./sweep.js";

/** The text of the manifest in pieces, made from the list of small files that were written. */
type ManifestText = (written: readonly WrittenFile[]) => Iterable<string>;

export interface OutputDirectory extends Staging {
  /**
   * Gives final names: first to shards and extras, then to the manifest.
   * @throws {WeightDiffError} OUTPUT_REFUSED if a name is taken; the run can then be resumed.
   */
  finish(shards: readonly StagedShard[], extras: readonly ExtraFile[], manifest: ManifestText): Promise<void>;
  /** Keeps everything, so that another run can resume. */
  suspend(): Promise<void>;
  /** Removes everything that this run made. */
  discard(): Promise<void>;
}

/**
 * Takes the directory for this run, and lays out the shards at their full length.
 * @param small names of the small files that will come.
 * @throws {WeightDiffError} OUTPUT_LOCKED; OUTPUT_REFUSED (resume: for another plan; new: another run was faster; something else stands
 * where this tool's files should be); DISK_FULL, IO.
 */
export async function openOutput(
  path: string,
  mode: OutputMode,
  identity: PlanIdentity,
  shards: readonly StagedShard[],
  small: readonly string[] = [],
): Promise<OutputDirectory> {
  const staging = join(path, STAGING);
  const files = shards.map(({ file }) => file);
  for (const name of [...files, ...small]) {
    refuseName(name);
  }
  const made = await makeOutput(path);
  let unlock: (() => Promise<void>) | undefined;
  let journal: Journal | undefined;
  try {
    unlock = await lockOutput(staging);
    await removeStaleLocks(staging);
    await refuseTwins(staging, [...files, ...small, MANIFEST]);
    await refuseTaken(path, [...files, MANIFEST], true);
    journal =
      mode === "resume"
        ? await resume(path, identity, shards)
        : await begin(path, mode, { plan: identity, replace: mode === "force", files });
    for (const shard of shards) {
      await layOutShard(staging, shard);
    }
    await syncDirectory(staging);
    await syncDirectory(path);
    return outputDirectory(path, journal, { unlock, made, staged: (file) => stagedPath(staging, file) });
  } catch (error) {
    // The first error is the one to report. A new run has made nothing yet that could be resumed.
    await journal?.close().catch(() => {});
    if (journal !== undefined && mode !== "resume") {
      await removeAll(staging, journal).catch(() => {});
    }
    await unlock?.().catch(() => {});
    await removeFolders([...made, staging]);
    throw runError(staging, "write", error);
  }
}

/** Starts a new run, or replaces what an earlier one left. */
async function begin(path: string, mode: OutputMode, head: Parameters<typeof startJournal>[1]): Promise<Journal> {
  const staging = join(path, STAGING);
  const state = await outputState(path);
  if (mode === "new" && state !== "empty") {
    throw refuseHeld(path, state); // the directory was empty before this run had the lock
  }
  if (mode === "force") {
    for (const part of await partsIn(path)) {
      await removePart(path, part);
    }
  }
  // Files that this run will write may exist without being listed: the journal of an earlier version cannot be read.
  const listed = new Set([...(await listedFiles(staging)), ...head.files]);
  await refuseStrangers(staging, listed);
  await removeStaged(staging, listed);
  await removeJournal(staging);
  return startJournal(staging, head);
}

async function resume(path: string, identity: PlanIdentity, shards: readonly StagedShard[]): Promise<Journal> {
  const staging = join(path, STAGING);
  const journal = await resumeJournal(staging, identity);
  try {
    await refuseStrangers(staging, journal.files);
    if (journal.swept) {
      await takeBack(path, (name) => stagedPath(staging, name), journal.files, shards);
      await journal.undoSweep();
    }
    return journal;
  } catch (error) {
    await journal.close().catch(() => {});
    throw error;
  }
}

export interface Held {
  readonly unlock: () => Promise<void>;
  /** Folders that this run made for its output. */
  readonly made: readonly string[];
  /** The path of an output file until it gets its final name. */
  readonly staged: (file: string) => string;
  /** Removes files that are of no use once all names are given. */
  readonly clear?: () => Promise<void>;
}

/** The directory of a run that holds the lock of its staging folder. */
export function outputDirectory(
  path: string,
  journal: Journal,
  { unlock, made, staged, clear }: Held,
): OutputDirectory {
  const staging = join(path, STAGING);
  const leave = async (): Promise<void> => {
    await removeStaleLocks(staging).catch(() => {}); // a stale lock keeps nobody out
    await unlock();
    await rmdir(staging).catch(() => {}); // another run may be looking in
  };
  return {
    path,
    journal,
    staged,
    seal: (file) => syncFile(staged(file)),
    async finish(shards, extras, manifest) {
      try {
        const names = [...shards, ...extras].map(({ file }) => file);
        await hasOwnFolder(staging);
        await refuseTwins(staging, [...names, MANIFEST]);
        await refuseTaken(path, [...names, MANIFEST], journal.replace);
        await journal.addFiles([...names, MANIFEST].filter((name) => !journal.files.has(name)));
        const written: WrittenFile[] = [];
        for (const extra of extras) {
          written.push(await writeSmall(staging, extra.file, contentOf(extra, written)));
        }
        await writeSmall(staging, MANIFEST, manifest(written));
        await syncDirectory(staging);
        await journal.beginSweep();
        if (journal.replace) {
          await removeOld(path);
        }
        await giveNames(path, staged, names);
        await clear?.();
        await journal.close();
        await removeJournal(staging);
        await leave();
        await syncDirectory(path);
      } catch (error) {
        throw runError(path, "finish", error);
      }
    },
    async suspend() {
      await journal.sync().catch(() => {}); // the error that ends the run is the one to report
      await journal.close();
      await unlock();
    },
    async discard() {
      await journal.close();
      await removeAll(staging, journal);
      await leave();
      await removeFolders(made);
    },
  };
}

/** The journal goes last: without it, nobody would know whose the other files are. */
async function removeAll(staging: string, { files }: Journal): Promise<void> {
  await removeStaged(staging, files);
  await removeJournal(staging);
}
