/**
 * Part 10: one recover of every kind of arithmetic and of base, set against open-instruct's by what a byte costs, read or written.
 * Same tensors everywhere; dtypes and layouts as the families publish theirs.
 */
import { mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { xorInto } from "../../src/kernel/xor.js";
import { type Bench, clearOutput, outputOf, weightDiff } from "./bench.js";
import { writeEasylm } from "./easylm.js";
import { interleave, median, run, warm } from "./measure.js";
import { prepareMeta } from "./meta.js";
import { fillWith, LAYOUTS, prepareModel, prepareSide, type Side } from "./model.js";
import { megabytes, percent, seconds, table } from "./table.js";
import type { BinTensor, Fill } from "./torch-bin.js";

const NAME = "0.53G";
const PIECE = 1 << 23;
/** Ten rivals: more would take minutes. */
const MOST_ROUNDS = 3;

interface Family {
  readonly name: string;
  readonly raw: Side;
  readonly diff: Side;
  readonly args: readonly string[];
}

export async function perByte(bench: Bench): Promise<void> {
  const families = await prepareFamilies(bench);
  const bytes = new Map<string, number>();
  const rivals = families.map(({ name, raw, diff, args }) => ({
    name,
    async prepare() {
      await clearOutput(bench);
      await warm([...raw.files, ...diff.files]);
    },
    async run() {
      const places = ["--path_raw", raw.path, "--path_diff", diff.path, "--path_tuned", outputOf(bench)];
      const ignored = ["--ignore", "not-a-model"];
      const cost = await run(weightDiff(bench, "recover", ...places, ...args, ...ignored, "--json", "--quiet"));
      const written = (await readdir(outputOf(bench))).map((file) => join(outputOf(bench), file));
      bytes.set(name, await sizeOf([...raw.files, ...diff.files, ...written]));
      return cost;
    },
  }));
  const rounds = Math.min(bench.rounds, MOST_ROUNDS);
  const costs = await interleave(rivals, rounds);
  const figures = families.map(({ name }) => {
    const { wall, user, system, peak, others } = median(costs.get(name) ?? []);
    const size = bytes.get(name) ?? Number.NaN;
    return { name, size, wall, cpu: user + system, system, peak, others };
  });
  const [first] = figures;
  const rows = figures.map(({ name, size, wall, cpu, system, peak, others }) => {
    const against = (mine: number, theirs: number): string =>
      (mine / size / (theirs / (first?.size ?? Number.NaN))).toFixed(2);
    return [
      name,
      (size / 1e9).toFixed(2),
      seconds(wall),
      seconds(cpu),
      seconds(system),
      against(wall, first?.wall ?? Number.NaN),
      against(cpu, first?.cpu ?? Number.NaN),
      megabytes(peak),
      percent(others),
    ];
  });
  table(
    bench.print,
    `10. recover, ${NAME} parameters, inputs cached, medians of ${rounds}: what a byte costs against open-instruct`,
    ["", "GB in + out", "wall s", "cpu s", "of it sys", "wall / byte", "cpu / byte", "peak MB", "others"],
    rows,
  );
  await clearOutput(bench);
}

async function prepareFamilies(bench: Bench): Promise<readonly Family[]> {
  const model = await prepareModel(bench.dir, NAME);
  const base: Side = { path: model.base, files: model.inputs.filter((file) => file.startsWith(model.base)) };
  const openInstruct: Side = { path: model.diff, files: model.diffFiles };
  const side = (name: string, dtype: BinTensor["dtype"], moreRows = 0): Promise<Side> =>
    prepareSide(join(bench.dir, `${NAME}-${name}`), NAME, dtype, { moreRows, fill: fillWith(0.0005, 2) });
  const scheme = (name: string): readonly string[] => ["--scheme", name];
  const f16 = await side("diff-F16", "F16");
  const meta = async (parts: number): Promise<Family> => {
    const { base: path, inputs } = await prepareMeta(bench, model, parts);
    const raw = { path, files: inputs.filter((file) => file.startsWith(path)) };
    return { name: `open-instruct, Meta's base in ${parts}`, raw, diff: openInstruct, args: scheme("open-instruct") };
  };
  return [
    { name: "open-instruct: F16 + F32", raw: base, diff: openInstruct, args: scheme("open-instruct") },
    { name: "gisting: F16 + F32, new rows", raw: base, diff: openInstruct, args: scheme("gisting") },
    { name: "fastchat: F16 + F16 in F16", raw: base, diff: f16, args: scheme("fastchat") },
    { name: "llava: the same, overlap", raw: base, diff: await side("diff-F16-more", "F16", 3), args: scheme("llava") },
    { name: "lmflow: F16 + BF16 in BF16", raw: base, diff: await side("diff-BF16", "BF16"), args: scheme("lmflow") },
    await meta(1),
    await meta(2),
    await meta(8),
    {
      name: "koala: EasyLM's files",
      raw: await easylm(bench, "base", fillWith(0.02, 1)),
      diff: await easylm(bench, "diff", fillWith(0.0005, 2)),
      args: scheme("koala"),
    },
    { name: "oa-xor: F16 files", raw: base, diff: await xorPayload(bench, base, f16), args: scheme("oa-xor") },
  ];
}

/** EasyLM's file of the model. */
async function easylm(bench: Bench, name: string, fill: Fill): Promise<Side> {
  const path = join(bench.dir, `${NAME}-easylm-${name}`);
  if ((await stat(path).catch(() => null)) === null) {
    await writeEasylm(`${path}.partial`, easylmTensors(), fill);
    await rename(`${path}.partial`, path);
  }
  return { path, files: [path] };
}

/** flax's names, matrices by input and output. */
function easylmTensors(): readonly BinTensor[] {
  const { hidden, intermediate, layers, vocab } = LAYOUTS[NAME];
  const tensor = (name: string, ...shape: number[]): BinTensor => ({ name, dtype: "F16", shape });
  const layer = (index: number): readonly BinTensor[] => {
    const kernel = (name: string, ...shape: number[]): BinTensor =>
      tensor(`params.transformer.h.${index}.${name}.kernel`, ...shape);
    return [
      ...["wq", "wk", "wv", "wo"].map((name) => kernel(`attention.${name}`, hidden, hidden)),
      kernel("feed_forward.w1", hidden, intermediate),
      kernel("feed_forward.w2", intermediate, hidden),
      kernel("feed_forward.w3", hidden, intermediate),
      kernel("attention_norm", hidden),
      kernel("ffn_norm", hidden),
    ];
  };
  return [
    tensor("params.transformer.wte.embedding", vocab, hidden),
    ...Array.from({ length: layers }, (_, index) => layer(index)).flat(),
    tensor("params.transformer.ln_f.kernel", hidden),
    tensor("params.lm_head.kernel", hidden, vocab),
  ];
}

/** A directory with one weight file: that of `tuned` XOR that of `base`, which has the same layout. */
async function xorPayload(bench: Bench, base: Side, tuned: Side): Promise<Side> {
  const path = join(bench.dir, `${NAME}-xor`);
  const [one = "", other = ""] = [base.files[0], tuned.files[0]];
  const file = join(path, "pytorch_model.bin");
  if ((await stat(path).catch(() => null)) === null) {
    const partial = `${path}.partial`;
    await rm(partial, { recursive: true, force: true });
    await mkdir(partial, { recursive: true });
    const [left, right, out] = await Promise.all([
      open(one),
      open(other),
      open(join(partial, "pytorch_model.bin"), "w"),
    ]);
    try {
      for (let at = 0; ; ) {
        const [a, b] = [new Uint8Array(PIECE), new Uint8Array(PIECE)];
        const { bytesRead } = await left.read(a, 0, PIECE, at);
        await right.read(b, 0, PIECE, at);
        if (bytesRead === 0) {
          break;
        }
        xorInto(a, b);
        await out.write(a, 0, bytesRead);
        at += bytesRead;
      }
    } finally {
      await Promise.all([left.close(), right.close(), out.close()]);
    }
    await rename(partial, path);
  }
  return { path, files: [file] };
}

async function sizeOf(files: readonly string[]): Promise<number> {
  const sizes = await Promise.all(files.map(async (file) => (await stat(file)).size));
  return sizes.reduce((sum, size) => sum + size, 0);
}
