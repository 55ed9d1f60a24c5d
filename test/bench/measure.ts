/**
 * Runs programs and says what they cost: wall time by this process's clock, processor time and peak memory by GNU time (waiting
 * for the child itself, so nothing of this process is counted). Rivals take turns, so that what else the machine does falls on all.
 */
import { spawn } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";

export interface Cost {
  /** Seconds. */
  readonly wall: number;
  readonly user: number;
  readonly system: number;
  /** Bytes, of the largest process. */
  readonly peak: number;
  /** Share of the machine's processor time that was neither idle nor this program's. */
  readonly others: number;
}

export interface Finished extends Cost {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  /** Interrupts it after so many seconds. */
  readonly limit?: number;
  readonly cwd?: string;
  /** Other exit codes than 0 are no failure. */
  readonly mayFail?: boolean;
}

export async function run(command: readonly string[], options: RunOptions = {}): Promise<Finished> {
  const report = join(tmpdir(), `weight-diff-bench-${process.pid}.time`);
  const before = processorTime();
  const started = performance.now();
  const child = spawn("/usr/bin/time", ["-q", "-o", report, "-f", "%U %S %M", ...command], {
    stdio: ["ignore", "pipe", "pipe"],
    // Its own process group: an interrupt must reach the program, not only GNU time.
    detached: true,
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (bytes: Buffer) => (stdout += bytes));
  child.stderr.on("data", (bytes: Buffer) => (stderr += bytes));
  const timer = setTimeout(() => process.kill(-(child.pid ?? 0), "SIGINT"), (options.limit ?? 86_400) * 1000);
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  clearTimeout(timer);
  const wall = (performance.now() - started) / 1000;
  const after = processorTime();
  if (code !== 0 && options.mayFail !== true) {
    throw new Error(`${command.join(" ")}: exit code ${code}\n${stderr}`);
  }
  const [user = 0, system = 0, kilobytes = 0] = (await readFile(report, "utf8")).trim().split(" ").map(Number);
  const others = Math.max(0, after.busy - before.busy - user - system) / (after.all - before.all);
  return { wall, user, system, peak: kilobytes * 1024, others, code, stdout, stderr };
}

export const shell = (script: string): readonly string[] => ["sh", "-c", script];

export interface Rival {
  readonly name: string;
  /** Done before every run, not timed. */
  prepare(): Promise<void>;
  run(): Promise<Cost>;
}

/** A B C A B C …: the costs of every round, by name. */
export async function interleave(
  rivals: readonly Rival[],
  rounds: number,
): Promise<ReadonlyMap<string, readonly Cost[]>> {
  const costs = new Map<string, Cost[]>(rivals.map(({ name }) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const rival of rivals) {
      await rival.prepare();
      await quiet();
      costs.get(rival.name)?.push(await rival.run());
    }
  }
  return costs;
}

/** The median of each figure. */
export function median(costs: readonly Cost[]): Cost {
  const of = (pick: (cost: Cost) => number): number => middle(costs.map(pick));
  return {
    wall: of((cost) => cost.wall),
    user: of((cost) => cost.user),
    system: of((cost) => cost.system),
    peak: of((cost) => cost.peak),
    others: of((cost) => cost.others),
  };
}

/** The median of a's wall over b's, of the same round: what slows the machine down slows down both. */
export function ratio(a: readonly Cost[], b: readonly Cost[]): number {
  return middle(a.map((cost, round) => cost.wall / (b[round]?.wall ?? Number.NaN)));
}

function middle(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length / 2;
  return ((sorted[Math.ceil(half) - 1] ?? Number.NaN) + (sorted[Math.floor(half)] ?? Number.NaN)) / 2;
}

/** Reads the files, so that they are in the page cache. */
export async function warm(files: readonly string[]): Promise<void> {
  await run(["sh", "-c", 'cat "$@" > /dev/null', "sh", ...files]);
}

/** Empties the page cache: all of it as root, else of these files. Unwritten pages would stay: they are synced first. */
export async function chill(files: readonly string[]): Promise<void> {
  await run(["sync"]);
  try {
    await writeFile("/proc/sys/vm/drop_caches", "3");
  } catch {
    for (const file of files) {
      await run(["dd", `if=${file}`, "iflag=nocache", "count=0", "status=none"]);
    }
  }
}

/** Half seconds that this process may still spend on waiting: on a machine that never rests, turns and medians have to do. */
let patience = 120;

/** Waits until the machine is nine tenths idle; what runs at a lower priority gives way. */
async function quiet(): Promise<void> {
  for (; patience > 0; patience--) {
    const before = processorTime();
    await new Promise((resolve) => setTimeout(resolve, 500));
    const after = processorTime();
    if (after.busy - before.busy < 0.1 * (after.all - before.all)) {
      return;
    }
  }
}

/** Seconds of all processors since the machine started. */
function processorTime(): { readonly busy: number; readonly all: number } {
  let idle = 0;
  let all = 0;
  for (const { times } of cpus()) {
    idle += (times.idle + times.nice) / 1000;
    all += Object.values(times).reduce((sum, time) => sum + time, 0) / 1000;
  }
  return { busy: all - idle, all };
}
