/** Paths as users write them, and how one lies to another. */
import { homedir } from "node:os";
import { join, relative, resolve, sep } from "node:path";

/** "~" and "~/x" as shells expand them; a quoted "~" reaches us as it is. */
export function expandHome(path: string): string {
  return path === "~" || path.startsWith("~/") || path.startsWith("~\\") ? join(homedir(), path.slice(1)) : path;
}

/** Is `inner` the folder `outer`, or in it? Both are absolute; links are not looked at. */
export function contains(outer: string, inner: string): boolean {
  const way = relative(outer, inner);
  return way === "" || !(way === ".." || way.startsWith(`..${sep}`) || resolve(way) === way);
}
