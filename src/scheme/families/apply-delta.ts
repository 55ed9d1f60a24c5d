/**
 * apply_delta.py of FastChat and its copies, and YuLan-Chat's script with a similar command line. They use argparse, and most loop over the
 * base's names.
 */
import type { CommandLine, Family } from "../family.js";
import {
  APPLY_DELTA,
  APPLY_DELTA_LINE,
  BASE_MODEL_PATH,
  DELTA_PATH,
  ignored,
  LOW_CPU_MEM,
  PADDED,
  WEIGHT_DIFF,
} from "../presets.js";

const YULAN_LINE: CommandLine = {
  flags: [BASE_MODEL_PATH, { name: "tuned-model-path", shortest: "tuned", means: "tuned" }, DELTA_PATH],
  needs: ["tuned-model-path"],
};

export const APPLY_DELTA_FAMILIES: readonly Family[] = [
  {
    scheme: { ...APPLY_DELTA, name: "lawyer-llama", arithmetic: "F32", output: "F32", newRows: "mean" },
    who: "Lawyer LLaMA v2",
    summary: "float32, loop over the base, new vocabulary rows get the mean",
    script: {
      repo: "AndrewZhe/lawyer-llama",
      file: "scripts/model_delta.py",
      commit: "abaa09586081b82ceb7b0a9f41d05a68897b24ee",
    },
    repos: [],
    line: {
      flags: [...APPLY_DELTA_LINE.flags, ignored("mode", "recover applies a diff, make-diff makes one")],
      needs: ["mode"],
    },
  },
  {
    scheme: { ...APPLY_DELTA, name: "fastchat" },
    who: "Vicuna v1.1, StableBeluga1, Gorilla, K2, BayLing",
    summary: "float16, loop over the base, no new vocabulary rows",
    script: {
      repo: "lm-sys/FastChat",
      file: "fastchat/model/apply_delta.py",
      commit: "0e6d3e4beaab66f4d3f93db72541a4abab8af28d",
    },
    repos: ["vicuna-*-delta-v1.1", "stablebeluga1-delta", "gorilla-7b-*-delta-v*", "k2_*_delta", "bayling-*-diff"],
    line: APPLY_DELTA_LINE,
    variants: { low_cpu_mem: LOW_CPU_MEM },
  },
  {
    scheme: { ...APPLY_DELTA, name: "fastchat-v0", newRows: "zero", resize: { ...PADDED, unlessPadded: false } },
    who: "Vicuna v0, StableVicuna, Wombat, LLMZoo (Chimera)",
    summary: "float16, loop over the base, new vocabulary rows are the diff's own",
    script: {
      repo: "lm-sys/FastChat",
      file: "fastchat/model/apply_delta.py",
      commit: "f34f28cedcb8906fd026f22ec3ef41435a8e24ac",
    },
    repos: [
      "vicuna-*-delta-v0",
      "stable-vicuna-13b-delta",
      "wombat-7b-delta",
      "wombat-7b-gpt4-delta",
      "chimera-*-delta",
    ],
    line: APPLY_DELTA_LINE,
  },
  {
    scheme: { ...APPLY_DELTA, name: "lmflow", arithmetic: "BF16", output: "BF16" },
    who: "LMFlow (Robin)",
    summary: "as fastchat, in bfloat16",
    script: {
      repo: "OptimalScale/LMFlow",
      file: "utils/apply_delta.py",
      commit: "bce29b9fcae24ccd711db1f1d35357385eb9fa1a",
    },
    repos: ["robin-*-delta"],
    line: APPLY_DELTA_LINE,
    variants: { low_cpu_mem: LOW_CPU_MEM },
  },
  {
    scheme: { ...WEIGHT_DIFF, name: "yulan", arithmetic: "BF16", output: "BF16", newRows: "zero" },
    who: "YuLan-Chat",
    summary: "bfloat16, new vocabulary rows are the diff's own",
    script: {
      repo: "RUC-GSAI/YuLan-Chat",
      file: "apply_delta.py",
      commit: "6d891efaa23bd36f854ef085b5404c3e43011eb8",
    },
    repos: ["yulan-chat-13b-delta", "yulan-chat-65b-delta", "yulan-chat-1-65b-v2-delta"],
    line: YULAN_LINE,
  },
  {
    scheme: { ...WEIGHT_DIFF, name: "yulan-f32", newRows: "zero" },
    who: "YuLan-Chat before 3 August 2023",
    summary: "as yulan, in float32",
    script: {
      repo: "RUC-GSAI/YuLan-Chat",
      file: "apply_delta.py",
      commit: "701a87f92cd199dba109eb267777a0d4d0107532",
    },
    repos: [],
    line: YULAN_LINE,
  },
];
