/**
 * The output directory. Everything grows inside OUT/.weight-diff/ and gets its final name in one sweep at the end, the
 * manifest last: its presence means that the run finished. Files are synced before their names change, directories after.
 */
import { lstat, mkdir, open, readdir, rename, rm, rmdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { WeightDiffError } from "../errors.js";
import { runError } from "../files/errno.js";
import { openFileSource, type PlacedFile } from "../files/file-source.js";
import { JOURNAL, type Journal, type PlanIdentity, resumeJournal, startJournal } from "./journal.js";
import { lockOutput } from "./lock.js";
import { exists, isWeightFile, MANIFEST, outputState, STAGING } from "./state.js";

/** A shard to be written: its header, and how long the whole file is. */
export interface ShardFile {
  readonly file: string;
  /** Null where only the run tells: the file grows. */
  readonly size: number | null;
  readonly header: Uint8Array;
}

/** A small file of the output: its text, or where to copy it from, and the folder that links must not lead it out of. */
export type ExtraFile = { readonly file: string } & ({ readonly text: string } | PlacedFile);

/** Bytes of a small file that are copied at once. */
const PIECE = 1 << 20;

export interface OutputDirectory {
  readonly path: string;
  readonly journal: Journal;
  /** Where shard `file` grows. */
  staged(file: string): string;
  /** Waits until a shard's bytes are with the disk. */
  seal(file: string): Promise<void>;
  /** Gives final names: shards, extras, the manifest last. */
  finish(shards: readonly ShardFile[], extras: readonly ExtraFile[], manifest: string): Promise<void>;
  /** Leaves what is there for --resume. */
  suspend(): Promise<void>;
  /** Removes what this run put there. */
  discard(): Promise<void>;
}

export type OutputMode = "new" | "resume" | "force";

/**
 * Takes the directory for this run, and lays out the shards at their full length.
 * @throws {WeightDiffError} OUTPUT_LOCKED, OUTPUT_REFUSED (resume: the plan is another one; new: somebody else was faster), DISK_FULL, IO.
 */
export async function openOutput(
  path: string,
  mode: OutputMode,
  identity: PlanIdentity,
  shards: readonly ShardFile[],
): Promise<OutputDirectory> {
  const staging = join(path, STAGING);
  const existed = (await outputState(path)) !== "absent";
  try {
    await mkdir(staging, { recursive: true });
  } catch (error) {
    throw runError(staging, "create", error);
  }
  const unlock = await lockOutput(staging);
  let journal: Journal | undefined;
  try {
    if (mode === "resume") {
      journal = await resumeJournal(staging, identity);
      if (journal.swept) {
        await fetchBack(path, staging, shards);
      }
    } else {
      if (mode === "new" && (await outputState(path)) !== "empty") {
        throw notEmpty(path); // it was before the lock was ours
      }
      await clear(staging);
      journal = await startJournal(staging, identity, mode === "force");
    }
    for (const shard of shards) {
      await layOutShard(join(staging, shard.file), shard);
    }
    await syncDirectory(staging);
    await syncDirectory(path);
  } catch (error) {
    await journal?.close().catch(() => {}); // what went wrong first is the one to tell
    await unlock().catch(() => {});
    await rmdir(staging).catch(() => {}); // only if nothing is in it
    throw runError(staging, "write", error);
  }
  return outputDirectory(path, staging, journal, unlock, existed);
}

function outputDirectory(
  path: string,
  staging: string,
  journal: Journal,
  unlock: () => Promise<void>,
  existed: boolean,
): OutputDirectory {
  return {
    path,
    journal,
    staged: (file) => join(staging, file),
    seal: (file) => syncFile(join(staging, file)),
    async finish(shards, extras, manifest) {
      try {
        await journal.sync();
        for (const extra of extras) {
          await writeExtra(staging, extra);
        }
        await writeExtra(staging, { file: MANIFEST, text: manifest });
        await syncDirectory(staging);
        await journal.beginSweep();
        if (journal.replace) {
          await removeOld(path);
        }
        for (const { file } of [...shards, ...extras]) {
          await rename(join(staging, file), join(path, file));
        }
        await syncDirectory(path);
        await rename(join(staging, MANIFEST), join(path, MANIFEST));
        await syncDirectory(path);
        await journal.close();
        await removeStaging(staging);
        await syncDirectory(path);
      } catch (error) {
        throw runError(path, "finish", error);
      }
    },
    async suspend() {
      await journal.sync().catch(() => {}); // the failure that ends the run is the one to tell
      await journal.close();
      await unlock();
    },
    async discard() {
      await journal.close();
      await removeStaging(staging);
      if (!existed) {
        await rmdir(path).catch(() => {}); // not empty: somebody else's files
      }
    },
  };
}

/** The journal first: without it, what a crash leaves of the folder means nothing. */
async function removeStaging(staging: string): Promise<void> {
  await rm(join(staging, JOURNAL), { force: true });
  // Another run may look for the lock just now and leave a draft of its own for a moment.
  await rm(staging, { recursive: true, force: true, maxRetries: 5 });
}

/** All but the lock. */
async function clear(staging: string): Promise<void> {
  for (const name of await readdir(staging)) {
    if (!name.startsWith("lock")) {
      await rm(join(staging, name), { recursive: true });
    }
  }
}

/**
 * A crash during the sweep leaves some shards under their final names: they go back, and are verified like all others. Only
 * then: before the sweep, a file of that name is an old model's.
 */
async function fetchBack(path: string, staging: string, shards: readonly ShardFile[]): Promise<void> {
  await rm(join(path, MANIFEST), { force: true });
  await syncDirectory(path);
  for (const { file, size } of shards) {
    const staged = await stat(join(staging, file)).catch(() => null);
    const final = await stat(join(path, file)).catch(() => null);
    if (staged === null && final?.isFile() === true && (size === null || final.size === size)) {
      await rename(join(path, file), join(staging, file));
    }
  }
}

/** Sets the file to its final length and writes its header. The length reserves nothing: the disk may still fill up. */
async function layOutShard(path: string, shard: ShardFile): Promise<void> {
  const handle = await open(path, "a").then(async (created) => {
    await created.close();
    return open(path, "r+");
  });
  try {
    if (shard.size !== null) {
      await handle.truncate(shard.size);
    }
    let written = 0;
    while (written < shard.header.length) {
      const { bytesWritten } = await handle.write(shard.header, written, shard.header.length - written, written);
      written += bytesWritten;
    }
  } finally {
    await handle.close();
  }
}

async function writeExtra(staging: string, extra: ExtraFile): Promise<void> {
  const path = join(staging, extra.file);
  await rm(path, { force: true });
  const handle = await open(path, "wx");
  try {
    for await (const piece of "text" in extra ? [extra.text] : piecesOf(extra)) {
      await handle.writeFile(piece);
    }
  } finally {
    await handle.close();
  }
  await syncFile(path);
}

/** @throws {WeightDiffError} INPUT_CHANGED if it is no file any more; as openFileSource. */
async function* piecesOf({ path, within }: PlacedFile): AsyncGenerator<Uint8Array> {
  const source = await openFileSource(path, within).catch((error: unknown) => {
    throw error instanceof WeightDiffError && error.code === "NOT_FOUND" ? missingInput(path) : error;
  });
  try {
    for (let at = 0; at < source.size; at += PIECE) {
      yield await source.readAt(at, Math.min(PIECE, source.size - at));
    }
  } finally {
    await source.close();
  }
}

/** The old manifest first: from then on the directory does not claim to be a finished run. Nothing but weights and indexes goes. */
async function removeOld(path: string): Promise<void> {
  await rm(join(path, MANIFEST), { force: true });
  await syncDirectory(path);
  for (const name of await readdir(path)) {
    const info = await lstat(join(path, name));
    if (isWeightFile(name) && !info.isDirectory()) {
      await rm(join(path, name));
    }
  }
}

function missingInput(path: string): WeightDiffError {
  return new WeightDiffError(
    "INPUT_CHANGED",
    "the input changed during the run: it is gone",
    "put it back, then run again",
    { at: { file: path } },
  );
}

async function syncFile(path: string): Promise<void> {
  let handle: Awaited<ReturnType<typeof open>> | undefined;
  try {
    handle = await open(path, "r+");
    await handle.sync();
  } catch (error) {
    throw runError(path, "sync", error);
  } finally {
    await handle?.close();
  }
}

/** Makes new names last through a power loss. Windows has no such call and needs none. */
async function syncDirectory(path: string): Promise<void> {
  if (process.platform === "win32") {
    return;
  }
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** @throws {WeightDiffError} OUTPUT_REFUSED where the mode does not suit what is there. @returns the mode to open with. */
export async function chooseMode(path: string, wanted: OutputMode): Promise<OutputMode | "verify"> {
  const state = await outputState(path);
  if (state === "absent" || state === "empty") {
    return "new";
  }
  if (wanted === "force" || (wanted === "resume" && state === "partial")) {
    return wanted;
  }
  if (wanted === "resume" && state === "finished") {
    await removeLeftovers(join(path, STAGING));
    return "verify";
  }
  throw state === "partial"
    ? new WeightDiffError(
        "OUTPUT_REFUSED",
        "holds an unfinished run",
        "continue it with --resume, or start over with --force",
        { at: { file: path } },
      )
    : notEmpty(path);
}

function notEmpty(path: string): WeightDiffError {
  return new WeightDiffError(
    "OUTPUT_REFUSED",
    "is not empty",
    "give another output directory, or replace the model in it with --force",
    { at: { file: path } },
  );
}

/** What a run left that was ended while it tidied up. @throws {WeightDiffError} OUTPUT_LOCKED if it is still at it. */
async function removeLeftovers(staging: string): Promise<void> {
  if (await exists(staging)) {
    await lockOutput(staging);
    await removeStaging(staging);
  }
}
