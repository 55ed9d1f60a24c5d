/** Part 13: what a pass of a model costs, beside what recover reads in a second, and in how much memory the widest model runs. */
import { fileURLToPath } from "node:url";
import { type Bench, recoverCommand } from "./bench.js";
import { type Cost, type Finished, median, run, warm } from "./measure.js";
import { prepareModel } from "./model.js";
import { megabytes, seconds, table } from "./table.js";

const SAY = fileURLToPath(new URL("./say.js", import.meta.url));

interface Passes {
  /** Of each pass. */
  readonly seconds: readonly number[];
  readonly bytes: number;
}

const say = async (path: string, tokens: number, passes: number): Promise<Passes & Finished> => {
  const ran = await run([process.execPath, SAY, path, String(tokens), String(passes), "2"]);
  return { ...ran, ...(JSON.parse(ran.stdout) as Passes) };
};

export async function passes(bench: Bench): Promise<void> {
  const rows: string[][] = [];
  const model = await prepareModel(bench.dir, "0.53G");
  await warm(model.inputs);
  const recovered: Cost[] = [];
  for (let round = 0; round < bench.rounds; round++) {
    recovered.push(await run(recoverCommand(bench, model, "--threads", "2")));
  }
  const { wall } = median(recovered);
  rows.push(["0.53G", "recover, without output", seconds(wall), rate(model.bytes, wall), ""]);
  for (const tokens of [1, 8, 64]) {
    // The first pass also looks for what is not finite.
    const { seconds: took, bytes, peak } = await say(model.base, tokens, 1 + bench.rounds);
    const one = middle(took.slice(1));
    rows.push(["0.53G", `a pass of ${tokens} tokens, F16`, seconds(one), rate(bytes, one), megabytes(peak)]);
  }
  const wide = await prepareModel(bench.dir, "65B-layer");
  const { seconds: took, bytes, peak } = await say(wide.base, 64, 1);
  rows.push([
    "65B, one layer and head",
    "64 tokens (holes)",
    seconds(took[0] ?? 0),
    rate(bytes, took[0] ?? 0),
    megabytes(peak),
  ]);
  table(
    bench.print,
    "13. passes at 2 threads, from the page cache",
    ["parameters", "", "wall s", "GB/s", "peak MB"],
    rows,
  );
}

function middle(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

function rate(bytes: number, wall: number): string {
  return (bytes / wall / 1e9).toFixed(2);
}
