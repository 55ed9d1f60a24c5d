/**
 * How each family of fine-tuned models was prompted in its training, and how its answers end. Sources: train.py of
 * tatsu-lab/stanford_alpaca (PROMPT_DICT), open_instruct/finetune.py of allenai/open-instruct, fastchat/conversation.py of FastChat 0.2.36,
 * and the models' cards.
 */

export interface PromptForm {
  /** For example "Tulu". */
  readonly name: string;
  /** The text before and after the user's question. */
  readonly before: string;
  readonly after: string;
  /** The text between `after` and the answer. */
  readonly lead: string;
  /** The text that ends an answer; null if it is the model's own end token. */
  readonly ends: string | null;
  /** The source of the form. */
  readonly source: string;
  /** Names of this family's repositories and folders; null if names do not tell. */
  readonly named: RegExp | null;
  /** Schemes that only this family uses. */
  readonly schemes: readonly string[];
}

const CURIOUS = (who: string): string =>
  `A chat between a curious ${who} and an artificial intelligence assistant. The assistant gives helpful, detailed, and polite answers to the ${who}'s questions.`;

const ALPACA =
  "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n### Instruction:\n";

/** The first form whose name matches counts: open-instruct's models of others' data are prompted like its own. */
export const PROMPT_FORMS: readonly PromptForm[] = [
  {
    name: "Tulu",
    before: "<|user|>\n",
    after: "\n<|assistant|>\n",
    lead: "",
    ends: null,
    source: "the model cards of allenai/tulu-7b and open_instruct/finetune.py",
    named: /(^|[-_/])(tulu|open-instruct)/i,
    schemes: ["open-instruct"],
  },
  {
    name: "Alpaca",
    before: ALPACA,
    after: "\n\n### Response:",
    lead: "",
    ends: null,
    source: "PROMPT_DICT of stanford_alpaca's train.py",
    named: /(^|[-_/])alpaca/i,
    schemes: ["alpaca", "alpaca-farm"],
  },
  {
    name: "Vicuna v0",
    before: `${CURIOUS("human")}\n### Human: `,
    after: "\n### Assistant:",
    lead: " ",
    ends: "###",
    source: "fastchat/conversation.py",
    named: /vicuna.*v0/i,
    schemes: ["fastchat-v0"],
  },
  {
    name: "Vicuna v1.1",
    before: `${CURIOUS("user")} USER: `,
    after: " ASSISTANT:",
    lead: " ",
    ends: null,
    source: "fastchat/conversation.py",
    named: /vicuna.*v1\.\d|(^|[-_/])llava/i,
    schemes: ["llava"],
  },
  {
    name: "Robin (LMFlow)",
    before: `${CURIOUS("human")}\n###Human:\n`,
    after: "\n###Assistant:\n",
    lead: "",
    ends: "###",
    source: "the model cards of OptimalScale's Robin",
    named: /(^|[-_/])robin/i,
    schemes: ["lmflow"],
  },
  {
    name: "Koala",
    before: "BEGINNING OF CONVERSATION: USER: ",
    after: " GPT:",
    lead: " ",
    ends: null,
    source: "fastchat/conversation.py",
    named: /(^|[-_/])koala/i,
    schemes: ["koala"],
  },
  {
    name: "BiLLa",
    before: "\nHuman: ",
    after: "\nAssistant: ",
    lead: "",
    ends: "Human:",
    source: "the model card of Neutralzz/BiLLa-7B-SFT",
    named: /(^|[-_/])billa/i,
    schemes: ["billa"],
  },
  {
    name: "OpenAssistant",
    before: "<|prompter|>",
    after: "</s><|assistant|>",
    lead: "",
    ends: null,
    source: "the model cards of OpenAssistant's oasst-sft models",
    named: /(^|[-_/])(oasst|openassistant)/i,
    schemes: ["oa-xor"],
  },
  {
    name: "Metharme",
    before: "<|system|><|user|>",
    after: "<|model|>",
    lead: "",
    ends: null,
    source: "the model card of PygmalionAI/metharme-7b",
    named: /(^|[-_/])metharme/i,
    schemes: [],
  },
];

/** Why a form was chosen, or none. */
export type PromptReason =
  | { readonly by: "name"; readonly name: string }
  | { readonly by: "scheme"; readonly scheme: string }
  | { readonly by: "template" | "nothing" | "asked" };

export interface PromptEvidence {
  /** "org/name", or the name of the folder. */
  readonly name: string;
  /** The scheme with which the model was recovered; null if unknown. */
  readonly scheme: string | null;
  /** Does the model's folder have a template of its own? */
  readonly template: boolean;
}

/** The form of a model's family: by its name, or by a scheme that only one family uses. Never by elimination. */
export function promptFormOf({ name, scheme, template }: PromptEvidence): {
  readonly form: PromptForm | null;
  readonly reason: PromptReason;
} {
  const named = PROMPT_FORMS.find((form) => form.named?.test(name) === true);
  if (named !== undefined) {
    return { form: named, reason: { by: "name", name } };
  }
  const meant = scheme === null ? undefined : PROMPT_FORMS.find(({ schemes }) => schemes.includes(scheme));
  if (meant !== undefined && scheme !== null) {
    return { form: meant, reason: { by: "scheme", scheme } };
  }
  return { form: null, reason: { by: template ? "template" : "nothing" } };
}

/** The text to send. Without a form, it is the question. */
export function asked(form: PromptForm | null, question: string): string {
  return form === null ? question : form.before + question + form.after;
}

/** The question of the reference scripts. */
export const QUESTION = "List three technologies that make life easier.";
/** The text that the script of this scheme sends; null if the model was not trained on it. Its lines end as on Windows. */
export function scriptText(scheme: string | null): string | null {
  const form = scheme === "alpaca" ? PROMPT_FORMS.find(({ schemes }) => schemes.includes(scheme)) : undefined;
  return form === undefined ? null : asked(form, QUESTION).replaceAll("\n", "\r\n");
}

/**
 * A question that nearly every tuned model answers in the same way. So how well it knows the answer and its end tells how well it knows the
 * form.
 */
export const FORM_QUESTION = "What is the capital of France?";
export const FORM_ANSWER = "The capital of France is Paris.";
/** Public domain, and in every training set. A text that models know by heart tells more than one that they must guess. */
export const KNOWN_TEXT =
  "We hold these truths to be self-evident, that all men are created equal, that they are endowed by their Creator with certain unalienable Rights, that among these are Life, Liberty and the pursuit of Happiness.";
