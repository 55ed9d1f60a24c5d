/**
 * Opens this tool's own files and folders in an output directory. Follows no link, and refuses anything that the tool does not make: a link
 * in the staging folder, or in its place, could lead to other people's files, which would then be written to or deleted.
 */
import { constants, type Stats } from "node:fs";
import { type FileHandle, lstat, mkdir, open, unlink } from "node:fs/promises";
import { WeightDiffError } from "../errors.js";
import { errnoOf, isMissing } from "./errno.js";
import { NO_WAITING } from "./regular-file.js";

/** Windows has no such flag; there, what stands at the path is looked at first. */
const NO_LINKS = constants.O_NOFOLLOW ?? 0;

/** Makes a folder, or takes the existing one. @throws {WeightDiffError} OUTPUT_REFUSED if something else is there; what the system says. */
export async function ownFolder(path: string): Promise<void> {
  try {
    await mkdir(path);
  } catch (error) {
    const info = await lstat(path).catch(() => null);
    if (info === null) {
      throw error;
    }
    if (!info.isDirectory()) {
      throw notOwn(path, info, "folder");
    }
  }
}

/** Is there a folder of this tool at the path? @throws {WeightDiffError} OUTPUT_REFUSED if something else is there. */
export async function hasOwnFolder(path: string): Promise<boolean> {
  const info = await statOwn(path);
  if (info !== null && !info.isDirectory()) {
    throw notOwn(path, info, "folder");
  }
  return info !== null;
}

/** Is there a file of this tool at the path? @throws {WeightDiffError} OUTPUT_REFUSED if something else is there. */
export async function hasOwnFile(path: string): Promise<boolean> {
  const info = await statOwn(path);
  refuseForeign(path, info);
  return info !== null;
}

/**
 * Opens a file of this tool.
 * @param flags as for open(2); with O_CREAT a missing file is made.
 * @throws {WeightDiffError} OUTPUT_REFUSED if something else is there; what the system says.
 */
export async function openOwn(path: string, flags: number): Promise<FileHandle> {
  await hasOwnFile(path);
  const handle = await open(path, flags | NO_LINKS | NO_WAITING);
  try {
    refuseForeign(path, await handle.stat());
    return handle;
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/**
 * The text of a file of this tool; null if there is none.
 * @throws {WeightDiffError} OUTPUT_REFUSED if something else is there, or if it is longer than `most` bytes.
 */
export async function readOwn(path: string, most: number): Promise<string | null> {
  const handle = await openOwn(path, constants.O_RDONLY).catch((error: unknown) => {
    if (isMissing(error)) {
      return null;
    }
    throw error;
  });
  try {
    if (handle === null) {
      return null;
    }
    const { size } = await handle.stat();
    if (size > most) {
      throw refused(path, `has ${size} bytes; a file that weight-diff writes here has at most ${most}`);
    }
    return await handle.readFile("utf8");
  } finally {
    await handle?.close();
  }
}

/** Removes a file of this tool if it exists. @throws {WeightDiffError} OUTPUT_REFUSED if something else is there. */
export async function removeOwn(path: string): Promise<void> {
  if (await hasOwnFile(path)) {
    await unlink(path).catch((error: unknown) => {
      if (!isMissing(error)) {
        throw error;
      }
    });
  }
}

async function statOwn(path: string): Promise<Stats | null> {
  return lstat(path).catch((error: unknown) => {
    if (errnoOf(error) === "ENOENT") {
      return null;
    }
    throw error;
  });
}

function refuseForeign(path: string, info: Stats | null): void {
  if (info !== null && !info.isFile()) {
    throw notOwn(path, info, "file");
  }
  // Writing through one name would change the file under all its names.
  if (info !== null && info.nlink > 1) {
    throw refused(path, "is known under another name too (a hard link)");
  }
}

function notOwn(path: string, info: Stats, wanted: "file" | "folder"): WeightDiffError {
  return refused(path, `is ${kindOf(info)}, where a ${wanted} of this tool's must be`);
}

function kindOf(info: Stats): string {
  return info.isFile()
    ? "a file"
    : info.isDirectory()
      ? "a directory"
      : info.isSymbolicLink()
        ? "a symbolic link"
        : info.isFIFO()
          ? "a named pipe"
          : info.isSocket()
            ? "a socket"
            : "a device";
}

/** @param what the thing at the path that this tool did not put there. */
export function refused(path: string, what: string): WeightDiffError {
  return new WeightDiffError("OUTPUT_REFUSED", what, "move it away, or give another output directory", {
    at: { file: path },
  });
}
