/** Paths as users write them. */
import { homedir } from "node:os";
import { join } from "node:path";

/** "~" and "~/x" as shells expand them; a quoted "~" reaches us as it is. */
export function expandHome(path: string): string {
  return path === "~" || path.startsWith("~/") || path.startsWith("~\\") ? join(homedir(), path.slice(1)) : path;
}
