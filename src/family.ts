/** Names of the published models by their sizes (ARTIFACTS 2): what a user calls "LLaMA 7B". */
import type { ModelConfig } from "./checkpoint/config.js";
import type { ModelShape } from "./model-shape.js";

interface Row {
  readonly family: "llama" | "gpt_neox";
  readonly hiddenSize: number;
  readonly layers: number;
  readonly intermediateSize: number;
  readonly name: string;
  /** Its Llama 2 sibling of the same shape. */
  readonly second?: string;
  /** rms_norm_eps of the first generation. */
  readonly normEps?: number;
}

const FAMILIES: readonly Row[] = [
  llama(4096, 32, 11008, "7B", 1e-6, "7B"),
  llama(5120, 40, 13824, "13B", 1e-6, "13B"),
  llama(6656, 60, 17920, "30B", 1e-6),
  llama(8192, 80, 22016, "65B", 1e-5),
  { family: "llama", hiddenSize: 8192, layers: 80, intermediateSize: 28672, name: "Llama 2 70B" },
  ...(
    [
      [512, 6, "70M"],
      [768, 12, "160M"],
      [1024, 24, "410M"],
      [2048, 16, "1B"],
      [2048, 24, "1.4B"],
      [2560, 32, "2.8B"],
      [4096, 32, "6.9B"],
      [5120, 36, "12B"],
      [6144, 44, "GPT-NeoX 20B"],
    ] as const
  ).map(
    ([hiddenSize, layers, name]): Row => ({
      family: "gpt_neox",
      hiddenSize,
      layers,
      intermediateSize: 4 * hiddenSize,
      name: name.startsWith("GPT") ? name : `Pythia ${name}`,
    }),
  ),
];

function llama(
  hiddenSize: number,
  layers: number,
  intermediateSize: number,
  size: string,
  normEps: number,
  second?: string,
): Row {
  const row = { family: "llama", hiddenSize, layers, intermediateSize, name: `LLaMA ${size}`, normEps } as const;
  return second === undefined ? row : { ...row, second: `Llama 2 ${second}` };
}

const GENERAL = { llama: "LLaMA architecture", gpt_neox: "GPT-NeoX architecture" } as const;
/** Of Llama 2; LLaMA has 2048. */
const SECOND_POSITIONS = 4096;

/** What the model is called, as far as shapes and config tell; null for an unknown architecture. */
export function familyName(shape: ModelShape, config: ModelConfig | null): string | null {
  if (shape.family === null) {
    return config?.modelType ?? null;
  }
  const row = FAMILIES.find(
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

/** Was the original released in float16, so that bfloat16 has lost bits (ARTIFACTS 1.4)? */
export function isHalfPrecisionOriginal(name: string | null): boolean {
  return name !== null && /^LLaMA \d+B$/.test(name);
}
