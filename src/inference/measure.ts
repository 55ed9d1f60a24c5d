/**
 * The first pass: what follows the prompt, how well the model knows a known text, and how well it knows an answer in its family's own form.
 */
import type { LanguageModel, Said, Text } from "./model.js";
import { asked, FORM_ANSWER, FORM_QUESTION, KNOWN_TEXT, type PromptForm } from "./prompts.js";
import type { TextTokenizer } from "./tokenizer.js";

/** Ids of the measured texts; null for a text that is not measured. */
export interface MeasuredTexts {
  readonly known: readonly number[] | null;
  readonly form: { readonly ids: readonly number[] /** Where the answer begins. */; readonly answer: number } | null;
}

/** Mean nats per token; null if not measured. */
export interface MeanNats {
  readonly known: number | null;
  readonly form: number | null;
}

/** @param end the model's end token; null if its files name none. @param most the most ids of a text. */
export async function measuredTexts(
  tokenizer: TextTokenizer | null,
  form: PromptForm | null,
  end: number | null,
  most: number,
): Promise<MeasuredTexts> {
  if (tokenizer === null) {
    return { known: null, form: null };
  }
  // An id has a loss only if another precedes it.
  const known = (await tokenizer.encode(KNOWN_TEXT)).slice(0, most);
  return {
    known: known.length < 2 ? null : known,
    form: form === null ? null : await formText(tokenizer, form, end, most),
  };
}

async function formText(
  tokenizer: TextTokenizer,
  form: PromptForm,
  end: number | null,
  most: number,
): Promise<MeasuredTexts["form"]> {
  const question = asked(form, FORM_QUESTION);
  const alone = await tokenizer.encode(question);
  const whole = await tokenizer.encode(question + form.lead + FORM_ANSWER + (form.ends ?? ""));
  const ids = form.ends === null && end !== null && whole.at(-1) !== end ? [...whole, end] : whole;
  let answer = 0;
  while (answer < alone.length && alone[answer] === ids[answer]) {
    answer++;
  }
  return answer === 0 || answer >= ids.length || ids.length > most ? null : { ids, answer };
}

/** The texts that a model can take: those whose ids it has. */
export function textsFor(
  { known, form }: MeasuredTexts,
  { vocabulary }: Pick<LanguageModel, "vocabulary">,
): MeasuredTexts {
  const has = (ids: readonly number[]): boolean => ids.every((id) => id < vocabulary);
  return { known: known !== null && has(known) ? known : null, form: form !== null && has(form.ids) ? form : null };
}

/** One pass over the measured texts and over others. */
export async function measure(
  model: LanguageModel,
  { known, form }: MeasuredTexts,
  others: readonly Text[],
  onProgress: (bytes: number) => void,
): Promise<MeanNats & { readonly others: readonly Said[] }> {
  const losses = (ids: readonly number[]): Text => ({ key: null, ids, wanted: "losses" });
  const texts = [...others, ...(known === null ? [] : [losses(known)]), ...(form === null ? [] : [losses(form.ids)])];
  if (texts.length === 0) {
    return { known: null, form: null, others: [] };
  }
  const said = await model.pass(texts, onProgress);
  const mean = (found: Float64Array | null | undefined, from: number): number | null =>
    found == null || found.length <= from
      ? null
      : found.slice(from).reduce((sum, nats) => sum + nats, 0) / (found.length - from);
  return {
    known: known === null ? null : mean(said[others.length]?.losses, 0),
    form: form === null ? null : mean(said.at(-1)?.losses, form.answer - 1),
    others: said.slice(0, others.length),
  };
}
