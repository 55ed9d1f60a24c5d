/** safetensors, in files with the names that transformers uses. */
import { layoutShard } from "../../formats/safetensors-layout.js";
import { writeWeightIndex } from "../../formats/weight-index.js";
import type { Container } from "./container.js";

export const SAFETENSORS: Container = {
  fileName(index, count) {
    const number = (n: number): string => String(n).padStart(5, "0");
    return count === 1 ? "model.safetensors" : `model-${number(index + 1)}-of-${number(count)}.safetensors`;
  },
  layOut: layoutShard,
  index: (weightMap, totalSize) => ({
    file: "model.safetensors.index.json",
    text: writeWeightIndex(weightMap, totalSize),
  }),
};
