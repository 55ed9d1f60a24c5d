/** The vectors of a model, its norms and biases: a megabyte or two, read once and kept. */
import type { Architecture } from "./architecture.js";
import { allFinite, layerNorm, rmsNorm } from "./arithmetic.js";
import { BrokenModel } from "./model.js";
import type { Module } from "./modules.js";
import { readFloats } from "./values.js";

export interface Vectors {
  /** Norms as many elements as the norm has, from one place to another. Both may be the same. */
  norm(module: Module, source: Float32Array, from: number, target: Float32Array, to: number): void;
  /** Adds the bias, if there is one, to elements [begin, begin + count) of the module's outputs, which start at `at`. */
  addBias(module: Module, values: Float32Array, at: number, begin: number, count: number): void;
}

/** @throws {BrokenModel} if a vector is not finite. @throws {WeightDiffError} IO, NETWORK. */
export async function readVectors({ layers, last, head, eps }: Architecture): Promise<Vectors> {
  const norms = [...layers.flatMap(({ before, between, heads }) => [before, between, ...heads]), last];
  const matrices = layers.flatMap(({ attention, output, inner, down }) => [...attention, output, ...inner, down]);
  const wanted = [
    ...norms.flatMap(({ weight, bias }) => [weight, ...(bias === null ? [] : [bias])]),
    ...[...matrices, head].flatMap(({ bias }) => bias ?? []),
  ];
  const values = await readFloats(wanted.map((tensor) => ({ tensor, first: 0, count: tensor.shape[0] ?? 0 })));
  const read = new Map(
    wanted.map((tensor, index) => {
      const vector = values[index] as Float32Array;
      if (!allFinite(vector)) {
        throw new BrokenModel(tensor.name, true);
      }
      return [tensor, vector];
    }),
  );
  return {
    norm({ weight, bias }, source, from, target, to) {
      const scale = read.get(weight) as Float32Array;
      if (bias === null) {
        rmsNorm(source, from, target, to, scale, eps);
      } else {
        layerNorm(source, from, target, to, scale, read.get(bias) as Float32Array, eps);
      }
    },
    addBias({ bias }, target, at, begin, count) {
      if (bias === null) {
        return;
      }
      const added = read.get(bias) as Float32Array;
      for (let i = 0; i < count; i++) {
        target[at + i] = (target[at + i] ?? 0) + (added[begin + i] ?? 0);
      }
    },
  };
}
