/** Final names, also where another program has a look at every new file: virus scanners and indexers of Windows. */
import { rename } from "node:fs/promises";
import { setTimeout as pause } from "node:timers/promises";
import { errnoOf } from "./errno.js";

/** What Windows says while another program has the file open. It lets go of it in a moment. */
const BUSY = new Set(["EPERM", "EACCES", "EBUSY"]);
/** Some three seconds in all. */
const ATTEMPTS = 12;

/**
 * Renames a file over whatever has the name. @param system stands in for the operating system in tests.
 * @throws what the operating system says; on Windows only if it goes on saying it for three seconds.
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
