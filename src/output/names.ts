/** Names of output files: bare, or in a folder of the output. Also their names in the staging folder. */
import { lstat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { WeightDiffError } from "../errors.js";
import { isWindowsName, twinsAmong } from "../files/portable-names.js";
import { quote } from "../formats/quote.js";
import { isBareFileName } from "../formats/weight-index.js";
import { isJournalName } from "./journal.js";
import { isLockName } from "./lock.js";
import { STAGING } from "./state.js";

/**
 * @throws {WeightDiffError} OUTPUT_REFUSED for a name that leads out of the output, that a run itself needs there, or that this system does
 * not allow.
 */
export function refuseName(name: string, platform: string = process.platform): void {
  const parts = name.split("/");
  const wrong =
    !parts.every(isBareFileName) ||
    parts[0] === STAGING ||
    isJournalName(name) ||
    isLockName(name) ||
    (platform === "win32" && !parts.every(isWindowsName));
  if (wrong) {
    throw new WeightDiffError("OUTPUT_REFUSED", `a file of the output cannot be called ${quote(name)}`, "rename it");
  }
}

/**
 * Refuses names that the file system of `staging` takes for the same file, since it ignores case.
 * @throws {WeightDiffError} OUTPUT_REFUSED.
 */
export async function refuseTwins(
  staging: string,
  names: readonly string[],
  isThere: (path: string) => Promise<boolean> = exists,
): Promise<void> {
  const twins = twinsAmong(names);
  if (twins !== null && (await isThere(join(dirname(staging), basename(staging).toUpperCase())))) {
    const [one, other] = twins.map(quote);
    throw new WeightDiffError(
      "OUTPUT_REFUSED",
      `${one} and ${other} would be one file: this file system does not tell upper case from lower case`,
      "rename one of them where it comes from, or choose a place on another file system",
      { at: { file: dirname(staging) } },
    );
  }
}

async function exists(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  );
}

/** The staging folder has no subfolders, so a name with a slash is replaced by a bare one. */
export function stagedName(name: string): string {
  return name.includes("/") ? name.replaceAll("%", "%25").replaceAll("/", "%2F") : name;
}
