/** Part 14: report beside `verify --against`, of the same two models: what a byte costs, with and without the time that each takes to start. */
import { join } from "node:path";
import { type Bench, weightDiff } from "./bench.js";
import { type Cost, interleave, median, ratio, run, warm } from "./measure.js";
import { fillWithSum, type ModelName, prepareSide, SAFETENSORS, type Side } from "./model.js";
import { megabytes, percent, seconds, table } from "./table.js";
import type { Fill } from "./torch-bin.js";

const NAME = "0.53G";
const DTYPES = ["BF16", "F16", "F32"] as const;
/** What a fine-tune did to the base: verify has less to do where fewer values differ, report has not. */
const TUNES = [
  { title: "all moved", draw: { deviation: 5e-4, seed: 2 } },
  { title: "1 % moved", draw: { deviation: 5e-4, seed: 2, share: 0.01 } },
] as const;
/** Two models differ: verify says so. */
const DIFFERS = 3;

interface Case {
  readonly dtype: (typeof DTYPES)[number];
  readonly tune: (typeof TUNES)[number];
}
type Pair = readonly [base: Side, tuned: Side];

const COMMANDS = {
  // Norm weights that scatter around 0, as all values here do, are a diff's.
  report: ([base, tuned]: Pair) => ["report", base.path, tuned.path, "--ignore", "not-a-model"],
  verify: ([base, tuned]: Pair) => ["verify", tuned.path, "--against", base.path],
} as const;
type Command = keyof typeof COMMANDS;

export async function reports(bench: Bench): Promise<void> {
  const rows: (readonly string[])[] = [];
  for (const dtype of DTYPES) {
    for (const tune of TUNES) {
      rows.push(await compare(bench, { dtype, tune }));
    }
  }
  const of = (what: string): readonly string[] => [`report, ${what}`, `verify, ${what}`, "ratio", "without start-up"];
  table(
    bench.print,
    `14. report against verify --against, two models of ${NAME} parameters in safetensors, cached, 2 threads, medians of ${bench.rounds}`,
    ["", ...of("wall s"), ...of("cpu s"), "peak MB", "others"],
    rows,
  );
}

/** Both read the same bytes. What a pair of next to nothing takes is the start-up. */
async function compare(bench: Bench, { dtype, tune }: Case): Promise<readonly string[]> {
  const costs = async (name: ModelName): Promise<Readonly<Record<Command, readonly Cost[]>>> => {
    const pair = await preparePair(bench, name, { dtype, tune });
    await warm(pair.flatMap(({ files }) => files));
    const rivals = (["report", "verify"] as const).map((command) => ({
      name: command,
      prepare: async () => {},
      run: () => timed(bench, command, pair),
    }));
    const found = await interleave(rivals, bench.rounds);
    return { report: found.get("report") ?? [], verify: found.get("verify") ?? [] };
  };
  const [whole, start] = [await costs(NAME), await costs("tiny")];
  const [report, verify] = [median(whole.report), median(whole.verify)];
  const against = (of: (cost: Cost) => number, less: number): string =>
    ((of(report) - less * of(median(start.report))) / (of(verify) - less * of(median(start.verify)))).toFixed(2);
  const wall = (cost: Cost): number => cost.wall;
  const processor = ({ user, system }: Cost): number => user + system;
  return [
    `${dtype}, ${tune.title}`,
    ...[seconds(wall(report)), seconds(wall(verify)), ratio(whole.report, whole.verify).toFixed(2), against(wall, 1)],
    ...[seconds(processor(report)), seconds(processor(verify)), against(processor, 0), against(processor, 1)],
    ...[megabytes(report.peak), percent(report.others)],
  ];
}

async function timed(bench: Bench, command: Command, pair: Pair): Promise<Cost> {
  const args = [...COMMANDS[command](pair), "--json", "--quiet", "--threads", "2"];
  const ran = await run(weightDiff(bench, ...args), { mayFail: true });
  if (ran.code !== (command === "verify" ? DIFFERS : 0)) {
    throw new Error(`${args.join(" ")}: exit code ${ran.code}\n${ran.stderr}`);
  }
  return ran;
}

async function preparePair({ dir }: Bench, name: ModelName, { dtype, tune }: Case): Promise<Pair> {
  const base = { deviation: 0.02, seed: 1 };
  const side = (what: string, fill: Fill): Promise<Side> =>
    prepareSide(join(dir, `${name}-${dtype}-${what}`), name, dtype, { format: SAFETENSORS, fill });
  return [
    await side("base", fillWithSum(base)),
    await side(tune.title.replace(/\W+/g, "-"), fillWithSum(base, tune.draw)),
  ];
}
