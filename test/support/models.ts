/** Pairs of base and diff on the disk, random and of any size, and the look of an output directory. */
import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { indexText, safetensors, type TensorSpec } from "./checkpoints.js";
import { hashed } from "./kernels.js";

export interface Matrix {
  readonly name: string;
  readonly rows: number;
  readonly columns: number;
  /** Rows that only the diff has. */
  readonly newRows?: number;
}

export interface Pair {
  readonly raw: string;
  readonly diff: string;
}

/** Writes base (F16) and diff (F32), each in two files with an index, and a few side files. Values lie within (-2, 2). */
export async function writePair(folder: string, matrices: readonly Matrix[]): Promise<Pair> {
  const raw = join(folder, "base");
  const diff = join(folder, "diff");
  await writeModel(
    raw,
    matrices.map(({ name, rows, columns }, k) => [name, "F16", [rows, columns], halves(k, rows * columns)]),
  );
  await writeModel(
    diff,
    matrices.map(({ name, rows, columns, newRows = 0 }, k) => {
      const bits = hashed(1000 + k, (rows + newRows) * columns).map((value) => value & 0xbfffffff);
      return [name, "F32", [rows + newRows, columns], bits];
    }),
  );
  await writeFile(join(diff, "config.json"), '{"model_type": "llama", "torch_dtype": "float16", "vocab_size": 1}\n');
  await writeFile(join(diff, "tokenizer.json"), '{"version": "1.0"}\n');
  await writeFile(join(diff, "LICENSE.txt"), "made up\n");
  return { raw, diff };
}

/** A model of some 9 million values: 90 MB of traffic, which is enough for threads and for direct I/O. */
export function midSize(): readonly Matrix[] {
  const layers = Array.from({ length: 36 }, (_, k) => ({
    name: `model.layers.${k}.mlp.up_proj.weight`,
    rows: 400 + (k % 3),
    columns: k % 4 === 0 ? 512 : 571,
  }));
  return [{ name: "model.embed_tokens.weight", rows: 1001, columns: 512, newRows: 1 }, ...layers];
}

async function writeModel(folder: string, tensors: readonly TensorSpec[]): Promise<void> {
  await mkdir(folder, { recursive: true });
  const half = Math.ceil(tensors.length / 2);
  const files = {
    "model-00001-of-00002.safetensors": tensors.slice(0, half),
    "model-00002-of-00002.safetensors": tensors.slice(half),
  };
  for (const [file, part] of Object.entries(files)) {
    await writeFile(join(folder, file), safetensors(...part));
  }
  const weightMap = Object.entries(files).flatMap(([file, part]) => part.map(([name]) => [name, file] as const));
  await writeFile(join(folder, "model.safetensors.index.json"), indexText(Object.fromEntries(weightMap)));
}

function halves(seed: number, count: number): Uint16Array {
  return Uint16Array.from(hashed(seed, count), (value) => value & 0xbfff);
}

/** Every file below `folder` with its sha256, directories too: what "byte-identical" means. */
export async function treeOf(folder: string): Promise<Readonly<Record<string, string>>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const tree: Record<string, string> = {};
  for (const entry of entries) {
    const path = join(entry.parentPath, entry.name);
    tree[path.slice(folder.length + 1)] = entry.isDirectory()
      ? "directory"
      : createHash("sha256")
          .update(await readFile(path))
          .digest("hex");
  }
  return Object.fromEntries(Object.entries(tree).sort(([a], [b]) => (a < b ? -1 : 1)));
}
