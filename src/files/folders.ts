/** Makes a folder and those above it. With `recursive`, Node reports a read-only file system as a missing file. */
import { mkdir, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { errnoOf } from "./errno.js";

/** Makes the folder. @returns the folders that did not exist before, from the top down. @throws what the operating system says. */
export async function makeFolders(path: string): Promise<readonly string[]> {
  const error = await tryMake(path);
  if (error === null) {
    return [path];
  }
  if ((await stat(path).catch(() => null))?.isDirectory() === true) {
    return [];
  }
  if (errnoOf(error) !== "ENOENT" || dirname(path) === path) {
    throw error;
  }
  const above = await makeFolders(dirname(path));
  const again = await tryMake(path);
  if (again !== null && (await stat(path).catch(() => null))?.isDirectory() !== true) {
    throw again;
  }
  return again === null ? [...above, path] : above;
}

async function tryMake(path: string): Promise<unknown> {
  try {
    await mkdir(path);
    return null;
  } catch (error) {
    return error;
  }
}
