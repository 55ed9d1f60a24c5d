/**
 * The names that one tensor has in different files, as data: names that wrappers add, prefixes of base models, and names that transformers
 * changed. Taken from the sources of transformers 4.0.1, 4.20.1, 4.44.2, 4.57.1 and 5.23.0; wrappers from torch 2.13.0, peft 0.17.1 and trl
 * 0.9.6.
 */

/** A part that a wrapper around the model adds to names. */
export interface Wrapper {
  readonly part: string;
  readonly who: string;
  /**
   * Is the part removed wherever it appears, since no model uses the name? Other parts are removed only if names of both sides then match.
   */
  readonly always: boolean;
}

/**
 * torch: _dynamo/eval_frame.py, distributed/fsdp/_common_utils.py line 203, distributed/algorithms/_checkpoint/checkpoint_wrapper.py
 * line 16; `_fpw_module` is FSDP's of 1.11 and 1.12 (fsdp/flatten_params_wrapper.py), and fairscale's. peft: peft_model.py line 130 and
 * tuners/tuners_utils.py line 187, tuners/lora/layer.py line 90. trl: models/modeling_base.py line 89.
 */
export const WRAPPERS: readonly Wrapper[] = [
  { part: "_orig_mod", who: "torch.compile", always: true },
  { part: "_fsdp_wrapped_module", who: "FSDP", always: true },
  { part: "_fpw_module", who: "FSDP", always: true },
  { part: "_checkpoint_wrapped_module", who: "activation checkpointing", always: true },
  { part: "_forward_module", who: "Lightning", always: true },
  { part: "module", who: "DistributedDataParallel or DeepSpeed", always: false },
  { part: "pretrained_model", who: "TRL", always: false },
  { part: "base_model.model", who: "PEFT", always: false },
  { part: "base_layer", who: "PEFT", always: false },
];

/**
 * Tensors of adapters that lie beside the weights they change (peft 0.17.1, tuners/lora/layer.py lines 85 to 105, utils/other.py lines 230
 * and 476).
 */
export const ADAPTER =
  /(^|\.)(lora_[AB]|lora_embedding_[AB]|lora_magnitude_vector|modules_to_save|original_module)(\.|$)/;

/**
 * The text that a model with a head puts before the names of the model without one: `base_model_prefix` of transformers' classes.
 * from_pretrained adds or removes it (modeling_utils.py 4.44.2, line 4109; core_model_loading.py 5.23.0, line 1567). The prefixes that name
 * one tower of several (language_model, vision_model, encoder and the like) are left out.
 */
export const BASE_PREFIXES: ReadonlySet<string> = new Set(
  `model transformer gpt_neox gpt_neox_japanese rwkv backbone
  albert bert bert_model big_bird biogpt blip bros canine clip convbert cpmant ctrl data2vec_audio data2vec_text
  data2vec_vision deberta decision_transformer distilbert electra ernie ernie_m esm esmc flaubert flava fnet funnel git gte
  gptsan_japanese graphormer hubert ibert layoutlm layoutlmv2 layoutlmv3 led lilt longformer luke lxmert markuplm mega
  mobilebert mpnet mra nezha nomic_bert nystromformer perceiver prophetnet realm reformer rembert retribert roberta
  roberta_prelayernorm roc_bert roformer sew sew_d siglip speecht5 splinter squeezebert switch_transformers tapas unispeech
  unispeech_sat vilt visual_bert wav2vec2 wav2vec2_bert wav2vec2_conformer wavlm yoso
  audio_spectrogram_transformer beit bit convnext convnextv2 cvt deit dinov2 dinov2_with_registers dpt efficientnet focalnet glpn
  groupvit hiera levit mobilenet_v1 mobilenet_v2 mobilevit mobilevitv2 owlvit poolformer pvt regnet resnet sam segformer
  swiftformer swin swinv2 swin2sr timesformer van videomae vit vivit xlm-roberta`.split(/\s+/),
);

/**
 * Old names of tensors, and the names that transformers gives them while it loads a file (conversion_mapping.py 5.23.0, "legacy" and
 * GPTNeoXForCausalLM).
 */
const RENAMED: readonly (readonly [old: RegExp, now: string])[] = [
  [/(^|\.)LayerNorm\.gamma$/, "$1LayerNorm.weight"],
  [/(^|\.)LayerNorm\.beta$/, "$1LayerNorm.bias"],
  [/\.weight_g$/, ".parametrizations.weight.original0"],
  [/\.weight_v$/, ".parametrizations.weight.original1"],
  [/^embed_out\./, "lm_head."],
];

/** Parts beside the language model. If both sides have one, both are models with several towers. */
const TOWER =
  /^(model\.|thinker\.|model\.thinker\.)?(vision_tower|vision_model|visual|image_tower|video_tower|audio_tower|multi_modal_projector)\./;

/**
 * Where such a model keeps its language model: in "language_model.model.layers" up to 4.51, in "model.language_model.layers" from 4.52 on;
 * Qwen2-VL in "model.layers" and "model.language_model.layers". from_pretrained turns one into the other (conversion_mapping.py 5.23.0,
 * "llava" and "Qwen2VLForConditionalGeneration").
 */
const TOWERED: readonly (readonly [RegExp, string])[] = [
  [/^(thinker\.)?model\./, "$1"],
  [/^(thinker\.)?(language_model|text_model)\.(model\.)*/, "$1"],
  [/^(thinker\.)?(vision_tower|image_tower|video_tower)\.vision_model\./, "$1$2."],
];

export function hasTowers(names: Iterable<string>): boolean {
  for (const name of names) {
    if (TOWER.test(name)) {
      return true;
    }
  }
  return false;
}

/** One name for all names that transformers reads as the same tensor. @param towers are both sides models with several towers? */
export function commonName(name: string, towers: boolean): string {
  return [...RENAMED, ...(towers ? TOWERED : [])].reduce((found, [pattern, now]) => found.replace(pattern, now), name);
}

/** The name without the first occurrence of `part`, which is one word or several words between dots. */
export function withoutPart(name: string, part: string, front: boolean): string {
  // Hardly any name has it, and models have a hundred thousand names: so this makes no new strings.
  if (!name.includes(part)) {
    return name;
  }
  const at = `.${name}`.indexOf(`.${part}.`);
  const without = name.slice(0, at) + name.slice(at + part.length + 1);
  return at < 0 || (front && at > 0) || without === "" ? name : without;
}

/** The name without wrappers, and the wrappers that it had. */
export function unwrapName(stored: string): { readonly name: string; readonly wrappers: readonly Wrapper[] } {
  let name = stored;
  const wrappers: Wrapper[] = [];
  for (let before = ""; name !== before; ) {
    before = name;
    for (const wrapper of WRAPPERS) {
      const without = withoutPart(name, wrapper.part, false);
      if (without !== name) {
        wrappers.push(wrapper);
        name = without;
      }
    }
  }
  return { name, wrappers };
}
