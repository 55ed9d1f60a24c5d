/** The tiny models of fixtures/inference: made from the rule of its make.py, with what transformers computes for them. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { openCheckpoint } from "../../src/checkpoint/checkpoint.js";
import { type OpenModelOptions, openLanguageModel } from "../../src/inference/forward.js";
import type { LanguageModel } from "../../src/inference/model.js";
import { narrowBits, toBits } from "../../src/kernel/bits.js";
import type { NarrowDtype } from "../../src/kernel/kernel.js";
import { safetensors, type TensorSpec, writeFiles } from "./checkpoints.js";
import { FIXTURES } from "./fixtures.js";
import { hashed, sha256 } from "./kernels.js";

export const MODELS = [
  "llama1-mha",
  "llama2-gqa",
  "llama3-tied",
  "llama-bias-linear",
  "mistral-window",
  "qwen2-bias",
  "qwen3-norm",
  "neox-parallel",
] as const;

/** What transformers 5.23 computes in float32, eager. Lists of the prompt's positions: [24]. */
export interface Vector {
  readonly config: Readonly<Record<string, unknown>>;
  readonly seed: number;
  readonly dtype: "F32" | NarrowDtype;
  /** sha256 of the stored bytes. */
  readonly tensors: readonly (readonly [name: string, shape: readonly number[], sha256: string])[];
  readonly inv_freq: readonly number[];
  readonly prompt: readonly number[];
  readonly argmax: readonly number[];
  /** The largest logit, and the one below it. */
  readonly top: readonly number[];
  readonly second: readonly number[];
  /** Of each id but the first. */
  readonly nll: readonly number[];
  readonly loss: number;
  /** [vocabulary], after the whole prompt and after its first id. */
  readonly logits_last: readonly number[];
  readonly logits_first: readonly number[];
  /** The 64 ids that follow. */
  readonly greedy: readonly number[];
}

export function readVector(name: (typeof MODELS)[number]): Vector {
  return readFixture(join("models", `${name}.json`)) as Vector;
}

/** What transformers makes of a config.json. */
export interface ConfigExpected {
  /** Of layer 0, and of what lies outside the layers. */
  readonly shapes: Readonly<Record<string, readonly number[]>>;
  readonly layers: number;
  readonly heads: number;
  readonly key_heads: number;
  readonly head_size: number;
  readonly eps: number;
  /** Of each layer. */
  readonly windows: readonly (number | null)[];
  readonly positions: number;
  readonly parallel: boolean;
  /** How many, one in the middle, and the last. */
  readonly inv_freq: readonly [count: number, middle: number, last: number];
}

/** A config with some keys left out, and others set; a shape that is not told is that of the whole config. */
export type ConfigCase = {
  readonly without: readonly string[];
  readonly with: Readonly<Record<string, unknown>>;
} & ((Omit<ConfigExpected, "shapes"> & Partial<Pick<ConfigExpected, "shapes">>) | { readonly refused: string });

/** By family. */
export function readConfigs() {
  return readFixture("configs.json") as Readonly<
    Record<
      string,
      {
        readonly config: Readonly<Record<string, unknown>>;
        readonly expected: ConfigExpected;
        readonly cases: readonly ConfigCase[];
      }
    >
  >;
}

/** A file of fixtures/inference. */
export function readFixture(file: string): unknown {
  return JSON.parse(readFileSync(join(FIXTURES, "inference", file), "utf8"));
}

/** Every tensor of the model, held against its sha256. */
export function tensorsOf({ tensors, seed, dtype }: Vector): readonly TensorSpec[] {
  return tensors.map(([name, shape, digest]) => {
    const data = madeUp(name, shape, seed, dtype);
    assert.equal(sha256(new Uint8Array(data.buffer)), digest, name);
    return [name, dtype, shape, data];
  });
}

/** Writes config.json and model.safetensors. */
export function writeModel(
  folder: string,
  config: Readonly<Record<string, unknown>>,
  tensors: readonly TensorSpec[],
): Promise<string> {
  return writeFiles(folder, {
    "config.json": JSON.stringify(config),
    "model.safetensors": safetensors(...tensors),
  });
}

/** The rule of make.py's `values`. */
export function madeUp(
  name: string,
  shape: readonly number[],
  seed: number,
  dtype: "F32" | NarrowDtype,
): Uint32Array<ArrayBuffer> | Uint16Array<ArrayBuffer> {
  const count = shape.reduce((product, size) => product * size, 1);
  const isNorm = name.includes("norm") && name.endsWith("weight");
  const scale = scaleOf(name, isNorm);
  const bits = hashed(fnv1a(name) ^ seed, count).map((h) =>
    toBits((isNorm ? 1 : 0) + (((h >>> 8) - 8388608) / 8388608) * scale),
  ) as Uint32Array<ArrayBuffer>;
  return dtype === "F32" ? bits : Uint16Array.from(bits, (value) => narrowBits(dtype, value));
}

function scaleOf(name: string, isNorm: boolean): number {
  if (isNorm) {
    return 1 / 4;
  }
  if (/^(lm_head|embed_out)/.test(name)) {
    return 1 / 2;
  }
  return name.includes("embed") ? 1 : /down|4h_to_h/.test(name) ? 1 / 8 : 1 / 4;
}

function fnv1a(text: string): number {
  return Buffer.from(text).reduce((h, byte) => Math.imul(h ^ byte, 0x01000193), 0x811c9dc5 | 0);
}

/** Opens the model of a folder for `body`, and closes it however that ends. */
export async function withModel<T>(
  path: string,
  options: OpenModelOptions,
  body: (model: LanguageModel) => Promise<T>,
): Promise<T> {
  const model = await openLanguageModel(await openCheckpoint(path), options);
  try {
    return await body(model);
  } finally {
    await model.close();
  }
}

/** A text of its own for each time. */
let asked = 0;

/** The ids that follow, each the likeliest: one pass for the prompt, and one for each id but the last. */
export async function greedy(model: LanguageModel, prompt: readonly number[], count: number): Promise<number[]> {
  const found: number[] = [];
  let ids = prompt;
  const key = `greedy ${asked++}`;
  while (found.length < count) {
    const [said] = await model.pass([{ key, ids, wanted: "last" }]);
    const id = argmax(said?.last ?? new Float32Array());
    found.push(id);
    ids = [id];
  }
  return found;
}

/** The first of the largest, as torch has it. */
export function argmax(values: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) {
    best = (values[i] ?? 0) > (values[best] ?? 0) ? i : best;
  }
  return best;
}

/** No value may lie further from what is expected than this. */
export function near(
  found: ArrayLike<number> | null | undefined,
  expected: ArrayLike<number>,
  most: number,
  what: string,
): void {
  assert.equal(found?.length, expected.length, what);
  for (let i = 0; i < expected.length; i++) {
    const off = Math.abs((found?.[i] ?? Number.NaN) - (expected[i] ?? Number.NaN));
    assert.ok(off <= most, `${what}: ${found?.[i]} at ${i}, expected ${expected[i]} within ${most}`);
  }
}

/** The loss of a text: the mean of its nats. */
export function meanOf(losses: ArrayLike<number> | null | undefined): number {
  const values = Array.from(losses ?? []);
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
