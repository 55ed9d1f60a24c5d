/**
 * Chains to be timed, in slime's layout with xor: a base with steps that change the low bits of 1 % of its elements, as RL's do in bfloat16; and
 * a base of a terabyte that consists of holes, with steps of zeros.
 */
import { mkdir, open, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { writeUpdateIndex } from "../../src/chain/update-index.js";
import { loadChecksums } from "../../src/formats/checksum.js";
import { layoutShard } from "../../src/formats/safetensors-layout.js";
import { startEncoder } from "../../src/formats/zstd/encoder.js";
import { run } from "./measure.js";

export interface ChainFiles {
  readonly base: string;
  readonly chain: string;
}

export const STEPS = 64;
export const CHANGED = 0.01;
const TENSORS = 24;
/** As a model's matrices have: rows of whole pages, so that a tensor is written past the page cache. */
const COLUMNS = 4096;
const SHARD = "model-00000-of-00001.safetensors";

const number = (value: number): string => String(value).padStart(6, "0");
const exists = async (path: string): Promise<boolean> =>
  (await run(["test", "-e", path], { mayFail: true })).code === 0;

/** bfloat16 in 24 tensors. A step's index, which comes last, says that the step is whole. */
export async function prepareChain(dir: string, parameters: number): Promise<ChainFiles> {
  const rows = Math.ceil(parameters / TENSORS / COLUMNS);
  const root = join(dir, `chain-${TENSORS}x${rows}x${COLUMNS}`);
  const [base, chain] = [join(root, "base"), join(root, "steps")];
  if (await exists(indexOf(chain, STEPS))) {
    return { base, chain };
  }
  await rm(root, { recursive: true, force: true });
  await mkdir(base, { recursive: true });
  const elements = rows * COLUMNS;
  const names = Array.from({ length: TENSORS }, (_, k) => `model.layers.${k}.mlp.up_proj.weight`);
  const random = uniform(1);
  const state = names.map(() => Uint16Array.from({ length: elements }, () => 0x3c00 ^ (random() & 0x83ff)));
  const tensors = names.map((name) => ({ name, dtype: "BF16" as const, shape: [rows, COLUMNS] }));
  const { header } = layoutShard(tensors, { name: "base", paged: false });
  await writeFile(join(base, "model.safetensors"), [header, ...state.map(({ buffer }) => Buffer.from(buffer))]);
  const create = await loadChecksums(["xxh3-128"]);
  for (let step = 1; step <= STEPS; step++) {
    const payloads = state.map((units, k) => {
      const frame = frameOf(changes(units, random));
      const sum = create("xxh3-128");
      sum.update(new Uint8Array(units.buffer));
      return { name: names[k] ?? "", length: frame.length, frame, checksum: sum.digest() };
    });
    await writeStep(chain, step, payloads);
  }
  return { base, chain };
}

/** Changes 1 % of the elements, and returns the XOR. */
function changes(units: Uint16Array, random: () => number): Uint8Array {
  const delta = new Uint16Array(units.length);
  for (let at = -1; ; ) {
    at += 1 + Math.floor(Math.log((random() + 1) / 2 ** 32) / Math.log(1 - CHANGED));
    if (at >= units.length) {
      return new Uint8Array(delta.buffer);
    }
    delta[at] = 1 | (random() >>> 29);
    units[at] = (units[at] ?? 0) ^ (delta[at] ?? 0);
  }
}

function uniform(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x9e3779b9) | 0;
    const mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    const again = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return (again ^ (again >>> 15)) >>> 0;
  };
}

function frameOf(bytes: Uint8Array): Buffer {
  const out: Buffer[] = [];
  const put = (piece: Uint8Array): void => void out.push(Buffer.from(piece));
  const encoder = startEncoder(bytes.length);
  encoder.push(bytes, put);
  encoder.end(put);
  encoder.close();
  return Buffer.concat(out);
}

/** Without a frame a payload is a hole. */
interface PayloadFile {
  readonly name: string;
  readonly length: number;
  readonly frame: Uint8Array | null;
  readonly checksum: string;
}

