/** Copies of apply_delta.py for models with their own vocabulary: embeddings and output head are published unchanged. */
import type { Family } from "../family.js";
import { APPLY_DELTA_LINE, DELTA_DRIVEN, LOW_CPU_MEM } from "../presets.js";

const EMBEDDINGS = ["embed_tokens", "lm_head.weight"];
const EMBEDDINGS_AND_BUFFERS = [...EMBEDDINGS, "self_attn.rotary_emb.inv_freq"];

export const OWN_EMBEDDING_FAMILIES: readonly Family[] = [
  {
    scheme: { ...DELTA_DRIVEN, name: "huatuo", verbatim: EMBEDDINGS_AND_BUFFERS },
    who: "HuatuoGPT, Patent-LLaMA",
    summary: "float16; embeddings and output head are the model's as they are",
    script: {
      repo: "FreedomIntelligence/HuatuoGPT",
      file: "apply_delta.py",
      commit: "1412a5d250f411b5739576fda6e3683ba99ebcd1",
    },
    repos: ["huatuogpt-13b-delta", "patent-llama-*"],
    line: APPLY_DELTA_LINE,
  },
  {
    scheme: { ...DELTA_DRIVEN, name: "ziya", verbatim: EMBEDDINGS_AND_BUFFERS },
    who: "Ziya-LLaMA",
    summary: "as huatuo",
    script: {
      repo: "IDEA-CCNL/Fengshenbang-LM",
      file: "fengshen/utils/apply_delta.py",
      commit: "c8fb7b8437843ea13fa9d147ce86c4592fa21237",
    },
    repos: ["ziya-llama-13b-v1", "ziya-llama-13b-v1.1", "ziya-llama-13b-pretrain-v1"],
    line: APPLY_DELTA_LINE,
    variants: { low_cpu_mem: LOW_CPU_MEM },
  },
  {
    scheme: { ...DELTA_DRIVEN, name: "pandallm", arithmetic: "F32", output: "F32", verbatim: EMBEDDINGS },
    who: "PandaLLM",
    summary: "float32; embeddings and output head are the model's as they are",
    script: {
      repo: "dandelionsllm/pandallm",
      file: "apply_delta.py",
      commit: "4a47ecd4a033a8df86a88b7e71132cbfdc7f0823",
    },
    repos: ["llama-panda-*-delta", "flan-llama-7b-10m-delta"],
    line: APPLY_DELTA_LINE,
    variants: { low_cpu_mem: LOW_CPU_MEM },
  },
];
