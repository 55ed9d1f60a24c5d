/** What try sends to the model: the prompt of the user, in the form of the model's family, as ids. */
import type { Checkpoint } from "../../checkpoint/checkpoint.js";
import { WeightDiffError } from "../../errors.js";
import type { LanguageModel } from "../../inference/model.js";
import { asked, type PromptForm, promptFormOf, QUESTION } from "../../inference/prompts.js";
import type { TextTokenizer } from "../../inference/tokenizer.js";
import { promptEvidence } from "./files.js";
import type { OpenOptions, TryFirst, TryOptions } from "./options.js";

/** @throws {WeightDiffError} USAGE for more than one of question, text and ids. */
export function refuseTwoPrompts({ prompt, text, promptIds }: TryOptions): void {
  if ([prompt, text, promptIds].filter((given) => given != null).length > 1) {
    throw new WeightDiffError("USAGE", "more than one prompt", "give a question, a text or ids, one of them");
  }
}

/** The prompt, with the form that it has; null for a text sent unchanged. */
export interface Prompt extends Omit<TryFirst["prompt"], "form"> {
  readonly form: PromptForm | null;
}

/** The ids to send. @throws {WeightDiffError} USAGE if there are none, too many, or one past the last row. */
export async function promptOf(
  checkpoint: Checkpoint,
  tokenizer: TextTokenizer | null,
  model: LanguageModel,
  options: OpenOptions,
): Promise<Prompt> {
  const { form, reason } = promptFormOf(await promptEvidence(checkpoint, options.scheme ?? null));
  if (options.promptIds != null) {
    return checkedPrompt({ form, reason: { by: "asked" }, text: null, ids: options.promptIds }, model);
  }
  if (tokenizer === null) {
    throw new WeightDiffError(
      "NOT_FOUND",
      options.tokenizer == null ? "no tokenizer beside the weights" : "no tokenizer in it",
      "it needs tokenizer.json, or a tokenizer.model like LLaMA's",
      {
        at: { file: options.tokenizer ?? checkpoint.path },
        advice: [
          { to: "name a folder that has it", option: "tokenizer" },
          { to: "send ids", option: "promptIds", value: "1,450" },
        ],
      },
    );
  }
  const given = options.text ?? asked(form, options.prompt ?? QUESTION);
  // Half a surrogate pair is not a character, so no tokenizer has an id for it. Bytes that are not UTF-8 have become U+FFFD before.
  const text = given.replace(/\p{Surrogate}/gu, "\ufffd");
  if (text.includes("\ufffd")) {
    options.onWarning?.("the prompt holds half a character, or bytes that are not UTF-8: they are sent as U+FFFD");
  }
  const why = options.text == null ? reason : ({ by: "asked" } as const);
  return checkedPrompt({ form, reason: why, text, ids: await tokenizer.encode(text) }, model);
}

function checkedPrompt(prompt: Prompt, { vocabulary, positions }: LanguageModel): Prompt {
  const { ids } = prompt;
  const past = ids.find((id) => id >= vocabulary);
  const fact =
    ids.length === 0
      ? "an empty prompt has no token, and this tokenizer adds none before a text"
      : past !== undefined
        ? `the prompt has the id ${past}, but the model's embedding has ${vocabulary} rows`
        : ids.length > positions
          ? `the prompt has ${ids.length} tokens, but the model was made for ${positions} (max_position_embeddings)`
          : null;
  if (fact !== null) {
    throw new WeightDiffError("USAGE", fact, "give another prompt");
  }
  return prompt;
}
