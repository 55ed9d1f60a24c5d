/** Names of published models by their sizes, such as "LLaMA 7B". */
import type { ModelConfig } from "../checkpoint/config.js";
import { MODELS } from "../known/models.js";
import type { ModelShape } from "./model-shape.js";

const GENERAL = { llama: "LLaMA architecture", gpt_neox: "GPT-NeoX architecture" } as const;
/** The context length of Llama 2; that of LLaMA is 2048. */
const SECOND_POSITIONS = 4096;

/** The model's name by its shapes and config; null for an unknown architecture. */
export function familyName(shape: ModelShape, config: ModelConfig | null): string | null {
  if (shape.family === null) {
    return config?.modelType ?? null;
  }
  const row = MODELS.find(
    ({ family, hiddenSize, layers, intermediateSize }) =>
      family === shape.family &&
      hiddenSize === shape.hiddenSize &&
      layers === shape.layers &&
      intermediateSize === shape.intermediateSize,
  );
  if (row === undefined) {
    return GENERAL[shape.family];
  }
  if (row.second === undefined) {
    return row.name;
  }
  const { context = null, normEps = null } = config ?? {};
  if (context === null && normEps === null) {
    return `${row.name} or ${row.second}`;
  }
  return context === SECOND_POSITIONS || (normEps !== null && normEps !== row.normEps) ? row.second : row.name;
}

/** Was the original released in float16, so that bfloat16 has lost bits (docs/formats.md 2.1)? */
export function isHalfPrecisionOriginal(name: string | null): boolean {
  return name !== null && /^LLaMA \d+B$/.test(name);
}
