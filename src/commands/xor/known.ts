/**
 * What the cards of XOR payloads state about bases and results: the hashes of weight files. A base with another hash may still be right in
 * parts. A result with another hash is not the published model.
 */
export interface KnownSet {
  readonly what: string;
  readonly algorithm: "sha256" | "md5";
  /** Bare name -> hash (hex). */
  readonly files: ReadonlyMap<string, string>;
}

interface KnownBase extends KnownSet {
  /** Approximate bytes of all files. If the total is far from it, it is another model. */
  readonly bytes: number;
}

const shards = (...hashes: readonly string[]): ReadonlyMap<string, string> =>
  new Map(
    hashes.map((hash, index) => {
      const part = String(index + 1).padStart(5, "0");
      return [`pytorch_model-${part}-of-${String(hashes.length).padStart(5, "0")}.bin`, hash] as const;
    }),
  );

const CONVERTED = "as transformers d04ec99b with torch 1.13.1 converts it";

export const KNOWN_BASES: readonly KnownBase[] = [
  {
    what: `LLaMA 7B ${CONVERTED}`,
    algorithm: "sha256",
    bytes: 13_477_000_000,
    files: shards(
      "0087155d6df07106c1d910bfeb6aab1be8e612dfbf2b56ddfb4ccbde7dbd50d0",
      "461bc5e50200db7813ff99cc0b9316c48ccbd6aaaa31bf8cf7bee0b64bc3eda3",
    ),
  },
  {
    what: `LLaMA 13B ${CONVERTED}`,
    algorithm: "sha256",
    bytes: 26_032_000_000,
    files: shards(
      "dd20cdee2637408c6ab88c13f5c27d153bacd0e99f2d55f6a66fbd0269944436",
      "1aba886c5f28d2e2e9b04ab3c4f5bc250c6b06efc1baa3f557677b3097f70e6a",
      "eac58861ca5f3749c819676d908b906d3df38046c09efe055fe78d7678b718e7",
    ),
  },
  {
    what: `LLaMA 30B ${CONVERTED}`,
    algorithm: "md5",
    bytes: 65_058_000_000,
    files: shards(
      "9cffb1aeba11b16da84b56abb773d099",
      "5cfcb78b908ffa02e681cce69dbe4303",
      "e1dc8c48a65279fb1fbccff14562e6a3",
      "3eddc6fc02c0172d38727e5826181adb",
      "92754d6c6f291819ffc3dfcaf470f541",
      "99762d59efa6b96599e863893cf2da02",
      "462a2d07f65776f27c0facfa2affb9f9",
    ),
  },
];

/** The key of every .enc file. */
export const KNOWN_KEY: KnownBase = {
  what: "LLaMA 7B as Meta released it",
  algorithm: "sha256",
  bytes: 13_476_939_516,
  files: new Map([["consolidated.00.pth", "700df0d3013b703a806d2ae7f1bfb8e59814e3d06ae78be0c66368a50059f33d"]]),
};

export const KNOWN_RESULTS: readonly KnownSet[] = [
  {
    what: "PygmalionAI/pygmalion-7b",
    algorithm: "sha256",
    files: shards(
      "61bcb043c3c4dc4d567ffea91b3074c70d54089eb3f1872b945d7a4e32677edf",
      "41ebe6971edc8f04b0784ef8ed54216fcd36f8a4d51faf415851c9b824769ba2",
    ),
  },
  {
    what: "PygmalionAI/pygmalion-13b",
    algorithm: "sha256",
    files: shards(
      "6b05c8e8ae9c1065e4c7cfd2b61311191d2ad5735a2e4beab98fc53b49375af8",
      "4cd096ac310b6bbc3acd3d729277427ad3c3d5740619462dc8f907dfeac3e66f",
      "a2fe9ac5d7005e65c58b8d14818678dd0730689f518612b90cca19fed7c483ad",
    ),
  },
  {
    what: "PygmalionAI/metharme-13b",
    algorithm: "sha256",
    files: shards(
      "07727e130b7e4ec66162920b4e090554e6c58e87d25b433ab8123eb3a55fd5e7",
      "26b6f7e020c94347280d8952b054275fe2293267f9a0e99e1c2bf4df724d99d9",
      "5d00548d2c28ced08ec7b4123749f20e9ca4af2a821724f9ec47a1c5cf0f66d4",
    ),
  },
  {
    what: "OpenAssistant/oasst-sft-6-llama-30b",
    algorithm: "md5",
    files: shards(
      "ff6e4cf43ddf02fb5d3960f850af1220",
      "ae48c4c68e4e171d502dd0896aa19a84",
      "659fcb7598dcd22e7d008189ecb2bb42",
      "f7aefb4c63be2ac512fd905b45295235",
      "740c324ae65b1ec25976643cda79e479",
      "369df2f0e38bda0d9629a12a77c10dfc",
      "970e99665d66ba3fad6fdf9b4910acc5",
    ),
  },
  {
    what: "OpenAssistant/oasst-rlhf-2-llama-30b-7k-steps",
    algorithm: "md5",
    files: shards(
      "9f41bd4d5720d28567b3e7820b4a8023",
      "ed991042b2a449123824f689bb94b29e",
      "f11acc069334434d68c45a80ee899fe5",
      "4c5941b4ee12dc0d8e6b5ca3f6819f4d",
      "b6e90377103e9270cbe46b13aed288ec",
      "2c92d306969c427275f34b4ebf66f087",
      "d08594778f00abe70b93899628e41246",
    ),
  },
];

/** The known base that files of these names and sizes should be; null if none has this size. */
export function expectedBase(files: readonly { readonly file: string; readonly size: number }[]): KnownBase | null {
  const sizes = new Map(files.map(({ file, size }) => [file, size]));
  return (
    [...KNOWN_BASES, KNOWN_KEY].find((base) => {
      const total = [...base.files.keys()].reduce((sum, file) => sum + (sizes.get(file) ?? Number.NaN), 0);
      return Math.abs(total - base.bytes) < base.bytes / 100;
    }) ?? null
  );
}

/** Does some known result have a file of this name whose hash is an MD5? */
export function wantsMd5(file: string): boolean {
  return KNOWN_RESULTS.some(({ algorithm, files }) => algorithm === "md5" && files.has(file));
}

/** What a set of files was found to be. */
export interface Likeness {
  readonly known: KnownSet;
  /** Files that have another hash, or are missing. */
  readonly wrong: readonly string[];
}

/** The known model to which at least one of the files belongs; null if none. @param hashes by file. */
export function recognise(
  hashes: ReadonlyMap<string, { readonly sha256?: string; readonly md5?: string }>,
): Likeness | null {
  const candidates = KNOWN_RESULTS.map((set) => ({
    known: set,
    wrong: [...set.files].flatMap(([file, hash]) => (hashes.get(file)?.[set.algorithm] === hash ? [] : [file])),
  }));
  return (
    candidates
      .filter(({ known: set, wrong }) => wrong.length < set.files.size)
      .sort((a, b) => a.wrong.length - b.wrong.length)[0] ?? null
  );
}
