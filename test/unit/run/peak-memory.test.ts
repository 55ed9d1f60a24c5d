import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { peakMemory, peakOf } from "../../../src/run/peak-memory.js";

test("reads VmHWM of /proc/self/status", () => {
  const status = "Name:\tnode\nVmPeak:\t 1096872 kB\nVmSize:\t 1096872 kB\nVmHWM:\t   70308 kB\nVmRSS:\t   70308 kB\n";
  assert.equal(peakOf(status), 70_308 * 1024);
  assert.equal(peakOf("Name:\tnode\n"), null);
  assert.equal(peakOf(""), null);
});

test("is at least the memory in use, and grows with it", () => {
  const before = peakMemory();
  assert.ok(before >= process.memoryUsage().rss * 0.9, String(before));
  const held = Buffer.alloc(100_000_000, 1);
  assert.ok(peakMemory() >= before + 50_000_000);
  assert.equal(held.length, 100_000_000);
});

test("is this process's own, however large the one that started it", { skip: process.platform !== "linux" }, () => {
  const held = Buffer.alloc(400_000_000, 1);
  const module = new URL("../../../src/run/peak-memory.js", import.meta.url).href;
  const { stdout } = spawnSync(
    process.execPath,
    [
      "--input-type=module",
      "--eval",
      `import { peakMemory } from ${JSON.stringify(module)}; console.log(peakMemory())`,
    ],
    { encoding: "utf8" },
  );
  const peak = Number(stdout);
  assert.ok(peak > 10_000_000 && peak < 200_000_000, stdout);
  assert.equal(held.length, 400_000_000);
});
