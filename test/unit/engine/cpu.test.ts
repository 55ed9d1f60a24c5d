/** Limits on processors as Linux spells them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { cgroupProcessors, defaultThreads } from "../../../src/engine/cpu.js";

function limit(files: Readonly<Record<string, string>>): number {
  return cgroupProcessors((path) => files[path] ?? null);
}

const V2 = { "/proc/self/cgroup": "0::/kube/pod\n" };

for (const [what, files, expected] of [
  ["no cgroups", {}, Number.POSITIVE_INFINITY],
  ["version 2 without a limit", { ...V2, "/sys/fs/cgroup/kube/pod/cpu.max": "max 100000\n" }, Number.POSITIVE_INFINITY],
  ["version 2", { ...V2, "/sys/fs/cgroup/kube/pod/cpu.max": "300000 100000\n" }, 3],
  ["version 2, part of a processor counts whole", { ...V2, "/sys/fs/cgroup/kube/pod/cpu.max": "150000 100000\n" }, 2],
  ["version 2, less than one", { ...V2, "/sys/fs/cgroup/kube/pod/cpu.max": "1000 100000\n" }, 1],
  [
    "version 2, a tighter limit further up",
    { ...V2, "/sys/fs/cgroup/kube/pod/cpu.max": "800000 100000", "/sys/fs/cgroup/kube/cpu.max": "200000 100000" },
    2,
  ],
  [
    "version 2 seen from inside a container",
    { "/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/cpu.max": "50000 10000" },
    5,
  ],
  [
    "version 1",
    {
      "/proc/self/cgroup": "4:cpu,cpuacct:/docker/1\n",
      "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "250000\n",
      "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
    },
    3,
  ],
  ["version 1 without a limit", { "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n" }, Number.POSITIVE_INFINITY],
  ["nonsense", { ...V2, "/sys/fs/cgroup/kube/pod/cpu.max": "a b c" }, Number.POSITIVE_INFINITY],
  ["an empty file", { ...V2, "/sys/fs/cgroup/kube/pod/cpu.max": "" }, Number.POSITIVE_INFINITY],
] as const) {
  test(`${what}: ${expected}`, () => {
    assert.equal(limit(files), expected);
  });
}

test("starts between one and eight workers", () => {
  const threads = defaultThreads();
  assert.ok(Number.isInteger(threads) && threads >= 1 && threads <= 8, String(threads));
});
