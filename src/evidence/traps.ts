/** Known traps in such files (docs/troubleshooting.md, docs/formats.md 2.1). Each function looks for one of them in the files at hand. */
import { join } from "node:path";
import type { Checkpoint } from "../checkpoint/checkpoint.js";
import type { ModelConfig } from "../checkpoint/config.js";
import type { TokenizerFile } from "../checkpoint/tokenizer.js";
import { readText, regularFiles } from "../files/small-files.js";
import { isFloatDtype, torchName } from "../formats/dtype.js";
import type { Manifest } from "../manifest/manifest.js";
import { INV_FREQ } from "../plan/pair.js";
import { quantisedTensor } from "../run/preflight.js";
import { isHalfPrecisionOriginal } from "./family.js";
import type { Identity } from "./identify.js";
import type { ModelShape } from "./model-shape.js";

interface Subject {
  readonly checkpoint: Checkpoint;
  readonly config: ModelConfig | null;
  readonly identity: Identity;
  readonly family: string | null;
  readonly shape: ModelShape;
  readonly manifest: Manifest | null;
  readonly tokenizer: readonly TokenizerFile[];
}

type Trap = (subject: Subject, files: ReadonlyMap<string, string | null>) => string | null;

/** One sentence for each trap that was found. Never throws: a file that cannot be read counts as no trap. */
export async function findTraps(subject: Subject): Promise<readonly string[]> {
  const files = await sideTexts(subject.checkpoint.directory);
  return TRAPS.flatMap((trap) => trap(subject, files) ?? []);
}

/** Bare names of the files, with the text of the one that the rules read. */
async function sideTexts(directory: string | null): Promise<ReadonlyMap<string, string | null>> {
  const names = directory === null ? [] : await regularFiles(directory).catch(() => []);
  const files = new Map<string, string | null>(names.map((name) => [name, null]));
  if (directory !== null && files.has(TOKENIZER_CONFIG)) {
    const text = await readText(join(directory, TOKENIZER_CONFIG), MAX_TEXT_BYTES).catch(() => null);
    files.set(TOKENIZER_CONFIG, text);
  }
  return files;
}

const TOKENIZER_CONFIG = "tokenizer_config.json";
const MAX_TEXT_BYTES = 10_000_000;

const mostUsed = ({ stateDict }: Checkpoint): string | null => {
  const bytes = new Map<string, number>();
  for (const { dtype, range } of stateDict.values()) {
    bytes.set(dtype, (bytes.get(dtype) ?? 0) + range.end - range.begin);
  }
  return [...bytes].sort((a, b) => b[1] - a[1])[0]?.[0] ?? null;
};

const TRAPS: readonly Trap[] = [
  ({ identity }) =>
    identity.kind === "diff"
      ? "a diff is not a model: loaded as one, it gives gibberish; recover it with its base first"
      : null,
  ({ identity, family, checkpoint }) =>
    identity.kind !== "diff" && isHalfPrecisionOriginal(family) && mostUsed(checkpoint) === "BF16"
      ? `${family} was released in float16, these weights are bfloat16: converters from transformers 4.33 on round them; as a base they give other bits than the diff was made with`
      : null,
  ({ config, checkpoint }) => {
    const dtype = mostUsed(checkpoint);
    const stored = [...checkpoint.stateDict.values()].find(
      (tensor) => tensor.dtype === dtype && isFloatDtype(tensor.dtype),
    );
    const name = stored === undefined ? null : torchName(stored.dtype);
    return config !== null && config.dtype !== null && name !== null && config.dtype !== name
      ? `config.json says ${config.dtype}, most weights are ${name}: the weights count`
      : null;
  },
  ({ identity, checkpoint }) => {
    const buffer = [...checkpoint.stateDict].find(
      ([name, { dtype }]) => INV_FREQ.test(name) && (dtype === "F16" || dtype === "BF16"),
    );
    return buffer !== undefined && identity.kind !== "diff"
      ? `the inv_freq buffers are stored as ${torchName(buffer[1].dtype)}: rounded, as decapoda-research/llama-7b-hf has them; models should recompute them`
      : null;
  },
  ({ shape, tokenizer }) => {
    const highest = tokenizer.reduce((most, { highestId }) => Math.max(most, highestId), -1);
    return shape.vocabulary !== null && highest >= shape.vocabulary
      ? `the tokenizer has token ids up to ${highest}, the embedding only ${shape.vocabulary} rows`
      : null;
  },
  ({ shape }) =>
    shape.vocabulary !== null && shape.outputRows !== null && shape.vocabulary !== shape.outputRows
      ? `the input embedding has ${shape.vocabulary} rows, the output embedding ${shape.outputRows}`
      : null,
  ({ identity, family, shape }) =>
    identity.kind === "full" && family?.startsWith("LLaMA ") === true && (shape.vocabulary ?? 0) > 32_000
      ? `${shape.vocabulary} vocabulary rows, the original has 32000: tokens were added; as a base, use the original`
      : null,
  (_, files) => {
    const text = files.get(TOKENIZER_CONFIG) ?? "";
    return /"tokenizer_class"\s*:\s*"LLaMATokenizer"/.test(text)
      ? 'tokenizer_config.json names "LLaMATokenizer", which no released transformers has: write LlamaTokenizer'
      : null;
  },
  (_, files) => {
    const text = files.get(TOKENIZER_CONFIG) ?? "";
    return /"(bos|eos|unk)_token"\s*:\s*""/.test(text)
      ? "tokenizer_config.json has blank special tokens, as decapoda-research/llama-7b-hf: generation may not stop"
      : null;
  },
  ({ checkpoint }, files) => {
    const sets = [
      "model.safetensors",
      "model.safetensors.index.json",
      "pytorch_model.bin",
      "pytorch_model.bin.index.json",
    ];
    const found = sets.filter((name) => files.has(name));
    return found.length > 1
      ? `several sets of weights (${found.join(", ")}): ${checkpoint.shards[0]?.file ?? found[0]} is read, as in transformers`
      : null;
  },
  ({ checkpoint }) =>
    quantisedTensor(checkpoint) !== undefined
      ? "quantised weights: no diff of float weights can be added to them"
      : null,
  ({ identity, manifest }) =>
    identity.kind === "diff" && manifest === null
      ? "no manifest: nothing states which base is the right one, or what the result should be"
      : null,
];
