/** Names of files of the output: bare, or in a folder of the output; and what they are called while they are in the staging folder. */
import { WeightDiffError } from "../errors.js";
import { quote } from "../formats/quote.js";
import { isBareFileName } from "../formats/weight-index.js";
import { isJournalName } from "./journal.js";
import { isLockName } from "./lock.js";
import { STAGING } from "./state.js";

/** @throws {WeightDiffError} OUTPUT_REFUSED for a name that would lead out of the output or hit what a run needs there. */
export function refuseName(name: string): void {
  const parts = name.split("/");
  const wrong = !parts.every(isBareFileName) || parts[0] === STAGING || isJournalName(name) || isLockName(name);
  if (wrong) {
    throw new WeightDiffError("OUTPUT_REFUSED", `a file of the output cannot be called ${quote(name)}`, "rename it");
  }
}

/** The staging folder has no folders: a name with a slash gets a bare one. */
export function stagedName(name: string): string {
  return name.includes("/") ? name.replaceAll("%", "%25").replaceAll("/", "%2F") : name;
}
