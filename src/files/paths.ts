/** Paths as users write them, and how two paths relate. */
import { access } from "node:fs/promises";
import { homedir } from "node:os";
import { isAbsolute, join, relative, resolve, sep } from "node:path";
import { WeightDiffError } from "../errors.js";
import { errnoOf } from "./errno.js";

/** Expands "~" and "~/x" as shells do: a quoted "~" arrives here unchanged. */
export function expandHome(path: string): string {
  return path === "~" || path.startsWith("~/") || path.startsWith("~\\") ? join(homedir(), path.slice(1)) : path;
}

/** Is `inner` the folder `outer`, or inside it? Both are absolute. Links are not resolved. */
export function contains(outer: string, inner: string): boolean {
  const way = relative(outer, inner);
  return way === "" || !(way === ".." || way.startsWith(`..${sep}`) || isAbsolute(way));
}

/** The absolute path. @throws {WeightDiffError} NOT_FOUND if it is relative to a working directory that was deleted. */
export function absolutePath(path: string): string {
  try {
    return resolve(expandHome(path));
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") {
      throw error;
    }
    throw new WeightDiffError(
      "NOT_FOUND",
      "the working directory, from which this path counts, was deleted",
      "change to a directory that exists (cd), or give paths that begin with /",
      { cause: error, at: { file: path } },
    );
  }
}

/** The absolute path if something is there. Otherwise unchanged, since it may be the name of a repository. */
export async function absoluteIfThere(path: string): Promise<string> {
  const absolute = absolutePath(path);
  return access(absolute).then(
    () => absolute,
    () => path,
  );
}
