/** The peak memory of this process. */
import { readFileSync } from "node:fs";

/**
 * In bytes. ru_maxrss of getrusage, which Node offers everywhere, survives exec: if a large process starts this one, it is the peak of that
 * process (getrusage(2), execve(2)). VmHWM is the peak of this program itself (proc_pid_status(5)).
 */
export function peakMemory(): number {
  return (process.platform === "linux" ? peakOf(statusText()) : null) ?? process.resourceUsage().maxRSS * 1024;
}

/** VmHWM in the text of /proc/self/status, in bytes; null if it is missing. */
export function peakOf(status: string): number | null {
  const [, kibibytes] = /^VmHWM:\s*(\d+) kB$/m.exec(status) ?? [];
  return kibibytes === undefined ? null : Number(kibibytes) * 1024;
}

function statusText(): string {
  try {
    return readFileSync("/proc/self/status", "utf8");
  } catch {
    // /proc is not mounted.
    return "";
  }
}
