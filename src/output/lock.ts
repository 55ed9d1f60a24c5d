/**
 * One run per output directory. The lock is a file that names its holder; it is taken over when that process is gone: it
 * has ended, its number belongs to another process by now, or the machine was restarted since.
 */
import { createHash, randomBytes } from "node:crypto";
import { link, readFile, rm, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { WeightDiffError } from "../errors.js";
import { errnoOf, runError } from "../files/errno.js";

interface Holder {
  readonly pid: number;
  readonly host: string;
  /** Of this start of the machine; "" where the system does not say. */
  readonly boot: string;
  /** Clock ticks from boot to the process's start; "ended" if it only waits to be buried; "" where the system does not say. */
  readonly started: string;
}

/** Takes the lock of `staging`. @returns a function that gives it back. @throws {WeightDiffError} OUTPUT_LOCKED, IO. */
export async function lockOutput(staging: string): Promise<() => Promise<void>> {
  const path = join(staging, "lock");
  const mine = JSON.stringify(await describe(process.pid));
  const draft = `${path}.${process.pid}.${randomBytes(4).toString("hex")}`;
  try {
    // Linking a finished file, other than creating one and writing it, never shows anybody an empty lock.
    await writeFile(draft, mine, { flag: "wx" });
    const holder = await acquire(path, draft);
    if (holder !== null) {
      throw new WeightDiffError(
        "OUTPUT_LOCKED",
        `another run is writing here (${holder.slice(0, 200)})`,
        `wait for it to end, or give another --path_tuned; if it ran on a machine that is gone, delete ${path}`,
        { at: { file: staging } },
      );
    }
    return async () => {
      if ((await readFile(path, "utf8").catch(() => "")) === mine) {
        await rm(path, { force: true });
      }
    };
  } catch (error) {
    throw runError(path, "lock", error);
  } finally {
    await rm(draft, { force: true }).catch(() => {});
  }
}

/**
 * Gives `draft` the name `path`, in place of a lock whose holder is gone. Of all who find the same stale lock only the one who
 * holds the claim on it may delete it: otherwise a slow one would delete the lock of whoever was faster. A claim is a lock
 * like any other, and taken over in the same way.
 * @returns null, or the text of the lock that is in the way.
 */
async function acquire(path: string, draft: string): Promise<string | null> {
  while (!(await tryLink(draft, path))) {
    const found = await readFile(path, "utf8").catch(() => null);
    if (found === null) {
      continue; // given back in between
    }
    if (await isHeld(found)) {
      return found;
    }
    const claim = `${path}.${createHash("sha256").update(found).digest("hex").slice(0, 8)}`;
    if ((await acquire(claim, draft)) !== null) {
      await pause(5);
      continue;
    }
    if ((await readFile(path, "utf8").catch(() => null)) === found) {
      await rm(path);
    }
    await rm(claim);
  }
  return null;
}

async function tryLink(draft: string, path: string): Promise<boolean> {
  try {
    await link(draft, path);
    return true;
  } catch (error) {
    if (errnoOf(error) === "EEXIST") {
      return false;
    }
    throw error;
  }
}

/** Is the process that wrote this lock alive? A lock from another host cannot be judged: it counts as held. */
async function isHeld(text: string): Promise<boolean> {
  const holder = parseHolder(text);
  if (holder === null) {
    return false;
  }
  if (holder.host !== hostname()) {
    return true;
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
  return holder.started === now.started;
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
    // a torn or foreign file: nobody holds it
  }
  return null;
}

async function describe(pid: number): Promise<Holder> {
  const boot = (await readFile("/proc/sys/kernel/random/boot_id", "utf8").catch(() => "")).trim();
  // Fields 3 and 22 of proc(5) stat; the command name in field 2 may itself hold spaces and brackets.
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  // A killed process that nobody waits for keeps its number and does nothing more.
  const ended = fields[0] === "Z" || fields[0] === "X";
  return { pid, host: hostname(), boot, started: ended ? "ended" : (fields[19] ?? "") };
}
