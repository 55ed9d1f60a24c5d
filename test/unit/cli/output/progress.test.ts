/** Progress in plain lines, by a clock of our own. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { eventPrinter, linePrinter, progressText } from "../../../../src/cli/output/progress.js";

const GB = 1e9;
const state = (done: number, total = 100 * GB, shard: string | null = "model-00001-of-00002.safetensors") => ({
  done,
  total,
  shard,
  tensor: "model.norm.weight",
});

/** Feeds `seconds` of a run at a steady rate, an update every half second. */
function runFor(seconds: number, bytesPerSecond: number): readonly string[] {
  const lines: string[] = [];
  let now = 0;
  const printer = linePrinter(
    (line) => lines.push(line),
    () => now,
  );
  for (; now <= 1000 * seconds; now += 500) {
    printer.update(state((now / 1000) * bytesPerSecond));
  }
  printer.stop();
  return lines;
}

test("shows no progress in the first seconds", () => {
  assert.deepEqual(runFor(7.5, GB), []);
});

test("prints a whole line every eight seconds: share, rate, time left, shard and tensor", () => {
  assert.deepEqual(runFor(20, GB), [
    "weight-diff: 8 % of 100 GB, 1.00 GB/s, 1 min 32 s left, model-00001-of-00002.safetensors model.norm.weight\n",
    "weight-diff: 16 % of 100 GB, 1.00 GB/s, 1 min 24 s left, model-00001-of-00002.safetensors model.norm.weight\n",
  ]);
});

test("takes the rate of the last seconds, not of the whole run", () => {
  const lines: string[] = [];
  let now = 0;
  let done = 0;
  const printer = linePrinter(
    (line) => lines.push(line),
    () => now,
  );
  for (; now <= 16_000; now += 500) {
    done += now <= 8000 ? 0 : GB;
    printer.update(state(done));
  }
  assert.match(lines[0] ?? "", / 0 % of 100 GB, 0 B\/s, time left unknown, /);
  assert.match(lines[1] ?? "", / 16 % of 100 GB, 2\.00 GB\/s, 42 s left, /);
});

test("shows hours, and shows a run that reads nothing as done", () => {
  assert.match(progressText(state(0, 100 * GB), 10e6), /^0 % of 100 GB, 10\.0 MB\/s, 2 h 46 min left, /);
  assert.match(progressText(state(0, 0), 0), /^100 % of 0 B, /);
});

test("names the tensor alone where nothing is written, and escapes it", () => {
  assert.match(progressText({ ...state(1, 2, null), tensor: "\u001b[2J" }, 1), /1 s left, "\\u001b\[2J"$/);
});

test("gives a program figures four times a second, and the last ones always", () => {
  const told: object[] = [];
  let now = 0;
  const printer = eventPrinter(
    (fields) => told.push(fields),
    () => now,
  );
  for (; now <= 600; now += 50) {
    printer.update(state(now, 600));
  }
  const common = { total: 600, file: "model-00001-of-00002.safetensors", tensor: "model.norm.weight" };
  assert.deepEqual(told, [
    { done: 0, bytes_per_second: 0, ...common },
    { done: 250, bytes_per_second: 1000, ...common },
    { done: 500, bytes_per_second: 1000, ...common },
    { done: 600, bytes_per_second: 1000, ...common },
  ]);
});
