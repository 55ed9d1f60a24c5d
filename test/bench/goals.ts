/**
 * Part 15: recover against what its promises cost, in one table with what is aimed at: the floor, the second thread, time in which threads
 * wait, and per byte the cheaper and dearer schemes, verify, and a run that finds its output finished. Inputs are cached unless it says otherwise.
 */
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { type Bench, clearOutput, outputOf, recoverCommand, warmRival, weightDiff } from "./bench.js";
import { FAMILIES, familyRival } from "./families.js";
import { type Cost, chill, interleave, median, type Rival, ratio, run, warm } from "./measure.js";
import { type Model, prepareModel } from "./model.js";
import { floor } from "./speed.js";
import { megabytes, percent, seconds, table } from "./table.js";

type Row = readonly [what: string, measured: string, aim: string];

export async function goals(bench: Bench): Promise<void> {
  const model = await prepareModel(bench.dir, "1.07G");
  const rows = [...(await ofOneModel(bench, model)), ...(await ofSchemes(bench)), ...(await ofThreads(bench, model))];
  table(bench.print, "15. what is aimed at", ["", "measured", "aimed at"], rows);
  await clearOutput(bench);
}

/** All of these do their work on the same files. */
async function ofOneModel(bench: Bench, model: Model): Promise<readonly Row[]> {
  const out = outputOf(bench);
  const finished = join(bench.dir, "finished");
  await rm(finished, { recursive: true, force: true });
  await run(recoverCommand(bench, model, "--path_tuned", finished));
  const commands = {
    recover: recoverCommand(bench, model, "--path_tuned", out),
    floor: floor(model, out),
    "one thread": recoverCommand(bench, model, "--path_tuned", out, "--threads", "1"),
    "computed only": recoverCommand(bench, model),
    "computed only, one thread": recoverCommand(bench, model, "--threads", "1"),
  };
  const cached: Rival[] = Object.entries(commands).map(([name, command]) => warmRival(bench, name, model, command));
  const again = {
    verify: weightDiff(bench, "verify", finished, "--json", "--quiet"),
    resume: recoverCommand(bench, model, "--path_tuned", finished, "--resume"),
  };
  const rereading = Object.entries(again).map(([name, command]) => ({
    name,
    prepare: () => warm([join(finished, "model.safetensors")]),
    run: () => run(command),
  }));
  const costs = await interleave([...cached, ...rereading], bench.rounds);
  const cold = { recover: commands.recover, floor: floor(model, out, "--direct") };
  const notCached = Object.entries(cold).map(([name, command]) => ({
    ...warmRival(bench, name, model, command),
    async prepare() {
      await clearOutput(bench);
      await chill(model.inputs);
    },
  }));
  const coldCosts = await interleave(notCached, bench.rounds);
  await rm(finished, { recursive: true });
  const of = (name: string): readonly Cost[] => costs.get(name) ?? [];
  const cool = (name: string): readonly Cost[] => coldCosts.get(name) ?? [];
  const written = 4 * model.parameters;
  // Per byte: verify and --resume read what recover has written.
  const perByte = (name: string): string =>
    ((ratio(of(name), of("recover")) * (model.bytes + written)) / written).toFixed(2);
  return [
    ["recover, seconds", seconds(median(of("recover")).wall), ""],
    ["peak memory, MB", megabytes(median(of("recover")).peak), "137"],
    ["recover / the floor", ratio(of("recover"), of("floor")).toFixed(2), "1.12"],
    ["the same, not cached", ratio(cool("recover"), cool("floor")).toFixed(2), "1.05"],
    ["1 -> 2 threads, times as fast", ratio(of("one thread"), of("recover")).toFixed(2), "1.75"],
    ["the same, without output", ratio(of("computed only, one thread"), of("computed only")).toFixed(2), ""],
    ["verify / recover, per byte", perByte("verify"), "1.00"],
    ["--resume of a finished output / recover, per byte", perByte("resume"), "0.80"],
  ];
}

/** Per byte read or written, against open-instruct of the same size. */
async function ofSchemes(bench: Bench): Promise<readonly Row[]> {
  const wanted = [
    ["1.07G", { fastchat: "1.15", llava: "1.15", lmflow: "1.15" }],
    ["0.53G", { koala: "1.50", "oa-xor": "0.70", "oa-xor-2": "0.70" }],
  ] as const;
  const rows: Row[] = [];
  for (const [size, aims] of wanted) {
    const bytes = new Map<string, number>();
    const first = await FAMILIES["open-instruct"](bench, size);
    const rivals = [familyRival(bench, first, bytes)];
    const named: (readonly [string, string])[] = [];
    for (const [family, aim] of Object.entries(aims)) {
      const prepared = await FAMILIES[family as keyof typeof FAMILIES](bench, size);
      rivals.push(familyRival(bench, prepared, bytes));
      named.push([prepared.name, aim]);
    }
    const costs = await interleave(rivals, bench.rounds);
    const own = bytes.get(first.name) ?? Number.NaN;
    for (const [name, aim] of named) {
      const walls = ratio(costs.get(name) ?? [], costs.get(first.name) ?? []);
      rows.push([
        `${name} / open-instruct, per byte`,
        ((walls * own) / (bytes.get(name) ?? Number.NaN)).toFixed(2),
        aim,
      ]);
    }
  }
  return rows;
}

interface TraceEvent {
  readonly name: string;
  readonly ph: "X" | "b" | "e";
  readonly tid: number;
  readonly ts: number;
  readonly dur?: number;
}

/** What the threads of one run did between its first byte and its last. */
async function ofThreads(bench: Bench, model: Model): Promise<readonly Row[]> {
  const trace = join(bench.dir, "trace.json");
  await rm(trace, { force: true });
  await clearOutput(bench);
  await warm(model.inputs);
  await run(["env", `WEIGHT_DIFF_TRACE=${trace}`, ...recoverCommand(bench, model, "--path_tuned", outputOf(bench))]);
  const lines = (await readFile(trace, "utf8")).split("\n").slice(1, -1);
  const all = lines.map((line) => JSON.parse(line.replace(/,$/, "")) as TraceEvent);
  const ofWorkers = all.filter(({ tid }) => tid > 0);
  const start = Math.min(...all.map(({ ts }) => ts));
  const first = Math.min(...ofWorkers.filter(({ name }) => name === "read").map(({ ts }) => ts));
  const last = Math.max(...ofWorkers.filter(({ name }) => name === "write").map(({ ts }) => ts));
  const threads = new Set(ofWorkers.map(({ tid }) => tid)).size;
  const share = (is: (name: string) => boolean): number =>
    ofWorkers.reduce((sum, { name, dur = 0 }) => sum + (is(name) ? dur : 0), 0) / (threads * (last - first));
  const [work, waits] = [
    share((name) => ["compute", "read here"].includes(name)),
    share((name) => name.startsWith("wait")),
  ];
  await rm(trace);
  return [
    ["start of the process to its first read, seconds", seconds((first - start) / 1e6), ""],
    [`${threads} threads at work between first and last byte`, percent(work), "92 %"],
    ["waiting for reads, writes and jobs", percent(waits), ""],
    ["in no event", percent(1 - work - waits), ""],
  ];
}
