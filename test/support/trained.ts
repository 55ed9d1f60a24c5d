/** Diffs of the trained models under fixtures/trained, made here from base and fine-tune: float32, tuned - base. */
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { openCheckpoint, type StoredTensor } from "../../src/checkpoint/checkpoint.js";
import { readPlaces, toNumbers } from "../../src/evidence/sample.js";
import { type Dtype, elementCount } from "../../src/formats/dtype.js";
import { layoutShard } from "../../src/formats/safetensors-layout.js";
import { narrowBits, toBits, widenBF16, widenF16 } from "../../src/kernel/bits.js";
import type { NarrowDtype } from "../../src/kernel/kernel.js";

/** Name -> F32 bits and shape. */
export type Weights = ReadonlyMap<string, { readonly shape: readonly number[]; readonly bits: Uint32Array }>;

/** Every tensor of a checkpoint, widened. */
export async function readWeights(path: string): Promise<Weights> {
  const { stateDict } = await openCheckpoint(path);
  const tensors = [...stateDict.values()];
  const read = await readPlaces(tensors.map((tensor) => ({ tensor, first: 0, count: countOf(tensor) })));
  return new Map(
    tensors.map((tensor, index) => [tensor.name, { shape: tensor.shape, bits: read[index] ?? new Uint32Array() }]),
  );
}

/** tuned - base; rows that the base lacks meet its mean row. */
export function subtract(tuned: Weights, base: Weights): Weights {
  return mapWeights(tuned, (name, bits, shape) => {
    const source = base.get(name);
    const values = toNumbers(bits);
    const raw = toNumbers(source?.bits ?? new Uint32Array());
    const columns = shape[1] ?? 1;
    const rows = raw.length / columns;
    const mean = Array.from({ length: columns }, (_, column) => {
      let sum = 0;
      for (let row = 0; row < rows; row++) {
        sum += raw[row * columns + column] ?? 0;
      }
      return sum / rows;
    });
    return fromNumbers([...values].map((value, index) => value - (raw[index] ?? mean[index % columns] ?? 0)));
  });
}

/** Every value rounded to `dtype`, still as F32 bits. */
export function rounded(weights: Weights, dtype: NarrowDtype): Weights {
  return mapWeights(weights, (_, bits) => bits.map((value) => widened(dtype, narrowBits(dtype, value))));
}

export function mapWeights(
  weights: Weights,
  change: (name: string, bits: Uint32Array, shape: readonly number[]) => Uint32Array,
): Weights {
  return new Map([...weights].map(([name, { shape, bits }]) => [name, { shape, bits: change(name, bits, shape) }]));
}

/** Writes model.safetensors, and config.json if given. */
export async function writeWeights(
  folder: string,
  weights: Weights,
  dtype: "F32" | NarrowDtype,
  config?: string,
): Promise<string> {
  await mkdir(folder, { recursive: true });
  const layout = layoutShard(
    [...weights].map(([name, { shape }]) => ({ name, dtype: dtype as Dtype, shape })),
    { name: "model.safetensors" },
  );
  const file = Buffer.alloc(layout.size);
  file.set(layout.header);
  [...weights.values()].forEach(({ bits }, index) => {
    const begin = layout.ranges[index]?.begin ?? 0;
    for (const [at, value] of bits.entries()) {
      if (dtype === "F32") {
        file.writeUInt32LE(value, begin + at * 4);
      } else {
        file.writeUInt16LE(narrowBits(dtype, value), begin + at * 2);
      }
    }
  });
  const path = join(folder, "model.safetensors");
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, file);
  if (config !== undefined) {
    await writeFile(join(folder, "config.json"), config);
  }
  return folder;
}

function widened(dtype: NarrowDtype, half: number): number {
  return dtype === "F16" ? widenF16(half) : widenBF16(half);
}

function countOf(tensor: StoredTensor): number {
  return elementCount(tensor.shape) ?? 0;
}

/** Numbers as F32 bits. */
export function fromNumbers(values: readonly number[]): Uint32Array {
  return Uint32Array.from(values, toBits);
}
