/**
 * A part of a run on several machines: its own folder in the staging folder, with a lock, a journal, and the files that it makes. Parts
 * know nothing of each other, and share only the folder above theirs. Their files stay until they are gathered (gather.ts).
 */
import { rmdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { WeightDiffError } from "../errors.js";
import { errnoOf, runError } from "../files/errno.js";
import { hasOwnFolder, ownFolder, removeOwn } from "../files/own.js";
import type { OutputMode } from "./choose-mode.js";
import { type Journal, listedFiles, readJournal, removeJournal, resumeJournal, startJournal } from "./journal.js";
import type { AskedRun, ClosedFile, PlanIdentity } from "./journal-text.js";
import { type Lock, refuseLocked, removeStaleLocks, takeLock } from "./lock.js";
import { refuseTwins } from "./names.js";
import { type PartNumber, partName, partsIn, partText, STATE_FILES } from "./part-names.js";
import { isHeard } from "./part-state.js";
import {
  isLaidOut,
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
} from "./staging.js";
import { STAGING } from "./state.js";

export interface PartDirectory extends Staging {
  /** The part's own folder. */
  readonly folder: string;
  /** Does this run still hold the part? Another machine takes it over if it hears nothing for long. */
  isMine(): Promise<boolean>;
  /** Records that a file is finished, in its present state. @param sha256 of the whole file, if the command needs it. */
  closeFile(file: string, sha256: string | undefined): Promise<void>;
  /** Lays closed files out again, to write them once more. */
  reopen(shards: readonly StagedShard[]): Promise<void>;
  /** Records that everything is done, and leaves the part for finalize. @param last run while this run still holds the part. */
  finish(last: () => Promise<void>): Promise<void>;
  /** Keeps everything, so that another run can resume. */
  suspend(): Promise<void>;
  /** Removes everything that this run made, except its last report. */
  discard(): Promise<void>;
}

interface PartRequest {
  readonly part: PartNumber;
  readonly mode: OutputMode;
  readonly identity: PlanIdentity;
  readonly asked: AskedRun;
  /** The files that this part makes. */
  readonly shards: readonly StagedShard[];
  readonly signal?: AbortSignal | undefined;
  /** Called before a run on another machine is watched for some time. */
  readonly onWait?: () => void;
}

/** Other parts may remove folders that this one has just made and was about to use. */
const ATTEMPTS = 50;

/**
 * Takes the part for this run, and lays out its files. Keeps files that an earlier run closed with a digest.
 * @throws {WeightDiffError} OUTPUT_LOCKED; OUTPUT_REFUSED (another plan; another number of parts; a run that is not in parts); DISK_FULL,
 * IO.
 */
export async function openPart(path: string, request: PartRequest): Promise<PartDirectory> {
  const { part, mode, identity, shards } = request;
  const staging = join(path, STAGING);
  const folder = join(staging, partName(part));
  const files = shards.map(({ file }) => file);
  const { lock, made } = await takePart(path, folder, request);
  let journal: Journal | undefined;
  try {
    await removeStaleLocks(folder);
    await refuseTwins(folder, files);
    await refuseOtherRuns(path, part, mode);
    journal = await openJournal(folder, request);
    for (const shard of shards) {
      const closed = journal.closed.get(shard.file);
      if (closed?.sha256 === undefined && !(closed !== undefined && (await isLaidOut(folder, shard)))) {
        await layOutShard(folder, shard);
      }
    }
    await syncDirectory(folder);
    await syncDirectory(staging);
    await syncDirectory(path);
    return partDirectory(path, folder, { journal, lock, made });
  } catch (error) {
    await journal?.close().catch(() => {}); // the first error is the one to report
    if (journal !== undefined && mode !== "resume") {
      await removeStaged(folder, new Set(files)).catch(() => {});
      await removeJournal(folder).catch(() => {});
    }
    await lock.release().catch(() => {});
    await removeFolders([...made, staging, folder]);
    throw runError(folder, "write", error);
  }

  async function openJournal(place: string, { asked }: PartRequest): Promise<Journal> {
    const earlier = mode === "resume" ? await readJournal(place) : null;
    if (earlier !== null) {
      await refuseStrangers(place, new Set([...earlier.files, ...STATE_FILES]));
      return resumeJournal(place, identity);
    }
    const listed = new Set([...(await listedFiles(place)), ...files]);
    await refuseStrangers(place, new Set([...listed, ...STATE_FILES]));
    await removeStaged(place, listed);
    await removeJournal(place);
    return startJournal(place, { plan: identity, replace: mode === "force", files, asked });
  }
}

/** Makes the folders, and takes the lock of the part. */
async function takePart(
  path: string,
  folder: string,
  { signal, onWait }: PartRequest,
): Promise<{ readonly lock: Lock; readonly made: readonly string[] }> {
  const staging = join(path, STAGING);
  const foreign = (): Promise<boolean> => {
    onWait?.();
    return isHeard(folder, signal);
  };
  for (let attempt = 1; ; attempt++) {
    const made = await makeOutput(path);
    try {
      await ownFolder(staging);
      await ownFolder(folder);
      return { lock: await takeLock(folder, foreign), made };
    } catch (error) {
      if (attempt === ATTEMPTS || !isGone(error)) {
        throw runError(folder, "lock", error);
      }
    }
  }
}

function isGone(error: unknown): boolean {
  const cause = error instanceof WeightDiffError ? error.cause : error;
  return errnoOf(cause) === "ENOENT";
}

/** @throws {WeightDiffError} OUTPUT_LOCKED; OUTPUT_REFUSED if the staging folder holds something that does not go with this part. */
async function refuseOtherRuns(path: string, part: PartNumber, mode: OutputMode): Promise<void> {
  const staging = join(path, STAGING);
  await refuseLocked(staging);
  const whole = await readJournal(staging);
  if (whole !== null && whole.head.gathers === undefined) {
    throw new WeightDiffError("OUTPUT_REFUSED", "holds an unfinished run that is not in parts", undefined, {
      at: { file: path },
      advice: [{ to: "continue it without a part", option: "mode", value: "resume" }],
    });
  }
  if (whole?.swept === true || whole?.done === true) {
    throw new WeightDiffError("OUTPUT_REFUSED", "its parts are being put together", undefined, {
      at: { file: path },
      advice: [{ to: "go on with that", command: "finalize", options: { path } }],
    });
  }
  const others = (await partsIn(path)).filter(({ count }) => count !== part.count);
  const [other] = others;
  if (other === undefined) {
    return;
  }
  if (mode !== "force") {
    throw new WeightDiffError(
      "OUTPUT_REFUSED",
      `holds parts of another number: part ${partText(other)}, and this is part ${partText(part)}`,
      `ask for parts of ${other.count}`,
      { at: { file: path }, advice: [{ to: "start over", option: "mode", value: "force" }] },
    );
  }
  for (const stale of others) {
    await removePart(path, stale);
  }
}

function partDirectory(
  path: string,
  folder: string,
  { journal, lock, made }: { readonly journal: Journal; readonly lock: Lock; readonly made: readonly string[] },
): PartDirectory {
  return {
    path,
    folder,
    journal,
    staged: (file) => stagedPath(folder, file),
    seal: (file) => syncFile(stagedPath(folder, file)),
    isMine: lock.isMine,
    async closeFile(file, sha256) {
      journal.addClosed({ ...(await closedAs(stagedPath(folder, file), file)), ...(sha256 ? { sha256 } : {}) });
    },
    async reopen(shards) {
      await journal.reopen(shards.map(({ file }) => file));
      for (const shard of shards) {
        await layOutShard(folder, shard);
      }
    },
    async finish(last) {
      await syncDirectory(folder);
      await journal.end();
      await journal.close();
      await last();
      await lock.release();
    },
    async suspend() {
      await journal.sync().catch(() => {}); // the error that ends the run is the one to report
      await journal.close();
      await lock.release();
    },
    async discard() {
      await journal.close();
      await removeStaged(folder, journal.files);
      await removeJournal(folder);
      await lock.release();
      await removeFolders([...made, join(path, STAGING), folder]);
    },
  };
}

/** The state of a file that nobody writes to any more. */
export async function closedAs(path: string, file: string): Promise<ClosedFile> {
  const { size, mtimeNs } = await stat(path, { bigint: true }).catch((error: unknown) => {
    throw runError(path, "look at", error);
  });
  return { file, size: Number(size), modified: String(mtimeNs) };
}

/** Removes a part that is not running. @throws {WeightDiffError} OUTPUT_LOCKED; OUTPUT_REFUSED if something else is in its folder. */
export async function removePart(path: string, part: PartNumber): Promise<void> {
  const folder = join(path, STAGING, partName(part));
  if (await hasOwnFolder(folder)) {
    const lock = await takeLock(folder, () => isHeard(folder, undefined));
    await clearPart(folder);
    await lock.release();
    await rmdir(folder).catch(() => {}); // somebody may have come meanwhile
  }
}

/** Removes everything except the lock of a part that this run holds. */
export async function clearPart(folder: string): Promise<void> {
  const listed = await listedFiles(folder);
  await refuseStrangers(folder, new Set([...listed, ...STATE_FILES]));
  await removeStaged(folder, listed);
  await removeJournal(folder);
  for (const name of STATE_FILES) {
    await removeOwn(join(folder, name));
  }
  await removeStaleLocks(folder);
}
