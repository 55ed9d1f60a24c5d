/** Parts 1 to 3: against copying the same bytes, with one thread and two, and with more and fewer bytes. */
import { type Bench, clearOutput, outputOf, recoverCommand, warmRival } from "./bench.js";
import { chill, interleave, median, ratio, run, shell } from "./measure.js";
import { type Model, prepareModel } from "./model.js";
import { costTable, seconds, table } from "./table.js";

const FLOOR = new URL("./floor.js", import.meta.url).pathname;

/** Part 1: recover, what its promises cost without the arithmetic, and two ways to read all inputs and write as many bytes as the output has. */
export async function againstCopying(bench: Bench): Promise<void> {
  const model = await prepareModel(bench.dir, "1.07G");
  const out = outputOf(bench);
  const cat = `cat ${model.inputs.map(quoted).join(" ")} > /dev/null`;
  const diff = quoted(model.diffFiles[0] ?? "");
  const commands: readonly (readonly [string, readonly string[]])[] = [
    ["weight-diff recover", recoverCommand(bench, model, "--path_tuned", out)],
    ["the floor", floor(model, out)],
    ["cat + dd oflag=direct", shell(`${cat} && dd if=${diff} of=${quoted(out)} bs=8M oflag=direct conv=fsync`)],
    ["cat + cp + sync", shell(`${cat} && cp ${diff} ${quoted(out)} && sync ${quoted(out)}`)],
  ];
  const warmRivals = commands.map(([name, command]) => warmRival(bench, name, model, command));
  costTable(bench.print, heading("1. recover, inputs cached", model), await interleave(warmRivals, bench.rounds));
  const coldRivals = warmRivals.map((rival) => ({
    ...rival,
    ...(rival.name === "the floor" ? { run: () => run(floor(model, out, "--direct")) } : {}),
    async prepare() {
      await clearOutput(bench);
      await chill(model.inputs);
    },
  }));
  costTable(bench.print, heading("1. recover, inputs not cached", model), await interleave(coldRivals, bench.rounds));
  await clearOutput(bench);
}

/** The program that only reads, checks, digests and writes. */
export function floor({ parameters, inputs }: Model, out: string, ...flags: readonly string[]): readonly string[] {
  return [process.execPath, FLOOR, ...flags, out, `${4 * parameters}`, ...inputs];
}

/** Part 2: what the second thread is worth while the inputs are cached. */
export async function threads(bench: Bench): Promise<void> {
  const model = await prepareModel(bench.dir, "1.07G");
  const rivals = [1, 2].flatMap((count) => [
    warmRival(
      bench,
      `${count}, written`,
      model,
      recoverCommand(bench, model, ...tuned(bench), "--threads", `${count}`),
    ),
    warmRival(bench, `${count}, computed only`, model, recoverCommand(bench, model, "--threads", `${count}`)),
  ]);
  const costs = await interleave(rivals, bench.rounds);
  costTable(bench.print, heading("2. threads, inputs cached", model), costs);
  const gain = (what: string): string => ratio(costs.get(`1, ${what}`) ?? [], costs.get(`2, ${what}`) ?? []).toFixed(2);
  bench.print(`\n1 -> 2 threads: ${gain("written")} x written, ${gain("computed only")} x computed only`);
  await clearOutput(bench);
}

/** Part 3: time against bytes. */
export async function linearity(bench: Bench): Promise<void> {
  const models = [];
  for (const name of ["0.27G", "0.53G", "1.07G"] as const) {
    models.push(await prepareModel(bench.dir, name));
  }
  const rivals = models.map((model) =>
    warmRival(bench, model.name, model, recoverCommand(bench, model, ...tuned(bench))),
  );
  const costs = await interleave(rivals, bench.rounds);
  const rows = models.map((model) => {
    const { wall } = median(costs.get(model.name) ?? []);
    return [model.name, gigabytes(model.bytes), seconds(wall), seconds((1e9 * wall) / model.parameters)];
  });
  table(bench.print, "3. linear in bytes, inputs cached, written", ["parameters", "GB in", "wall s", "s per G"], rows);
  await clearOutput(bench);
}

/** Part 6: what it takes to start. */
export async function startUp(bench: Bench): Promise<void> {
  const demo = new URL("../../../fixtures/demo/", import.meta.url).pathname;
  const out = outputOf(bench);
  const rival = (name: string, ...args: string[]): Parameters<typeof interleave>[0][number] => ({
    name,
    prepare: () => clearOutput(bench),
    run: () => run([process.execPath, ...args]),
  });
  const places = ["--path_raw", `${demo}base`, "--path_diff", `${demo}diff`, "--path_tuned", out];
  const rivals = [
    rival("node -e 0", "-e", "0"),
    rival("weight-diff --version", bench.program, "--version"),
    rival("weight-diff recover, demo", bench.program, "recover", ...places),
  ];
  costTable(bench.print, "6. start-up (median of 10)", await interleave(rivals, 10));
  await clearOutput(bench);
}

function tuned(bench: Bench): readonly string[] {
  return ["--path_tuned", outputOf(bench)];
}

function heading(title: string, model: Model): string {
  const written = 4 * model.parameters;
  return `${title}: ${model.name} parameters, ${gigabytes(model.bytes)} GB in, ${gigabytes(written)} GB out`;
}

function gigabytes(bytes: number): string {
  return (bytes / 1e9).toFixed(2);
}

/** For sh. */
function quoted(path: string): string {
  return `'${path.replaceAll("'", "'\\''")}'`;
}
