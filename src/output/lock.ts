/**
 * One run for each output directory. The lock is a directory with one file in it that names the holder. It is made under another name and
 * renamed, since no file system renames a directory onto one that is not empty. So nobody ever sees half a lock, even where there are no
 * hard links (FAT, many network file systems). A lock is taken over if its process is gone: it has ended, another process has its number
 * now, or the machine was restarted.
 */
import { createHash, randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, rename, rmdir, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { WeightDiffError } from "../errors.js";
import { errnoOf, isMissing, runError } from "../files/errno.js";
import { hasOwnFile, hasOwnFolder, ownFolder, readOwn, refused, removeOwn } from "../files/own.js";
import { isClutter } from "./state.js";

interface Holder {
  readonly pid: number;
  readonly host: string;
  /** Identifies this start of the machine; "" if the system does not tell. */
  readonly boot: string;
  /**
   * Clock ticks from boot to the start of the process. "ended" for a process that only waits for its parent; "" if the system does not
   * tell.
   */
  readonly started: string;
}

const LOCK = "lock";
const HOLDER = "holder";
/** A holder's text has a few hundred bytes. */
const MOST_BYTES = 4096;
/** Other runs may take and release the lock while this one tries. After so many attempts it gives up. */
const ATTEMPTS = 2000;
const REMOVALS = 100;
const PAUSE_MS = 5;
/** Errors for a name that is taken, or for a folder that vanished meanwhile. Windows reports the first as forbidden. */
const IN_THE_WAY = new Set([
  ...["ENOTEMPTY", "EEXIST", "ENOTDIR", "ENOENT"],
  ...(process.platform === "win32" ? ["EPERM", "EACCES"] : []),
]);

/** Does this name in the staging folder belong to a lock, or to one that is being taken? */
export function isLockName(name: string): boolean {
  return name === LOCK || name.startsWith(`${LOCK}.`);
}

/** Is a run on another machine, which holds a lock, still running? Its process cannot be looked at from here. */
type Foreign = () => Promise<boolean>;
const UNKNOWN: Foreign = async () => true;

export interface Lock {
  /** Releases the lock. */
  release(): Promise<void>;
  /** Does this run still hold the lock? */
  isMine(): Promise<boolean>;
}

/**
 * Takes the lock of `staging`, and makes that folder if needed.
 * @returns a function that releases it.
 * @throws {WeightDiffError} OUTPUT_LOCKED; OUTPUT_REFUSED if something else stands there; IO.
 */
export async function lockOutput(staging: string): Promise<() => Promise<void>> {
  return (await takeLock(staging)).release;
}

/**
 * Takes the lock likewise.
 * @param foreign tells whether a holder on another machine is still running; asked once. By default it counts as running.
 */
export async function takeLock(staging: string, foreign: Foreign = UNKNOWN): Promise<Lock> {
  const path = join(staging, LOCK);
  const mine = JSON.stringify({ ...(await describe(process.pid)), token: randomBytes(8).toString("hex") });
  try {
    const holder = await acquire(path, mine, onceFor(foreign));
    if (holder !== null) {
      throw locked(staging, holder);
    }
    const isMine = async (): Promise<boolean> => (await readHolder(path)) === mine;
    return {
      isMine,
      async release() {
        if (await isMine()) {
          await remove(path);
        }
      },
    };
  } catch (error) {
    throw runError(path, "lock", error);
  }
}

/** The text of a lock identifies its holder, so each holder is judged once. */
function onceFor(foreign: Foreign): (text: string) => Promise<boolean> {
  const judged = new Map<string, Promise<boolean>>();
  return (text) => {
    const verdict = judged.get(text) ?? foreign();
    judged.set(text, verdict);
    return verdict;
  };
}

/** The holder of the lock of `staging`; null if there is none, or if its process has ended. */
export async function lockHolder(staging: string): Promise<Pick<Holder, "pid" | "host"> | null> {
  const found = await readHolder(join(staging, LOCK));
  return found !== null && (await isHeld(found, UNKNOWN)) ? parseHolder(found) : null;
}

/** @throws {WeightDiffError} OUTPUT_LOCKED if a run holds the lock of `staging`; OUTPUT_REFUSED, IO. */
export async function refuseLocked(staging: string): Promise<void> {
  const found = await readHolder(join(staging, LOCK));
  if (found !== null && (await isHeld(found, UNKNOWN))) {
    throw locked(staging, found);
  }
}

/** Removes what killed runs left while they took the lock. Only the holder of the lock may call this. */
export async function removeStaleLocks(staging: string): Promise<void> {
  for (const name of await readdir(staging)) {
    if (isLockName(name) && name !== LOCK) {
      const path = join(staging, name);
      const found = await readHolder(path);
      if (found === null || !(await isHeld(found, UNKNOWN))) {
        await remove(path);
      }
    }
  }
}

function locked(staging: string, text: string): WeightDiffError {
  const holder = parseHolder(text);
  const who = holder === null ? "" : ` (process ${holder.pid} on ${holder.host})`;
  return new WeightDiffError(
    "OUTPUT_LOCKED",
    `another run is writing here${who}`,
    `wait for it to end, or give another output directory; if it ran on a machine that is gone, delete ${join(staging, LOCK)}`,
    { at: { file: staging } },
  );
}

/**
 * Puts a lock at `path`, in place of one whose holder is gone. Several runs may find the same stale lock. Only the one that holds the claim
 * on it may remove it; otherwise a slow run would remove the lock of a faster one. A claim is a lock like any other, and is taken over in
 * the same way.
 * @returns null, or the text of the lock that is in the way.
 */
async function acquire(
  path: string,
  mine: string,
  foreign: (text: string) => Promise<boolean>,
): Promise<string | null> {
  let found: string | null = null;
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    if (await put(path, mine)) {
      return null;
    }
    found = await readHolder(path);
    if (found === null) {
      await pause(1); // released in between
      continue;
    }
    if (await isHeld(found, foreign)) {
      return found;
    }
    const claim = `${path}.${createHash("sha256").update(found).digest("hex").slice(0, 8)}`;
    if ((await acquire(claim, mine, foreign)) !== null) {
      await pause(PAUSE_MS);
      continue;
    }
    if ((await readHolder(path)) === found) {
      await remove(path);
    }
    await remove(claim);
  }
  return found ?? "";
}

