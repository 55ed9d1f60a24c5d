/**
 * Published files and their sha256, as data. A match tells what a file is. No match tells nothing: the same weights have other bytes if
 * another version of torch saved them, or if they were split into other shards.
 */
interface KnownFile {
  readonly what: string;
  /** Bytes; null if not recorded. */
  readonly size: number | null;
  readonly sha256: string;
}

const rows = (what: string, ...files: readonly (readonly [sha256: string, size?: number])[]): readonly KnownFile[] =>
  files.map(([sha256, size], index) => ({
    what: files.length === 1 ? what : `${what}, file ${index + 1} of ${files.length}`,
    size: size ?? null,
    sha256,
  }));

export const KNOWN_FILES: readonly KnownFile[] = [
  ...rows("the LLaMA and Llama 2 tokenizer", [
    "9e556afd44213b6bd1be2b850ebbbd98f5481437a8021afaf58ee7fb1818d347",
    499_723,
  ]),
  ...rows("LLaMA 7B as Meta released it", [
    "700df0d3013b703a806d2ae7f1bfb8e59814e3d06ae78be0c66368a50059f33d",
    13_476_939_516,
  ]),
  ...rows(
    "LLaMA 13B as Meta released it",
    ["745bf4e29a4dd6f411e72976d92b452da1b49168a4f41c951cfcc8051823cf08"],
    ["d5ccbcc465c71c0de439a5aeffebe8344c68a519bce70bc7f9f92654ee567085"],
  ),
  ...rows(
    "LLaMA 30B as Meta released it",
    ["e23294a58552d8cdec5b7e8abb87993b97ea6eced4178ff2697c02472539d067"],
    ["4e077b7136c7ae2302e954860cf64930458d3076fcde9443f4d0e939e95903ff"],
    ["24a87f01028cbd3a12de551dcedb712346c0b5cbdeff1454e0ddf2df9b675378"],
    ["1adfcef71420886119544949767f6a56cb6339b4d5fcde755d80fe68b49de93b"],
  ),
  ...rows(
    "LLaMA 65B as Meta released it",
    ["135c563f6b3938114458183afb01adc9a63bef3d8ff7cccc3977e5d3664ecafe"],
    ["9a600b37b19d38c7e43809485f70d17d1dc12206c07efa83bc72bb498a568bde"],
    ["e7babf7c5606f165a3756f527cb0fedc4f83e67ef1290391e52fb1cce5f26770"],
    ["73176ffb426b40482f2aa67ae1217ef79fbbd1fff5482bae5060cdc5a24ab70e"],
    ["882e6431d0b08a8bc66261a0d3607da21cbaeafa96a24e7e59777632dbdac225"],
    ["a287c0dfe49081626567c7fe87f74cce5831f58e459b427b5e05567641f47b78"],
    ["72b4eba67a1a3b18cb67a85b70f8f1640caae9b40033ea943fb166bd80a7b36b"],
    ["d27f5b0677d7ff129ceacd73fd461c4d06910ad7787cf217b249948c3f3bc638"],
  ),
  ...rows(
    "LLaMA 7B in Hugging Face's format (transformers of April 2023)",
    ["0087155d6df07106c1d910bfeb6aab1be8e612dfbf2b56ddfb4ccbde7dbd50d0"],
    ["461bc5e50200db7813ff99cc0b9316c48ccbd6aaaa31bf8cf7bee0b64bc3eda3"],
  ),
  ...rows(
    "LLaMA 13B in Hugging Face's format (transformers of April 2023)",
    ["dd20cdee2637408c6ab88c13f5c27d153bacd0e99f2d55f6a66fbd0269944436"],
    ["1aba886c5f28d2e2e9b04ab3c4f5bc250c6b06efc1baa3f557677b3097f70e6a"],
    ["eac58861ca5f3749c819676d908b906d3df38046c09efe055fe78d7678b718e7"],
  ),
  ...rows("decapoda-research/llama-7b-hf, file 1 of 33", [
    "c5cb2ef8a6558c0ce314bcc11e4a15d0df379222ad7753ae9f75591cc87c945d",
    404_770_755,
  ]),
  ...rows("decapoda-research/llama-7b-hf, file 33 of 33", [
    "f289012ffe06b1aee0bebdfaea70a394c60444370d9b31c9ab0a7ccd7a4ee415",
    524_297_676,
  ]),
  ...rows(
    "meta-llama/Llama-2-7b-hf in safetensors",
    ["4ec71fd53e99766de38f24753b30c9e8942630e9e576a1ba27b0ec531e87be41", 9_976_578_928],
    ["41780b5dac322ac35598737e99208d90bdc632a1ba3389ebedbb46a1d8385a7f", 3_500_297_344],
  ),
  ...rows(
    "lmsys/vicuna-7b-delta-v0",
    ["b2b66e79605d647ecce8d9b4bd9b14ce091e1724bf5b4699ba7d7869d1cb886c", 9_976_642_750],
    ["cfa9d1c62a39e64abae3142a04c96ed18f070aff4263a388ad6ab12d7cc47907", 3_500_323_731],
  ),
  ...rows(
    "lmsys/vicuna-7b-delta-v1.1",
    ["7f161fb09b19b1cef6ae3807b154f18e7a4973cc8c200e2508c6d6958caad2f0", 9_976_634_558],
    ["bbef179e0c6d1dddc1334213a288cb85d6340373a5bb9bcebd9eac3271409729", 3_500_315_539],
  ),
];

/** The file with this digest; null if the list has none. */
export function fileWithDigest(sha256: string): KnownFile | null {
  return KNOWN_FILES.find((known) => known.sha256 === sha256) ?? null;
}

/** Files of this size. The size is only a hint. */
export function filesOfSize(size: number): readonly KnownFile[] {
  return KNOWN_FILES.filter((known) => known.size === size);
}
