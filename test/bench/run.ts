/**
 * `npm run bench`: end to end against copying the same bytes and against other programs, in one run and in turns; never in CI.
 * Prints tables in Markdown. Needs Linux with GNU time, and up to 30 GB in --dir, which keeps the models for the next time.
 */
import { spawnSync } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { cpus, loadavg, tmpdir, totalmem } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import type { Bench } from "./bench.js";
import { chains } from "./chains.js";
import { codedDiffs } from "./coded.js";
import { perByte } from "./families.js";
import { goals } from "./goals.js";
import { overLines } from "./hub-line.js";
import { huge, peaks } from "./memory.js";
import { againstMergekit } from "./mergekit.js";
import { againstMeta } from "./meta.js";
import { againstReference } from "./reference.js";
import { reports } from "./report.js";
import { againstCopying, linearity, startUp, threads } from "./speed.js";
import { passes } from "./try.js";

const PARTS: ReadonlyMap<string, (bench: Bench) => Promise<void>> = new Map([
  ["1", againstCopying],
  ["2", threads],
  ["3", linearity],
  ["4", peaks],
  ["5", huge],
  ["6", startUp],
  ["7", againstReference],
  ["8", againstMergekit],
  ["9", againstMeta],
  ["10", perByte],
  ["11", codedDiffs],
  ["12", chains],
  ["13", passes],
  ["14", reports],
  ["15", goals],
  ["16", overLines],
]);

const HELP = `npm run bench -- [options]
  --only 1,2      parts: 1 against copying, 2 threads, 3 linearity, 4 memory, 5 replica of 65B, 6 start-up,
                  7 weight_diff.py, 8 mergekit, 9 Meta's layout as base, 10 every kind of scheme, per byte,
                  11 compressed diffs, and make-diff against recover, 12 chains of updates, 13 passes of a model,
                  14 report against verify --against, 15 recover, verify and --resume against what is aimed at,
                  16 from the Hub over long lines, against the Python client (default: all but 5)
  --65b           part 5 too: ten minutes at most
  --rounds 5      runs of each rival
  --dir DIR       models and outputs (default: weight-diff-bench in the system's folder for temporary files)
  --program FILE  another build's bin/weight-diff.js
  --reference FILE --python PYTHON    a copy of a weight_diff.py, for part 7; the Python also for parts 12 and 16
  --lines WORDS                       of part 16, lines whose names have WORDS in them: "100 Mbit"
  --mergekit FILE                     mergekit-yaml, for part 8
`;

const { values } = parseArgs({
  options: {
    only: { type: "string" },
    "65b": { type: "boolean", default: false },
    rounds: { type: "string", default: "5" },
    dir: { type: "string", default: join(tmpdir(), "weight-diff-bench") },
    program: { type: "string", default: fileURLToPath(new URL("../../../bin/weight-diff.js", import.meta.url)) },
    reference: { type: "string" },
    python: { type: "string", default: "python3" },
    lines: { type: "string", default: "" },
    mergekit: { type: "string", default: "mergekit-yaml" },
    help: { type: "boolean", default: false },
  },
});

const works = (command: string, ...args: string[]): boolean => spawnSync(command, args).status === 0;

async function main(): Promise<void> {
  if (values.help) {
    process.stdout.write(HELP);
    return;
  }
  const dir = resolve(values.dir);
  await mkdir(dir, { recursive: true });
  const bench: Bench = {
    dir,
    rounds: Number(values.rounds),
    program: resolve(values.program),
    print: (text) => process.stdout.write(`${text}\n`),
    reference: values.reference ?? null,
    python: values.python,
    lines: values.lines,
    mergekit: works(values.mergekit, "--help") ? values.mergekit : null,
  };
  const load = (): string => `load ${loadavg()[0]?.toFixed(2)}`;
  const machine = `${cpus()[0]?.model.trim()}, ${cpus().length} cores, ${(totalmem() / 2 ** 30).toFixed(0)} GiB`;
  const today = new Date().toISOString().slice(0, 10);
  bench.print(`${today}, ${machine}, Node ${process.version}, ${load()}; medians of ${bench.rounds} rounds`);
  const wanted = values.only?.split(",") ?? [...PARTS.keys()].filter((part) => part !== "5");
  for (const part of new Set([...wanted, ...(values["65b"] ? ["5"] : [])])) {
    const start = PARTS.get(part);
    if (start === undefined) {
      throw new Error(`--only ${part}: there is no such part`);
    }
    await start(bench);
  }
  bench.print(`\nat the end: ${load()}`);
}

await main();
