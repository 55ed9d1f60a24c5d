/** Scripts that resemble no other: a patch for each layer, a model whose embedding is a sum, the trees of EasyLM. */
import { quote } from "../../formats/quote.js";
import type { Facts } from "../facts.js";
import type { Family } from "../family.js";
import { DELTA_DRIVEN, ignored } from "../presets.js";
import { areText } from "../recognise.js";

/** The tensor whose rows BiLLa's script takes from the base. */
const BILLA_EMBEDDING = "model.embed_tokens.weight";
/** The sum of a tuned embedding and the base's lies between these multiples of the base's. */
const DOUBLED = { least: 1.6, most: 2.4 } as const;

/** BiLLa's mark: a full model tuned from the base, except that the base's input embedding was added to its own. */
function isDoubled({ own }: Facts): string | null {
  const embedding = own.find(({ name }) => name === BILLA_EMBEDDING);
  const others = own.filter((tensor) => tensor !== embedding);
  const found =
    embedding?.kind === "own" &&
    embedding.scale >= DOUBLED.least &&
    embedding.scale <= DOUBLED.most &&
    others.length > 0 &&
    others.every(({ kind, scale }) => kind === "own" && scale < DOUBLED.least);
  return found
    ? `its ${quote(embedding.name)} is ${embedding.scale.toFixed(2)} times the base's, its ${areText(others)} the model's own: a full model whose embedding has the base's added to it`
    : null;
}

export const PATCH_FAMILIES: readonly Family[] = [
  {
    scheme: {
      ...DELTA_DRIVEN,
      name: "openchinesellama",
      into: "new",
      loading: "files",
      arithmetic: "stored",
      output: "stored",
      verbatim: ["*inv_freq"],
    },
    who: "OpenChineseLLaMA",
    summary: "the files' own dtypes, sums in the wider; rotary buffers are the diff's",
    script: {
      repo: "OpenLMLab/OpenChineseLLaMA",
      file: "tools/patch_model.py",
      commit: "bdb17feb40c24dd34cf2140eda643d758debb773",
    },
    repos: ["open-chinese-llama-7b-patch"],
    marks: { files: ["patch_history.json"] },
    line: {
      flags: [
        { name: "base_model", means: "raw" },
        { name: "patch_model", shortest: "patch", means: "diff" },
        ignored("base_model_format", "the files tell"),
        ignored("offload", "memory is always small"),
        ignored("offload_path", "nothing is put aside"),
      ],
      needs: ["patch_model"],
    },
    byMarkOnly: true,
  },
  {
    scheme: {
      ...DELTA_DRIVEN,
      name: "billa",
      operation: "subtract",
      loading: "files",
      arithmetic: "stored",
      rounds: "F16",
      output: "stored",
      newRows: "overlap",
      summed: [BILLA_EMBEDDING],
      diffOnly: "keep",
    },
    who: "BiLLa",
    summary:
      "the base's embedding rows are subtracted in float32 and rounded to float16; all else is the model's as it is",
    script: {
      repo: "Neutralzz/BiLLa",
      file: "embedding_convert.py",
      commit: "0cf5267753a0cb3c9d1889eb27817a6f6d17cd9c",
    },
    repos: ["billa-7b-sft", "billa-7b-llm"],
    marks: { recognise: isDoubled },
    line: {
      flags: [
        { name: "model_dir", means: "diff" },
        { name: "meta_llama_pth_file", means: "raw" },
        ignored("method", "recover decrypts"),
      ],
    },
    byMarkOnly: true,
  },
  {
    scheme: { ...DELTA_DRIVEN, name: "koala", into: "new", loading: "files", arithmetic: "stored", output: "BF16" },
    who: "Koala (EasyLM)",
    summary: "the files' own dtypes, saved as bfloat16; both must have the same tensors",
    script: {
      repo: "young-geng/EasyLM",
      file: "EasyLM/scripts/diff_checkpoint.py",
      commit: "fe5b2c354e25d697fce7cd225e23bbbe72570da3",
    },
    repos: [],
    marks: { format: "easylm" },
    line: {
      flags: [
        { name: "load_base_checkpoint", means: "raw" },
        { name: "load_target_checkpoint", means: "diff" },
        { name: "output_file", means: "tuned" },
        { name: "float_dtype", means: "dtype" },
        ignored("recover_diff", "that is what recover does"),
        ignored("streaming", "everything is streamed"),
      ],
    },
  },
];
