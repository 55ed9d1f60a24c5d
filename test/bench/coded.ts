/**
 * Part 11: compressed diffs. How fast windows are coded and decoded on one core, and what making and recovering a compressed diff costs
 * against the other encodings. The pair is BF16: weights of 0.02, and differences of 5e-4; sizes are coded.py's affair.
 */
import { mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { planMemory } from "../../src/engine/io/memory.js";
import { decodeWindow, encodeWindow } from "../../src/engine/work/windows.js";
import { unitOf, WINDOW_UNITS } from "../../src/formats/coded/units.js";
import { layoutShard } from "../../src/formats/safetensors-layout.js";
import { narrowBits, toBits } from "../../src/kernel/bits.js";
import { peek, simdKernel } from "../support/kernels.js";
import { type Bench, clearOutput, outputOf, weightDiff } from "./bench.js";
import { chill, interleave, median, ratio, run, warm } from "./measure.js";
import { megabytes, percent, seconds, table } from "./table.js";

const TENSORS = 16;
const SIDE = 4096;
const MOST_ROUNDS = 3;
const WINDOWS = 30;
const ENCODINGS = [
  ["additive", ["--encoding", "additive"]],
  ["additive, 100MB shards", ["--encoding", "additive", "--max-shard-size", "100MB"]],
  ["exact", ["--encoding", "exact"]],
  ["compressed", ["--compress"]],
] as const;

export async function codedDiffs(bench: Bench): Promise<void> {
  windowSpeeds(bench);
  const [base, tuned] = await preparePair(bench);
  const diffOf = (name: string): string => join(bench.dir, `coded-${name.replace(/\W+/g, "-")}`);
  const common = ["--ignore", "not-a-model,not-a-diff,swapped", "--json", "--quiet"];
  const make = (args: readonly string[], out: string): readonly string[] =>
    weightDiff(bench, "make-diff", "--path_raw", base, "--path_tuned", tuned, ...args, ...common, "--path_diff", out);
  for (const [name, args] of ENCODINGS) {
    await rm(diffOf(name), { recursive: true, force: true });
    await run(make(args, diffOf(name)));
  }
  const out = outputOf(bench);
  const recover = (name: string): readonly string[] =>
    weightDiff(bench, "recover", "--path_raw", base, "--path_diff", diffOf(name), "--path_tuned", out, ...common);
  const works = [
    ...ENCODINGS.map(([name]) => ({ name: `recover ${name}`, command: recover(name), from: [base, diffOf(name)] })),
    ...ENCODINGS.map(([name, args]) => ({ name: `make-diff ${name}`, command: make(args, out), from: [base, tuned] })),
  ].filter(({ name }) => name !== "recover additive, 100MB shards");
  const bytes = new Map<string, number>();
  const rivalOf = (cold: boolean) => (work: (typeof works)[number]) => ({
    name: work.name,
    async prepare() {
      await clearOutput(bench);
      const files = (await Promise.all(work.from.map(filesIn))).flat();
      await (cold ? chill(files) : warm(files));
    },
    async run() {
      const cost = await run(work.command);
      const files = (await Promise.all([...work.from, out].map(filesIn))).flat();
      bytes.set(
        work.name,
        (await Promise.all(files.map(async (file) => (await stat(file)).size))).reduce((a, b) => a + b),
      );
      return cost;
    },
  });
  const rounds = Math.min(bench.rounds, MOST_ROUNDS);
  const cached = await interleave(works.map(rivalOf(false)), rounds);
  const first = median(cached.get("recover additive") ?? []);
  const perByte = (name: string, wall: number): number => wall / (bytes.get(name) ?? Number.NaN);
  table(
    bench.print,
    `11. compressed diffs: a pair of ${((TENSORS * SIDE * SIDE) / 1e9).toFixed(2)} G weights in BF16, inputs cached, medians of ${rounds}`,
    ["", "GB in + out", "wall s", "user s", "sys s", "peak MB", "others", "wall / byte against recover additive"],
    works.map(({ name }) => {
      const { wall, user, system, peak, others } = median(cached.get(name) ?? []);
      const against = perByte(name, wall) / perByte("recover additive", first.wall);
      const size = ((bytes.get(name) ?? Number.NaN) / 1e9).toFixed(2);
      return [
        name,
        size,
        seconds(wall),
        seconds(user),
        seconds(system),
        megabytes(peak),
        percent(others),
        against.toFixed(2),
      ];
    }),
  );
  const pair = works.filter(({ name }) => name === "recover exact" || name === "recover compressed");
  const cold = await interleave(pair.map(rivalOf(true)), rounds);
  const against = (costs: typeof cold): string =>
    ratio(costs.get("recover compressed") ?? [], costs.get("recover exact") ?? []).toFixed(2);
  bench.print(
    `\nrecover of the compressed diff against the exact one: ${against(cached)} x cached, ${against(cold)} x not cached (${[...cold].map(([name, costs]) => `${name} ${seconds(median(costs).wall)} s`).join(", ")})`,
  );
  await clearOutput(bench);
}

/** Whole windows, in and out of one kernel's memory: GB of BF16 model a second, the median and the best. */
function windowSpeeds({ print }: Bench): void {
  const needs = { windowBytes: 2 * WINDOW_UNITS, slots: 1, operands: 2, sumBytes: 0, means: 0, meanBytes: 0 };
  const asked = { ...needs, meanColumns: 0, coder: "encode", measures: false } as const;
  const kernel = simdKernel(planMemory(0, asked).end);
  const { coder, slots, rawBlock } = planMemory(kernel.base, asked);
  const [slot] = slots;
  const [from = 0, tuned = 0] = slot?.operands ?? [];
  if (coder === null || slot === undefined) {
    throw new Error("no room for a window");
  }
  const unit = unitOf("BF16");
  const rows = [1e-3, 5e-4, 1e-4, 1e-5, 0].map((deviation) => {
    const [base, near] = blocks(deviation, WINDOW_UNITS);
    new Uint16Array(kernel.memory, from, WINDOW_UNITS).set(base);
    new Uint16Array(kernel.memory, tuned, WINDOW_UNITS).set(near);
    let length = 0;
    const encode = speed(() => {
      length = encodeWindow(kernel, coder, unit, { from, tuned, units: WINDOW_UNITS }, slot.out).bytes;
    });
    const piece = 1 << 16;
    const decode = speed(() => {
      const decoder = decodeWindow(kernel, coder, unit, { at: slot.out, length, units: WINDOW_UNITS }, {});
      for (let first = 0; first < WINDOW_UNITS; first += piece) {
        decoder.decode(from + 2 * first, rawBlock, piece);
      }
      decoder.end();
    });
    const alone = peek(kernel, slot.out, 1)[0] === 2;
    const name = deviation === 0 ? "unrelated" : `sd ${deviation.toExponential()}`;
    return [name, alone ? "alone" : "given the base", percent(length / 2 / WINDOW_UNITS), ...encode, ...decode];
  });
  const head = ["BF16", "coded", "size", "encode, median", "best", "decode, median", "best"];
  table(print, `11. windows on one core, GB of model a second, of ${WINDOWS}`, head, rows);
}

function speed(work: () => void): readonly string[] {
  work();
  work();
  const times = Array.from({ length: WINDOWS }, () => {
    const started = performance.now();
    work();
    return performance.now() - started;
  }).sort((a, b) => a - b);
  return [times[WINDOWS / 2] ?? 0, times[0] ?? 0].map((time) => ((2 * WINDOW_UNITS) / 1e6 / time).toFixed(2));
}

/** BF16 weights around 0 of size 0.02, and what they are after a normal step; of other weights, where there is none. */
function blocks(deviation: number, count: number): readonly [Uint16Array<ArrayBuffer>, Uint16Array<ArrayBuffer>] {
  let state = 7;
  const uniform = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state + 0.5) / 2 ** 32;
  };
  const normal = (): number => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
  const [base, tuned] = [new Uint16Array(count), new Uint16Array(count)];
  for (let i = 0; i < count; i++) {
    const weight = 0.02 * normal();
    base[i] = narrowBits("BF16", toBits(weight));
    tuned[i] = narrowBits("BF16", toBits(deviation === 0 ? 0.02 * normal() : weight + deviation * normal()));
  }
  return [base, tuned];
}

