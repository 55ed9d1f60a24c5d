/** Which models a script loads as language models with an output head: those that AutoModelForCausalLM takes (transformers 5.23.0). */
import { tiedByDefault } from "../checkpoint/tied-families.js";

/** The endings of their class names. */
const CLASS = /(ForCausalLM|LMHeadModel|LMHead|WithLMHead|ForMaskedLM|ForPreTraining|GenerationDecoder)$/;
/** Families of which it loads the model with several towers. */
const TOWERED: ReadonlySet<string> = new Set([
  "fuyu",
  "gemma3",
  "gemma3n",
  "gemma4",
  "gemma4_unified",
  "got_ocr2",
  "moss_transcribe_diarize",
]);

/**
 * Null if the config tells neither family nor class.
 * @param modelType model_type of config.json.
 * @param architecture the class as which the model was saved.
 */
export function isLanguageModel(modelType: string | null, architecture: string | null): boolean | null {
  return architecture === null
    ? tiedByDefault(modelType) === null
      ? null
      : true
    : CLASS.test(architecture) || (TOWERED.has(modelType ?? "") && architecture.endsWith("ForConditionalGeneration"));
}
