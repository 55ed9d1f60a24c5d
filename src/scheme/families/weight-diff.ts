/** weight_diff.py of Stanford Alpaca and its copies: python-fire, two float32 models, a loop over the diff's names. */
import type { Family } from "../family.js";
import { ignored, PADDED, WEIGHT_DIFF } from "../presets.js";

export const WEIGHT_DIFF_FAMILIES: readonly Family[] = [
  {
    scheme: { ...WEIGHT_DIFF, name: "open-instruct", resize: PADDED },
    who: "Tulu, Open-Instruct",
    summary: "float32, new vocabulary rows get the mean of the base's rows",
    script: {
      repo: "allenai/open-instruct",
      file: "scripts/weights/weight_diff.py",
      commit: "e6c3044aa6201c8bfa4573c1b03142af599e730d",
    },
    repos: ["tulu-7b", "tulu-13b", "tulu-30b", "tulu-65b", "open-instruct-*-7b", "open-instruct-*-13b"],
    line: { flags: [ignored("original_model", "not loaded; compare the digests in weight-diff.json instead")] },
  },
  {
    scheme: { ...WEIGHT_DIFF, name: "alpaca", resize: PADDED },
    who: "Stanford Alpaca, WizardLM, SelFee",
    summary: "as open-instruct, with a published sum",
    script: {
      repo: "tatsu-lab/stanford_alpaca",
      file: "weight_diff.py",
      commit: "761dc5bfbdeeffa89b8bff5d038781a4055f796a",
    },
    repos: ["alpaca-7b", "alpaca-7b-wdiff"],
  },
  {
    scheme: {
      ...WEIGHT_DIFF,
      name: "exact",
      operation: "add-bits",
      arithmetic: "stored",
      output: "stored",
      newRows: "verbatim",
    },
    who: "weight-diff",
    summary: "made by make-diff with the encoding exact: bit patterns, whatever the dtype",
    script: null,
    repos: [],
  },
  {
    scheme: {
      ...WEIGHT_DIFF,
      name: "alpaca-farm",
      resize: { ...PADDED, overwrites: false },
      elseVerbatim: { unlessNewRows: 1 },
      prefix: { text: "backbone_model.", when: "if-used" },
      diffOnly: "keep",
      sumFile: { file: "model_sum.txt", absolute: 1e-8, relative: 1e-5 },
    },
    who: "AlpacaFarm, its reward models too",
    summary:
      "float32; one new row gets the mean, a tensor of any other shape and any of its own is the model's as it is",
    script: {
      repo: "tatsu-lab/alpaca_farm",
      file: "pretrained_models/recover_model_weights.py",
      commit: "30717ddae735365de756ee2085191b491a71788d",
    },
    repos: ["alpaca-farm-*-wdiff"],
    marks: { files: ["model_sum.txt"], tensors: ["backbone_model.*"] },
    line: {
      flags: [
        { name: "llama-7b-hf-dir", means: "raw" },
        ignored("alpaca-farm-model-name"),
        ignored("models-save-dir"),
        ignored(
          "path-to-sft10k",
          "not needed: the script takes the config of a reward model from it, here it is the diff's",
        ),
      ],
    },
    byMarkOnly: true,
  },
  {
    scheme: {
      ...WEIGHT_DIFF,
      name: "gisting",
      newRows: "zero",
      resize: { of: "diff", tokens: ["<GIST>"], unlessPadded: false, overwrites: true },
    },
    who: "Gisting",
    summary: "float32, new vocabulary rows are the diff's own",
    script: { repo: "jayelm/gisting", file: "src/weight_diff.py", commit: "3be0d062b6bdfd3caf51843bbc60261a0855f876" },
    repos: ["llama-7b-gist-1", "llama-7b-pos_control-1", "llama-7b-neg_control-1"],
    marks: { tokens: ["<GIST>"] },
  },
  {
    scheme: { ...WEIGHT_DIFF, name: "knowlm", newRows: "refuse" },
    who: "KnowLM (ZhiXi)",
    summary: "float32, no new vocabulary rows",
    script: { repo: "zjunlp/KnowLM", file: "tools/weight_diff.py", commit: "0f00ad82045bc84394723de07f56da35bef476ed" },
    repos: ["zhixi-13b-diff"],
    variants: { is_fp16: { arithmetic: "F16", output: "F16", repos: ["zhixi-13b-diff-fp16"] } },
  },
  {
    scheme: {
      ...WEIGHT_DIFF,
      name: "moss-rlhf",
      newRows: "refuse",
      summed: ["layers"],
      diffOnly: "keep",
    },
    who: "MOSS-RLHF",
    summary: "float32; only names with `layers` are added, the rest is the model's as it is",
    script: {
      repo: "OpenLMLab/MOSS-RLHF",
      file: "merge_weight_en.py",
      commit: "4865d826fc6705dfdf1894aede00b4c81dabb24b",
    },
    repos: [
      "moss-rlhf-reward-model-7b-en",
      "moss-rlhf-sft-model-7b-en",
      "moss-rlhf-policy-model-7b-en",
      "moss-rlhf-reward-model-7b-zh",
    ],
    marks: { tensors: ["reward_head.weight*"] },
  },
  {
    scheme: {
      ...WEIGHT_DIFF,
      name: "landmark",
      resize: { of: "raw", tokens: ["[PAD]", "<landmark>"], unlessPadded: false, overwrites: true },
      sumFile: { file: "checksum_psum.txt", absolute: 1e-2, relative: 0 },
    },
    who: "Landmark Attention",
    summary: "float32, two new vocabulary rows get the mean",
    script: {
      repo: "epfml/landmark-attention",
      file: "llama/weight_diff.py",
      commit: "d963e504fa2424687c6cbd412b54f1626e832292",
    },
    repos: ["landmark-attention-llama7b-wdiff"],
    marks: { files: ["checksum_psum.txt"], tokens: ["<landmark>"] },
  },
];
