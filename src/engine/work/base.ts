/** Turns the base's part of a block into units of the tuned dtype, for coded windows. Elements that the base lacks become +0. */
import type { Dtype, FloatDtype } from "../../formats/dtype.js";
import type { Kernel } from "../../kernel/kernel.js";
import type { MemoryPlan } from "../io/memory.js";
import { widthOf } from "../job/operand.js";
import type { Part } from "./stage.js";

/** Writes `items` elements of the dtype `tuned` to `target`. Converts through F32 if the dtypes differ (docs/arithmetic.md 1, 3). @param part null if there is no base. */
export function bringBase(
  kernel: Kernel,
  areas: MemoryPlan,
  from: { readonly dtype: Dtype; readonly part: Part } | null,
  to: { readonly dtype: Dtype; readonly items: number; readonly target: number },
): void {
  const memory = new Uint8Array(kernel.memory);
  const { dtype, items, target } = to;
  const width = widthOf(dtype);
  const stored = from?.part.stored ?? 0;
  if (from !== null && from.dtype === dtype) {
    memory.copyWithin(target, from.part.at, from.part.at + stored * width);
  } else if (from !== null && (dtype === "F16" || dtype === "BF16")) {
    kernel.widen(from.dtype as FloatDtype, from.part.at, areas.rawBlock, stored);
    kernel.narrow(dtype, areas.rawBlock, target, stored);
  } else if (from !== null) {
    kernel.widen(from.dtype as FloatDtype, from.part.at, target, stored);
  }
  memory.fill(0, target + stored * width, target + items * width);
}