/** Folders of base and tuned model; written if they are not there yet. */
async function preparePair({ dir }: Bench): Promise<readonly [string, string]> {
  const sides = ["base", "tuned"].map((side) => join(dir, `coded-pair-${side}`)) as [string, string];
  if ((await Promise.all(sides.map((side) => stat(side).catch(() => null)))).includes(null)) {
    const values = blocks(5e-4, 1 << 22);
    for (const [index, side] of sides.entries()) {
      await rm(side, { recursive: true, force: true });
      await mkdir(`${side}.partial`, { recursive: true });
      const file = await open(join(`${side}.partial`, "model.safetensors"), "w");
      const tensors = Array.from({ length: TENSORS }, (_, layer) => ({
        ...{ name: `model.layers.${layer}.self_attn.q_proj.weight`, dtype: "BF16" as const },
        shape: [SIDE, SIDE],
      }));
      await file.write(layoutShard(tensors, { name: "model.safetensors" }).header);
      for (let written = 0; written < TENSORS * SIDE * SIDE; written += values[index]?.length ?? Number.NaN) {
        await file.write(values[index] ?? new Uint16Array());
      }
      await file.close();
      await rename(`${side}.partial`, side);
    }
  }
  return sides;
}

async function filesIn(folder: string): Promise<readonly string[]> {
  return (await readdir(folder).catch(() => [])).map((file) => join(folder, file));
}
