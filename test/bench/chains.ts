/**
 * Part 12: versions of a chain made into models, beside copying the base and beside an engine's way in Python; its steps folded into one,
 * beside decoding them once; and the plan of a terabyte. Needs a Node with zstd. WEIGHT_DIFF_BENCH_PARAMETERS says how many elements there are.
 */
import { readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Bench, clearOutput, outputOf, weightDiff } from "./bench.js";
import { CHANGED, type ChainFiles, HUGE, prepareChain, prepareHuge, STEPS } from "./chain-files.js";
import { type Cost, interleave, median, ratio, run, warm } from "./measure.js";
import { costTable, megabytes, seconds, table } from "./table.js";

const PARAMETERS = Number(process.env.WEIGHT_DIFF_BENCH_PARAMETERS ?? 500_000_000);
/** A round takes minutes. */
const MAX_ROUNDS = 3;

const NAMES = {
  copy: "copy the base with a sha256 of each tensor",
  floor: "what the promises of 1 step cost, one thread",
  one: "materialize 1 step",
  all: `materialize ${STEPS} steps`,
  onePython: "1 step in Python",
  allPython: `${STEPS} steps in Python`,
  decode: "decode every payload once, one thread",
  walk: "walk every frame",
  fold: "fold",
} as const;

/** What is aimed at: wall times; against Python the time of all processors. */
const AIMS = [
  ["one", "copy", "1.15"],
  ["all", "one", "2"],
  ["fold", "decode", "1.2"],
  ["one", "floor", ""],
  ["one", "onePython", "1"],
  ["all", "allPython", "1"],
] as const;

const script = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const REFERENCE = script("../../../test/bench/chain_reference.py");

export async function chains(bench: Bench): Promise<void> {
  const files = await prepareChain(bench.dir, PARAMETERS);
  const [model, out] = [join(files.base, "model.safetensors"), outputOf(bench)];
  const { size } = await stat(model);
  const steps = await readdir(files.chain);
  const inputs = [model, ...steps.map((step) => join(files.chain, step, "model-00000-of-00001.safetensors"))];
  const rival = (name: string, command: readonly string[]) => ({
    name,
    async prepare() {
      await clearOutput(bench);
      await warm(inputs);
    },
    run: () => run(command),
  });
  const ours = (...args: readonly string[]): readonly string[] =>
    weightDiff(bench, "chain", ...args, "--threads", "2", "--json", "--quiet");
  const materialize = (to: number): readonly string[] => [
    ...ours("materialize", ...places(files)),
    "--path_tuned",
    out,
    "--to",
    `${to}`,
  ];
  const python = (await run([bench.python, "-c", "import numpy, xxhash, zstandard"], { mayFail: true })).code === 0;
  const engine = (to: number): readonly string[] => [bench.python, REFERENCE, files.base, files.chain, out, `${to}`];
  const costs = await interleave(
    [
      rival(NAMES.copy, [process.execPath, script("floor.js"), "--no-crc", out, `${size}`, model]),
      rival(NAMES.floor, [
        process.execPath,
        script("step-floor.js"),
        files.base,
        join(files.chain, "weight_v000001"),
        out,
      ]),
      rival(NAMES.one, materialize(1)),
      rival(NAMES.all, materialize(STEPS)),
      ...(python ? [rival(NAMES.onePython, engine(1)), rival(NAMES.allPython, engine(STEPS))] : []),
      rival(NAMES.decode, [process.execPath, script("decode-once.js"), files.chain]),
      rival(NAMES.walk, ours("verify", files.chain)),
      rival(NAMES.fold, ours("fold", "--path_diff", files.chain, "--path_out", out)),
    ],
    Math.min(bench.rounds, MAX_ROUNDS),
  );
  const title = `12. ${(PARAMETERS / 1e9).toFixed(2)}G bfloat16 parameters, ${100 * CHANGED} % changed in each of ${STEPS} steps, inputs cached, 2 threads`;
  costTable(bench.print, title, costs);
  sayRatios(bench, costs);
  if (!python) {
    bench.print("\nwithout the engine's way: --python names no Python with numpy, xxhash and zstandard");
  }
  await clearOutput(bench);
  await planHuge(bench);
}

const places = ({ base, chain }: ChainFiles): readonly string[] => ["--path_raw", base, "--path_diff", chain];

function sayRatios(bench: Bench, costs: ReadonlyMap<string, readonly Cost[]>): void {
  const processors = (costs: readonly Cost[]): number => median(costs).user + median(costs).system;
  const rows = AIMS.flatMap(([key, other, aim]): readonly (readonly string[])[] => {
    const [mine = [], theirs = []] = [costs.get(NAMES[key]), costs.get(NAMES[other])];
    const relation = [ratio(mine, theirs), processors(mine) / processors(theirs)].map((value) => value.toFixed(2));
    return theirs.length === 0 ? [] : [[`${NAMES[key]} / ${NAMES[other]}`, ...relation, aim]];
  });
  table(bench.print, "12. what was aimed at", ["", "wall", "processor", "aim"], rows);
}

/** Judging the base is part of it. */
async function planHuge(bench: Bench): Promise<void> {
  const rows: string[][] = [];
  for (const name of Object.keys(HUGE) as (keyof typeof HUGE)[]) {
    const files = await prepareHuge(bench.dir, name);
    const { layers, matrices } = HUGE[name];
    const command = weightDiff(bench, "chain", "materialize", ...places(files), "--dry-run", "--json", "--quiet");
    const costs: Cost[] = [];
    for (let round = 0; round < MAX_ROUNDS; round++) {
      costs.push(await run(command));
    }
    const { wall, user, system, peak } = median(costs);
    rows.push([name, String(layers * (matrices + 1)), seconds(wall), seconds(user), seconds(system), megabytes(peak)]);
    await rm(join(files.base, ".."), { recursive: true });
  }
  const title = `12. 1 TB of holes and ${STEPS} steps, planned`;
  table(bench.print, title, ["", "tensors", "wall s", "user s", "sys s", "peak MB"], rows);
}