async function writeStep(chain: string, step: number, payloads: readonly PayloadFile[]): Promise<void> {
  await mkdir(join(chain, `weight_v${number(step)}`), { recursive: true });
  const metadata = new Map(payloads.map(({ name, checksum }) => [name, checksum]));
  const tensors = payloads.map(({ name, length }) => ({ name, dtype: "U8" as const, shape: [length] }));
  const { header } = layoutShard(tensors, { name: "shard", metadata, paged: false });
  const file = await open(join(chain, `weight_v${number(step)}`, SHARD), "w");
  await file.write(header);
  let at = header.length;
  for (const { length, frame } of payloads) {
    if (frame !== null) {
      await file.write(frame, 0, length, at);
    }
    at += length;
  }
  await file.truncate(at);
  await file.close();
  const head = { version: number(step), baseVersion: number(step - 1), encoding: "xor", checksum: "xxh3-128" } as const;
  const map = new Map(payloads.map(({ name }) => [name, SHARD]));
  await writeFile(indexOf(chain, step), writeUpdateIndex(head, map));
}

function indexOf(chain: string, step: number): string {
  return join(chain, `weight_v${number(step)}`, "model.safetensors.index.json");
}

/** What a terabyte can be: few large matrices, or experts. */
export const HUGE = {
  "405B wide": { layers: 160, matrices: 7, rows: 16_384, columns: 28_000 },
  experts: { layers: 61, matrices: 3 * 192, rows: 2048, columns: 7168 },
} as const;

/** All holes but the headers, and the frames of the tensors by which a base is judged. */
export async function prepareHuge(dir: string, name: keyof typeof HUGE): Promise<ChainFiles> {
  const root = join(dir, `chain-${name.replace(" ", "-")}`);
  const [base, chain] = [join(root, "base"), join(root, "steps")];
  if (await exists(indexOf(chain, STEPS))) {
    return { base, chain };
  }
  await rm(root, { recursive: true, force: true });
  await mkdir(base, { recursive: true });
  const { layers, matrices, rows, columns } = HUGE[name];
  const create = await loadChecksums(["xxh3-128"]);
  const zerosOf = (bytes: number): Pick<PayloadFile, "frame" | "length" | "checksum"> => {
    const zeros = new Uint8Array(bytes);
    const sum = create("xxh3-128");
    sum.update(zeros);
    const frame = frameOf(zeros);
    return { frame, length: frame.length, checksum: sum.digest() };
  };
  const [norm, matrix] = [zerosOf(2 * columns), zerosOf(2 * rows * columns)];
  const payloads: PayloadFile[] = [];
  const weightMap: Record<string, string> = {};
  for (let layer = 0; layer < layers; layer++) {
    const kinds = Array.from({ length: matrices }, (_, k) => `mlp.experts.${k}.up_proj`);
    const tensors = ["input_layernorm", ...kinds].map((kind, k) => ({
      name: `model.layers.${layer}.${kind}.weight`,
      dtype: "BF16" as const,
      shape: k === 0 ? [columns] : [rows, columns],
    }));
    const shard = `model-${number(layer).slice(1)}-of-${number(layers).slice(1)}.safetensors`;
    const file = await open(join(base, shard), "w");
    const { header, size } = layoutShard(tensors, { name: "base" });
    await file.write(header);
    await file.truncate(size);
    await file.close();
    for (const [k, tensor] of tensors.entries()) {
      const { frame, length, checksum } = k === 0 ? norm : matrix;
      weightMap[tensor.name] = shard;
      payloads.push({ name: tensor.name, length, checksum, frame: k === 0 || layer === 0 ? frame : null });
    }
  }
  await writeFile(join(base, "model.safetensors.index.json"), JSON.stringify({ metadata: {}, weight_map: weightMap }));
  for (let step = 1; step <= STEPS; step++) {
    await writeStep(chain, step, payloads);
  }
  return { base, chain };
}
