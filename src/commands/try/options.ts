/** What tryModel may be asked, and what it tells. */
import type { Say } from "../../advice.js";
import type { Guard } from "../../evidence/guard-names.js";
import type { StoppedBy } from "../../inference/generate.js";
import type { PromptReason } from "../../inference/prompts.js";
import type { Verdict } from "../../inference/verdict.js";
import type { RunOptions } from "../../run/run-plan.js";

export interface TryOptions extends Omit<RunOptions, "directIo"> {
  /** The model: a directory, a weight file, a Hub cache folder, or the name of a repository. */
  readonly path: string;
  /** The model that it was made from, likewise: what it does on the same texts is the yardstick. */
  readonly base?: string | null;
  /** A question, which is put into the form that the model's family knows; by default the one of the reference scripts. */
  readonly prompt?: string | null;
  /** A text that is sent as it is. */
  readonly text?: string | null;
  /** Ids of tokens, which need no tokenizer. */
  readonly promptIds?: readonly number[] | null;
  /** How many tokens follow, at most. 16 by default. */
  readonly maxNewTokens?: number;
  /** Seconds: no pass begins that would end later, as far as the one before tells. The first one always runs. */
  readonly timeLimit?: number | null;
  /** A folder with the tokenizer; by default the model's own, else the base's. */
  readonly tokenizer?: string | null;
  /** The scheme that the model was recovered with; by default as its manifest says. Some tell the family. */
  readonly scheme?: string | null;
  /** Guards to switch off: "not-a-model" runs a diff. */
  readonly ignore?: readonly Guard[];
  /** Called with each piece of the text that follows, as it comes. */
  readonly onText?: ((text: string) => void) | undefined;
  /** Called once the first pass has told everything but the text. */
  readonly onFirst?: ((first: TryFirst) => void) | undefined;
  /** Called with every sentence a user should read, as soon as it is known. */
  readonly onNote?: Say;
  /** Called with what may be wrong; the run goes on. */
  readonly onWarning?: Say;
}

/** A token that may come next. */
export interface NextToken {
  readonly id: number;
  /** Null without a tokenizer. */
  readonly text: string | null;
  readonly probability: number;
}

/** What the model was asked, and what the first pass told of the answer. */
export interface TryFirst {
  readonly path: string;
  readonly family: string;
  readonly layers: number;
  /** Rows of the embedding. */
  readonly vocabulary: number;
  readonly prompt: {
    /** Whose form it has: "Tulu"; null: the text as it was given. */
    readonly form: string | null;
    readonly reason: PromptReason;
    /** As it was sent; null where only ids were given. */
    readonly text: string | null;
    readonly ids: readonly number[];
  };
  /** The file that was used; null without. */
  readonly tokenizer: string | null;
  /** The likeliest, best first. Empty where the model is broken. */
  readonly next: readonly NextToken[];
}

/** Nats per token of a text, by the model and by its base. */
export interface TextFigure {
  readonly loss: number;
  readonly base: number | null;
}

export interface TryReport extends TryFirst {
  readonly base: string | null;
  /** What followed, without the tokens that have no text. Null without a tokenizer. */
  readonly text: string | null;
  readonly ids: readonly number[];
  /** Why no more followed; null where the model is broken. */
  readonly stopped: StoppedBy | null;
  /** ln of the vocabulary: nats per token of guessing. */
  readonly guessing: number;
  /** Of the beginning of the Declaration of Independence; null without a tokenizer, or where the model is broken. */
  readonly known: TextFigure | null;
  /** Of an answer in the family's own form; null where no family is known, too. */
  readonly form: TextFigure | null;
  /** The base's loss less the model's, of that answer. */
  readonly gain: number | null;
  readonly verdict: Verdict;
  /** Where the model's values stop being numbers; null where they do not. */
  readonly brokenFrom: string | null;
  /** Passes over all weights, and their bytes. */
  readonly passes: number;
  readonly bytesRead: number;
  readonly seconds: number;
  readonly peakBytes: number;
}

export const TRY_DEFAULTS = { maxNewTokens: 16 } as const;
