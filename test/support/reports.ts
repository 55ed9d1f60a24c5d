/** Reports made up for pages: figures by rule, names as asked. */

import { changeOf, placeOf } from "../../src/commands/report/change.js";
import type { Change, ChangeReport, TensorChange } from "../../src/commands/report/options.js";

/** A change whose figures follow from a number. */
function change(k: number): Change {
  const part = ((k * 2654435761) % 1000) / 1000;
  return {
    ...{ elements: 4096, compared: 4096, changed: Math.round(4096 * part) },
    ...{ baseNorm: 8, tunedNorm: 8 + part, differenceNorm: part / 10, relative: part / 80, largest: part / 50 },
    ...{ cosine: 1 - part / 100, steps: [4096 - Math.round(4096 * part), Math.round(4096 * part)], bits: 8 * part },
  };
}

/** @param names as of a model: "model.layers.3.mlp.down_proj.weight". */
export function madeReport(names: readonly string[]): ChangeReport {
  const tensors = names.map(
    (name, k): TensorChange => ({
      ...{ name, ...placeOf(name), shape: [64, 64], dtype: "BF16", baseDtype: "BF16", newRows: 0 },
      ...change(k + 1),
    }),
  );
  const counted = <K>(of: (tensor: TensorChange) => K | null): ReadonlyMap<K, number> => {
    const counts = new Map<K, number>();
    for (const tensor of tensors) {
      const key = of(tensor);
      if (key !== null) {
        counts.set(key, (counts.get(key) ?? 0) + 1);
      }
    }
    return counts;
  };
  return {
    ...{ base: "base", path: "tuned", scheme: null, total: { ...changeOf([]), ...change(3) }, tensors },
    modules: [...counted(({ layer, module }) => (layer === null ? null : module))].map(([module, count], k) => ({
      module,
      tensors: count,
      ...change(k),
    })),
    layers: [...counted(({ layer }) => layer)].map(([layer, count]) => ({ layer, tensors: count, ...change(layer) })),
    embeddings: [],
    ...{ bytesRead: 0, seconds: 0, peakBytes: 0, threads: 0 },
  };
}

/** The tensors of a mixture of experts: `layers` x `experts` x 3, and what is beside them. */
export function expertNames(layers: number, experts: number): readonly string[] {
  return Array.from({ length: layers }, (_, layer) => [
    `model.layers.${layer}.self_attn.q_proj.weight`,
    `model.layers.${layer}.mlp.gate.weight`,
    ...Array.from({ length: experts }, (_, expert) =>
      ["gate_proj", "up_proj", "down_proj"].map((part) => `model.layers.${layer}.mlp.experts.${expert}.${part}.weight`),
    ).flat(),
  ]).flat();
}
