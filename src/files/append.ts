/** Adds text to the end of a file that others write to as well, such as the summary of a workflow's job. */
import { appendFile } from "node:fs/promises";
import { fileError } from "./errno.js";

/** Appends the text; makes the file if there is none. @throws {WeightDiffError} IO, DISK_FULL; NOT_FOUND for its folder. */
export async function appendText(path: string, text: string): Promise<void> {
  await appendFile(path, text).catch((error: unknown) => {
    throw fileError(path, "write", error);
  });
}
