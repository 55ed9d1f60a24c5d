/** Checkpoints for tests: small ones on the disk, and imagined ones for what reads no bytes. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Checkpoint, StoredTensor } from "../../src/checkpoint/checkpoint.js";
import { plainModel } from "../../src/checkpoint/layouts/registry.js";
import type { Shard } from "../../src/checkpoint/shard.js";
import { type Dtype, tensorBytes } from "../../src/formats/dtype.js";
import { layoutShard } from "../../src/formats/safetensors-layout.js";
import type { Shape, StoredRecord } from "../../src/formats/tensor-info.js";

/** A tensor to be written; without data it is zeros. */
export type TensorSpec = readonly [name: string, dtype: Dtype, shape: Shape, data?: ArrayBufferView];

/** Runs `body` with a new folder, which is removed afterwards. */
export async function withFolder<T>(body: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), "weight-diff-"));
  try {
    return await body(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** Writes files, and the folders above them. */
export async function writeFiles(
  folder: string,
  files: Readonly<Record<string, string | Uint8Array>>,
): Promise<string> {
  await mkdir(folder, { recursive: true });
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), content);
  }
  return folder;
}

/** A whole safetensors file. */
export function safetensors(...tensors: readonly TensorSpec[]): Uint8Array {
  return safetensorsWith({ format: "pt" }, ...tensors);
}

/** With another `__metadata__`. */
export function safetensorsWith(
  metadata: Readonly<Record<string, string>>,
  ...tensors: readonly TensorSpec[]
): Uint8Array {
  const layout = layoutShard(
    tensors.map(([name, dtype, shape]) => ({ name, dtype, shape })),
    { name: "test", metadata: new Map(Object.entries(metadata)) },
  );
  const bytes = new Uint8Array(layout.size);
  bytes.set(layout.header);
  tensors.forEach(([, , , data], index) => {
    if (data !== undefined) {
      bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), layout.ranges[index]?.begin);
    }
  });
  return bytes;
}

/** An index that says which tensor is in which file. */
export function indexText(weightMap: Readonly<Record<string, string>>): string {
  return JSON.stringify({ metadata: { total_size: 0 }, weight_map: weightMap });
}

export interface ImaginedTensor {
  readonly name: string;
  readonly dtype?: Dtype;
  readonly shape: Shape;
  /** Place of its shard. */
  readonly shard?: number;
  /** Overrides, for views and records. */
  readonly more?: Partial<Pick<StoredTensor, "range" | "strides" | "record">>;
}

/** A checkpoint that exists in memory only, its tensors one after the other in each shard. */
export function imagine(
  path: string,
  tensors: readonly ImaginedTensor[],
  about: Partial<Pick<Checkpoint, "repo" | "directory" | "notes">> = {},
): Checkpoint {
  const count = 1 + Math.max(0, ...tensors.map(({ shard = 0 }) => shard));
  const stored: StoredTensor[] = [];
  const shards = Array.from({ length: count }, (_, place): Shard => {
    const file = `pytorch_model-${place + 1}.bin`;
    const infos: StoredTensor[] = [];
    const shard: Shard = {
      file,
      path: join("/imagined", path, file),
      size: 1e9,
      modified: "0",
      header: { format: "torch-zip", tensors: infos, metadata: new Map(), digest: String(place).repeat(64) },
    };
    let at = 0;
    for (const { name, dtype = "F32", shape, more } of tensors.filter((tensor) => (tensor.shard ?? 0) === place)) {
      const range = { begin: at, end: at + (tensorBytes(dtype, shape) ?? 0) };
      at = range.end;
      infos.push({ name, path: [name], dtype, shape, range, shard, ...more });
    }
    stored.push(...infos);
    return shard;
  });
  const { repo = null, directory = join("/imagined", path), notes = [] } = about;
  return {
    ...plainModel(path),
    path,
    directory,
    repo,
    commit: null,
    shards,
    stateDict: new Map(stored.map((tensor) => [tensor.name, tensor])),
    notes,
  };
}

/** A zip record that holds `range` and states a checksum. */
export function recordAt(begin: number, end: number, crc32: number | null = 1): StoredRecord {
  return { name: `archive/data/${begin}`, range: { begin, end }, crc32 };
}
