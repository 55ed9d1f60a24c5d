/**
 * A file that is made at once and filled at the end of a run, so that a bad path ends the run at its beginning. Never replaces an existing
 * file.
 */
import { type FileHandle, open, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import { WeightDiffError } from "../errors.js";
import { printable } from "../formats/quote.js";
import { errnoOf, fileError } from "./errno.js";

export interface NewFile {
  /** @throws {WeightDiffError} IO, DISK_FULL. */
  write(text: Iterable<string>): Promise<void>;
  /** Called after a failure, which is the error to report. */
  remove(): Promise<void>;
  close(): Promise<void>;
}

/** @throws {WeightDiffError} OUTPUT_REFUSED if the file exists; NOT_FOUND for its folder; IO. */
export async function openNew(path: string): Promise<NewFile> {
  const file: FileHandle = await open(path, "wx").catch((error: unknown) => {
    throw errnoOf(error) === "EEXIST"
      ? new WeightDiffError("OUTPUT_REFUSED", "is there already", "give another name", { at: { file: path } })
      : errnoOf(error) === "ENOENT"
        ? new WeightDiffError("NOT_FOUND", `its folder ${printable(dirname(path))} does not exist`, "make it first", {
            at: { file: path },
          })
        : fileError(path, "write", error);
  });
  return {
    async write(text) {
      try {
        for (const piece of text) {
          await file.writeFile(piece);
        }
        await file.sync();
      } catch (error) {
        throw fileError(path, "write", error);
      }
    },
    remove: () => unlink(path).catch(() => {}),
    close: () => file.close(),
  };
}
