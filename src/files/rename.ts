/** Gives final names, even while virus scanners and indexers of Windows open every new file. */
import { rename } from "node:fs/promises";
import { setTimeout as pause } from "node:timers/promises";
import { errnoOf } from "./errno.js";

/** What Windows reports while another program has the file open. It usually closes it in a moment. */
const BUSY = new Set(["EPERM", "EACCES", "EBUSY"]);
/** About three seconds in all. */
const ATTEMPTS = 12;

/**
 * Renames a file over whatever has the name.
 * @param system stands in for the operating system in tests.
 * @throws what the operating system says; on Windows only if it still says so after three seconds.
 */
export async function renameOver(
  from: string,
  to: string,
  system: {
    readonly platform: string;
    rename(from: string, to: string): Promise<void>;
    pause(ms: number): Promise<unknown>;
  } = {
    platform: process.platform,
    rename,
    pause,
  },
): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await system.rename(from, to);
    } catch (error) {
      if (system.platform !== "win32" || attempt === ATTEMPTS || !BUSY.has(errnoOf(error) ?? "")) {
        throw error;
      }
      await system.pause(2 ** Math.min(attempt, 9));
    }
  }
}
