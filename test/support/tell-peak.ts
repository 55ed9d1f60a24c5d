/** Loaded before a program: tells on descriptor 3, at its end, how much memory the process took at most. */
import { readFileSync, writeSync } from "node:fs";
import { isMainThread } from "node:worker_threads";

if (isMainThread) {
  process.on("exit", () => {
    const [, kilobytes = "0"] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8")) ?? [];
    writeSync(3, String(Number(kilobytes) * 1024));
  });
}
