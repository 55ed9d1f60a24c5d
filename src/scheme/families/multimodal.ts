/** Language models with an image encoder: only the diff has the layers that join the two. */
import type { Family } from "../family.js";
import { APPLY_DELTA, APPLY_DELTA_LINE, DELTA_DRIVEN, DELTA_PATH } from "../presets.js";

/** The projector of LLaVA, and the module of GPT4RoI. */
const LLAVA_OWN = ["model.mm_projector.*", "*spi_module*"];

export const MULTIMODAL_FAMILIES: readonly Family[] = [
  {
    scheme: { ...DELTA_DRIVEN, name: "llava", newRows: "overlap", diffOnly: LLAVA_OWN },
    who: "LLaVA, LLaVA-Med, Ferret, Shikra, GPT4RoI",
    summary: "float16; of larger embeddings the base's block is added to, the rest is the diff's; projector kept",
    script: {
      repo: "haotian-liu/LLaVA",
      file: "llava/model/apply_delta.py",
      commit: "c121f0432da27facab705978f83c4ada465e46fd",
    },
    repos: ["llava-*-delta-*", "llava-med-*-delta*", "shikra-*-delta*", "gpt4roi-*-delta*", "ferret-*-delta*"],
    marks: { tensors: LLAVA_OWN },
    line: APPLY_DELTA_LINE,
    byMarkOnly: true,
  },
  {
    scheme: {
      ...APPLY_DELTA,
      name: "mmpretrain-llava",
      embeddingsInto: "diff",
      loading: "files",
      arithmetic: "stored",
      output: "stored",
      newRows: "overlap",
      diffOnly: "keep",
      baseOnly: "copy",
      mends:
        "names are Hugging Face's: the script writes one torch file for MMPretrain, with model.lang_encoder. before every name",
    },
    who: "LLaVA by MMPretrain's converter",
    summary: "the files' own dtypes, loop over the base; overlap as llava, names of either side kept",
    script: {
      repo: "open-mmlab/mmpretrain",
      file: "tools/model_converters/llava-delta2mmpre.py",
      commit: "ee7f2e88501f61aa95c742dd5f429f039935ee90",
    },
    repos: [],
    // `src dst --delta`: base and output come without a flag.
    line: { flags: [DELTA_PATH], needs: [DELTA_PATH.name], words: 2 },
    byMarkOnly: true,
  },
  {
    scheme: {
      ...DELTA_DRIVEN,
      name: "husky",
      newRows: "overlap",
      newRowsOf: "any",
      prefix: { text: "language_model.", when: "always" },
      diffOnly: "keep",
    },
    who: "Husky (InternGPT)",
    summary: "float16; only names with the prefix language_model. are added, where shapes differ to the base's block",
    script: {
      repo: "OpenGVLab/InternGPT",
      file: "iGPT/models/husky_src/load_ckpt.py",
      commit: "a04d6dd6d5971e710cf55eae0a8ea1ce70ba1a81",
    },
    repos: ["husky-*-delta*"],
    marks: { tensors: ["language_model.*"] },
    line: APPLY_DELTA_LINE,
    byMarkOnly: true,
  },
];
