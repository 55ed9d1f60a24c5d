/** The cells of the heat map: the tensors of one layer and module. */
import type { PageFigure } from "./data.js";
import { figureOf, tensors } from "./figures.js";

export interface Cell {
  readonly layer: number;
  readonly module: number;
  readonly tensors: readonly number[];
}

/** Tensors by layer and module. The experts of a layer share one cell. */
export const cells = new Map<string, { layer: number; module: number; tensors: number[] }>();
tensors.layer.forEach((layer, tensor) => {
  const module = tensors.module[tensor] ?? -1;
  if (layer >= 0 && module >= 0) {
    const key = `${layer} ${module}`;
    const cell = cells.get(key) ?? { layer, module, tensors: [] };
    cell.tensors.push(tensor);
    cells.set(key, cell);
  }
});

/** The largest of several tensors; of cosines the least, which is the farthest. NaN if one of them has it. */
export function farthest(cell: Cell, key: PageFigure): number | null {
  const values = cell.tensors.flatMap((tensor) => figureOf(tensor, key) ?? []);
  const extreme = key === "cosine" ? Math.min : Math.max;
  return values.length === 0 ? null : values.reduce((a, b) => extreme(a, b));
}
