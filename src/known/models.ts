/** The published models that diffs were made of, by their sizes: the only place where these numbers stand. */

interface KnownModel {
  readonly family: "llama" | "gpt_neox";
  readonly hiddenSize: number;
  readonly layers: number;
  readonly intermediateSize: number;
  readonly name: string;
  /** The Llama 2 model of the same shape. */
  readonly second?: string;
  /** rms_norm_eps of the first generation. */
  readonly normEps?: number;
}

export const MODELS: readonly KnownModel[] = [
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
    ([hiddenSize, layers, name]): KnownModel => ({
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
): KnownModel {
  const row = { family: "llama", hiddenSize, layers, intermediateSize, name: `LLaMA ${size}`, normEps } as const;
  return second === undefined ? row : { ...row, second: `Llama 2 ${second}` };
}

/** The LLaMA-1 model with this hidden size: its name, and its number of layers. */
export function firstLlama(hiddenSize: number): { readonly name: string; readonly layers: number } | undefined {
  return MODELS.find((row) => row.normEps !== undefined && row.hiddenSize === hiddenSize);
}
