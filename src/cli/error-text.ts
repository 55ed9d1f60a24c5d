/** What the user reads of an error, on stderr. Apart from the results' texts: `--version` and usage errors need nothing else. */
import { WeightDiffError } from "../errors.js";
import { hintText } from "./advice.js";

/** An error in the form of every message: what, then what to do. */
export function errorText(error: unknown): string {
  if (error instanceof WeightDiffError) {
    const hint = hintText(error);
    return `weight-diff: error: ${error.message}\n${hint === undefined ? "" : `weight-diff: hint: ${hint}\n`}`;
  }
  const reason = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return `weight-diff: error: this is a bug in weight-diff: ${reason}\nweight-diff: hint: please report it with the command that you ran\n`;
}