/** Makes a lock under another name and renames it. @returns false if something of that name is, or just was, in the way. */
async function put(path: string, mine: string): Promise<boolean> {
  const draft = `${path}.${process.pid}.${randomBytes(4).toString("hex")}`;
  await ownFolder(dirname(path)); // a run that ends removes it
  try {
    await mkdir(draft);
    await writeFile(join(draft, HOLDER), mine, { flag: "wx" });
    await rename(draft, path);
    return true;
  } catch (error) {
    await remove(draft).catch(() => {}); // the first error is the one to report
    // A network file system may have renamed it and lost the answer.
    if ((await readHolder(path)) === mine) {
      return true;
    }
    if (IN_THE_WAY.has(errnoOf(error) ?? "")) {
      return false;
    }
    throw error;
  }
}

/** The text of the lock at `path`; null if there is none. @throws {WeightDiffError} OUTPUT_REFUSED if something else stands there. */
async function readHolder(path: string): Promise<string | null> {
  if (!(await hasOwnFolder(path))) {
    return null;
  }
  const text = await readOwn(join(path, HOLDER), MOST_BYTES).catch((error: unknown) => {
    if (errnoOf(error) === "ESTALE") {
      return null; // another machine removed it while it was read
    }
    throw error;
  });
  if (text === null) {
    const stranger = (await list(path)).find((name) => name !== HOLDER && !isClutter(name));
    if (stranger !== undefined) {
      throw refused(join(path, stranger), "is in a lock, where this tool put nothing of that name");
    }
  }
  return text;
}

async function remove(path: string): Promise<void> {
  await removeOwn(join(path, HOLDER));
  for (let attempt = 0; attempt < REMOVALS; attempt++) {
    try {
      return await rmdir(path);
    } catch (error) {
      if (isMissing(error)) {
        return;
      }
      if (!IN_THE_WAY.has(errnoOf(error) ?? "")) {
        throw error;
      }
    }
    if (await hasOwnFile(join(path, HOLDER))) {
      return; // somebody else took it at once
    }
    await pause(PAUSE_MS); // somebody reads it: NFS and FUSE keep the file until it is closed
  }
}

function list(path: string): Promise<readonly string[]> {
  return readdir(path).catch(() => []);
}

/** Is the process that wrote this lock alive? @param foreign tells it for a process on another host. */
async function isHeld(text: string, foreign: (text: string) => Promise<boolean>): Promise<boolean> {
  const holder = parseHolder(text);
  if (holder === null) {
    return false;
  }
  if (holder.host !== hostname()) {
    return foreign(text);
  }
  const now = await describe(holder.pid);
  if (holder.boot !== now.boot) {
    return false;
  }
  try {
    process.kill(holder.pid, 0);
  } catch (error) {
    if (errnoOf(error) === "ESRCH") {
      return false;
    }
  }
  // If /proc hides other users' processes (hidepid), nothing more is known than that the process is alive.
  return now.started === "" || holder.started === now.started;
}

function parseHolder(text: string): Holder | null {
  try {
    const value: unknown = JSON.parse(text);
    if (
      typeof value === "object" &&
      value !== null &&
      "pid" in value &&
      "host" in value &&
      "boot" in value &&
      "started" in value
    ) {
      const { pid, host, boot, started } = value;
      if (
        Number.isSafeInteger(pid) &&
        Number(pid) > 0 &&
        typeof host === "string" &&
        typeof boot === "string" &&
        typeof started === "string"
      ) {
        return { pid: Number(pid), host, boot, started };
      }
    }
  } catch {
    // A power loss cut the file off, so nobody holds the lock.
  }
  return null;
}

async function describe(pid: number): Promise<Holder> {
  const boot = (await readFile("/proc/sys/kernel/random/boot_id", "utf8").catch(() => "")).trim();
  // Fields 3 and 22 of stat in proc(5). The command name in field 2 may hold spaces and brackets.
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  // A killed process that its parent has not waited for keeps its number, but does nothing any more.
  const ended = fields[0] === "Z" || fields[0] === "X";
  return { pid, host: hostname(), boot, started: ended ? "ended" : (fields[19] ?? "") };
}
