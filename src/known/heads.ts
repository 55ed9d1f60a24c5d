/**
 * Heads: the layers that a model has on top of the base model. A fine-tune often has another head than its base, or none. The names come
 * from transformers' classes (4.0.1 to 5.23.0), from TRL (v_head), and from the reward models of 2023.
 */
import { BASE_PREFIXES } from "./names.js";

/** The first words of a head's names, after the prefix of the base model if there is one. */
const HEADS: ReadonlySet<string> = new Set(
  `lm_head embed_out lm_loss pred_layer predictions generator_predictions generator_lm_head discriminator_predictions
  vocab_transform vocab_layer_norm vocab_projector cls proj_out output_projection final_logits_bias
  classifier classification_head score pre_classifier qa_outputs qa_classifier sop_classifier start_logits end_logits
  answer_class sequence_summary logits_proj pooler`.split(/\s+/),
);

/** Names that people give to heads of their own. */
const OWN_HEAD = /(^|_)(heads?|classifier|regressor|scorer)$/;

/** Which classes need which head, by the end of the class's name. For other heads this is unknown. */
const NEEDED: readonly (readonly [name: RegExp, kinds: RegExp])[] = [
  [/(^|\.)pooler\./, /^(Model|ForSequenceClassification|ForPreTraining|ForNextSentencePrediction|ForMultipleChoice)$/],
  [/(^|\.)seq_relationship\./, /^(ForPreTraining|ForNextSentencePrediction)$/],
  [
    /^(lm_head|embed_out|lm_loss|pred_layer|predictions|generator_\w+|vocab_\w+|cls|proj_out|output_projection|final_logits_bias)(\.|$)/,
    /LM|ConditionalGeneration|PreTraining|DoubleHeads/,
  ],
];

/** Is this a tensor of a head, by its name? */
export function isHead(name: string): boolean {
  const [first = "", second = ""] = name.split(".", 2);
  return HEADS.has(first) || OWN_HEAD.test(first) || (BASE_PREFIXES.has(first) && HEADS.has(second));
}

/** LlamaForCausalLM -> ForCausalLM, GPT2LMHeadModel -> LMHeadModel, BertModel -> Model; null for other names. */
export function kindOfClass(architecture: string | null): string | null {
  return /(For[A-Z]\w*|LMHead\w*|DoubleHeads\w*|Model)$/.exec(architecture ?? "")?.[1] ?? null;
}

/** Is a model of class `driver` complete without this head of its base, which has class `raw`? False if nothing tells. */
export function doesWithoutHead(name: string, raw: string | null, driver: string | null): boolean {
  const [rawKind, kind] = [kindOfClass(raw), kindOfClass(driver)];
  if (kind === null) {
    return false;
  }
  const rule = NEEDED.find(([pattern]) => pattern.test(name));
  return rule === undefined ? rawKind !== null && rawKind !== kind : !rule[1].test(kind);
}
