/**
 * Part 10: one recover of every kind of arithmetic and of base, set against open-instruct's by what a byte costs, read or written.
 * Same tensors everywhere; dtypes and layouts as the families publish theirs.
 */
import { mkdir, open, readdir, rename, rm, stat, symlink } from "node:fs/promises";
import { join } from "node:path";
import { xorInto } from "../../src/kernel/xor.js";
import { type Bench, clearOutput, outputOf, weightDiff } from "./bench.js";
import { writeEasylm } from "./easylm.js";
import { interleave, median, type Rival, run, warm } from "./measure.js";
import { prepareMeta } from "./meta.js";
import { fillWith, LAYOUTS, prepareModel, prepareSide, type Side } from "./model.js";
import { megabytes, percent, seconds, table } from "./table.js";
import type { BinTensor, Fill } from "./torch-bin.js";

type Size = "0.53G" | "1.07G";

const NAME: Size = "0.53G";
const PIECE = 1 << 23;
/** Ten rivals: more would take minutes. */
const MOST_ROUNDS = 3;

export interface Family {
  readonly name: string;
  readonly raw: Side;
  readonly diff: Side;
  readonly args: readonly string[];
}

export async function perByte(bench: Bench): Promise<void> {
  const families: Family[] = [];
  for (const prepare of Object.values(FAMILIES)) {
    families.push(await prepare(bench, NAME));
  }
  const bytes = new Map<string, number>();
  const rivals = families.map((family) => familyRival(bench, family, bytes));
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

/** @param bytes gets what the family's recover reads and writes, by its name. */
export function familyRival(bench: Bench, { name, raw, diff, args }: Family, bytes: Map<string, number>): Rival {
  return {
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
  };
}

/** Each kind, prepared when it is wanted: a gigabyte or four of files. */
export const FAMILIES = {
  "open-instruct": async (bench, size) => {
    const { base, diff } = await modelSides(bench, size);
    return { name: "open-instruct: F16 + F32", raw: base, diff, args: scheme("open-instruct") };
  },
  gisting: async (bench, size) => {
    const { base, diff } = await modelSides(bench, size);
    return { name: "gisting: F16 + F32, new rows", raw: base, diff, args: scheme("gisting") };
  },
  fastchat: (bench, size) => narrow(bench, size, "fastchat: F16 + F16 in F16", "fastchat", "F16"),
  llava: (bench, size) => narrow(bench, size, "llava: the same, overlap", "llava", "F16", 3),
  lmflow: (bench, size) => narrow(bench, size, "lmflow: F16 + BF16 in BF16", "lmflow", "BF16"),
  "meta-1": (bench) => meta(bench, 1),
  "meta-2": (bench) => meta(bench, 2),
  "meta-8": (bench) => meta(bench, 8),
  koala: async (bench, size) => ({
    name: "koala: EasyLM's files",
    raw: await easylm(bench, size, "base", fillWith(0.02, 1)),
    diff: await easylm(bench, size, "diff", fillWith(0.0005, 2)),
    args: scheme("koala"),
  }),
  "oa-xor": async (bench, size) => {
    const { base } = await modelSides(bench, size);
    const tuned = await narrowDiff(bench, size, "F16", 0);
    return {
      name: "oa-xor: one F16 file",
      raw: base,
      diff: await xorPayload(bench, size, base, tuned),
      args: scheme("oa-xor"),
    };
  },
  "oa-xor-2": async (bench, size) => {
    const { base } = await modelSides(bench, size);
    const tuned = await narrowDiff(bench, size, "F16", 0);
    return twice(bench, size, base, await xorPayload(bench, size, base, tuned));
  },
} as const satisfies Record<string, (bench: Bench, size: Size) => Promise<Family>>;

const scheme = (name: string): readonly string[] => ["--scheme", name];

async function modelSides(bench: Bench, size: Size): Promise<{ readonly base: Side; readonly diff: Side }> {
  const { base, diff, inputs, diffFiles } = await prepareModel(bench.dir, size);
  return {
    base: { path: base, files: inputs.filter((file) => file.startsWith(base)) },
    diff: { path: diff, files: diffFiles },
  };
}

function narrowDiff(bench: Bench, size: Size, dtype: "F16" | "BF16", moreRows: number): Promise<Side> {
  const path = join(bench.dir, `${size}-diff-${dtype}${moreRows > 0 ? "-more" : ""}`);
  return prepareSide(path, size, dtype, { moreRows, fill: fillWith(0.0005, 2) });
}

async function narrow(
  bench: Bench,
  size: Size,
  name: string,
  family: string,
  dtype: "F16" | "BF16",
  moreRows = 0,
): Promise<Family> {
  const { base } = await modelSides(bench, size);
  return { name, raw: base, diff: await narrowDiff(bench, size, dtype, moreRows), args: scheme(family) };
}

async function meta(bench: Bench, parts: number): Promise<Family> {
  const model = await prepareModel(bench.dir, NAME);
  const { base: path, inputs } = await prepareMeta(bench, model, parts);
  const raw = { path, files: inputs.filter((file) => file.startsWith(path)) };
  const diff: Side = { path: model.diff, files: model.diffFiles };
  return { name: `open-instruct, Meta's base in ${parts}`, raw, diff, args: scheme("open-instruct") };
}

/** Two files of the same size, each with its key: links to the one, so that they take no disk. */
async function twice(bench: Bench, size: Size, base: Side, payload: Side): Promise<Family> {
  const linked = async (side: Side, name: string): Promise<Side> => {
    const path = join(bench.dir, `${size}-xor-2-${name}`);
    await mkdir(path, { recursive: true });
    const files = [1, 2].map((part) => join(path, `pytorch_model-0000${part}-of-00002.bin`));
    for (const file of files) {
      await symlink(side.files[0] ?? "", file).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== "EEXIST") {
          throw error;
        }
      });
    }
    return { path, files };
  };
  const [raw, diff] = [await linked(base, "base"), await linked(payload, "payload")];
  return { name: "oa-xor: two F16 files", raw, diff, args: scheme("oa-xor") };
}

/** EasyLM's file of the model. */
async function easylm(bench: Bench, size: Size, name: string, fill: Fill): Promise<Side> {
  const path = join(bench.dir, `${size}-easylm-${name}`);
  if ((await stat(path).catch(() => null)) === null) {
    await writeEasylm(`${path}.partial`, easylmTensors(size), fill);
    await rename(`${path}.partial`, path);
  }
  return { path, files: [path] };
}

/** flax's names, matrices by input and output. */
function easylmTensors(size: Size): readonly BinTensor[] {
  const { hidden, intermediate, layers, vocab } = LAYOUTS[size];
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
async function xorPayload(bench: Bench, size: Size, base: Side, tuned: Side): Promise<Side> {
  const path = join(bench.dir, `${size}-xor`);
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
