/** The most memory that this process has had. */
import { readFileSync } from "node:fs";

/**
 * Bytes. getrusage's ru_maxrss, which Node gives everywhere, outlives exec: where a large process starts this one, it is that
 * one's (getrusage(2), execve(2)). VmHWM is the program's own (proc_pid_status(5)).
 */
export function peakMemory(): number {
  return (process.platform === "linux" ? peakOf(statusText()) : null) ?? process.resourceUsage().maxRSS * 1024;
}

/** VmHWM of the text of /proc/self/status, in bytes; null if it is not there. */
export function peakOf(status: string): number | null {
  const [, kibibytes] = /^VmHWM:\s*(\d+) kB$/m.exec(status) ?? [];
  return kibibytes === undefined ? null : Number(kibibytes) * 1024;
}

function statusText(): string {
  try {
    return readFileSync("/proc/self/status", "utf8");
  } catch {
    // No /proc is mounted here.
    return "";
  }
}
