/** Does another process hold a lock on a file (flock, fcntl)? */
import { readFile, stat } from "node:fs/promises";

/**
 * Linux lists all locks (proc(5), /proc/locks). On other systems, and for locks of other machines, nobody can tell; the answer is then
 * false.
 */
export async function isHeld(path: string): Promise<boolean> {
  const info = await stat(path, { bigint: true }).catch(() => null);
  const locks = info === null ? "" : await readFile("/proc/locks", "utf8").catch(() => "");
  if (info === null || locks === "") {
    return false;
  }
  // makedev(3): the numbers of a device are spread over the bits of its id.
  const major = ((info.dev >> 8n) & 0xfffn) | ((info.dev >> 32n) & ~0xfffn);
  const minor = (info.dev & 0xffn) | ((info.dev >> 12n) & ~0xffn);
  const hex = (number: bigint): string => number.toString(16).padStart(2, "0");
  return new RegExp(`^\\d+: \\S+ +\\S+ +\\S+ +-?\\d+ ${hex(major)}:${hex(minor)}:${info.ino} `, "m").test(locks);
}
