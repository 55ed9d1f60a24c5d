/** How many processors this process may use. */
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";

/** With more workers the disk was the limit on every tested machine, and each worker costs memory. */
const MAX_WORKERS = 8;

/** The number of workers if the user does not choose one. */
export function defaultThreads(): number {
  return Math.min(processors(), MAX_WORKERS);
}

/** At least one. Linux containers limit processors by cgroups, which Node 20 ignores. */
export function processors(): number {
  return Math.max(1, Math.min(availableParallelism(), cgroupProcessors()));
}

/** Whole processors that cpu.max (cgroup v2) or cpu.cfs_quota_us (v1) grants; Infinity without a limit. */
export function cgroupProcessors(read: (path: string) => string | null = readText): number {
  const group = /^0::(\/.*)$/m.exec(read("/proc/self/cgroup") ?? "")?.[1] ?? "/";
  // A limit of a parent group applies, too, so this walks from the process's group up to the root.
  const parts = group.split("/").filter((part) => part !== "");
  let least = Number.POSITIVE_INFINITY;
  for (let depth = parts.length; depth >= 0; depth--) {
    const [quota, period] = (read(["/sys/fs/cgroup", ...parts.slice(0, depth), "cpu.max"].join("/")) ?? "max").split(
      /\s+/,
    );
    least = Math.min(least, wholeProcessors(quota, period));
  }
  const v1 = wholeProcessors(
    read("/sys/fs/cgroup/cpu/cpu.cfs_quota_us") ?? "max",
    read("/sys/fs/cgroup/cpu/cpu.cfs_period_us") ?? undefined,
  );
  return Math.min(least, v1);
}

function wholeProcessors(quota: string | undefined, period: string | undefined): number {
  const ratio = Number(quota?.trim()) / Number(period?.trim() ?? "100000");
  return Number.isFinite(ratio) && ratio > 0 ? Math.max(1, Math.ceil(ratio)) : Number.POSITIVE_INFINITY;
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null;
  }
}
