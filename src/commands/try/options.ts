/** The options of tryModel, and its report. */
import type { Say } from "../../advice.js";
import type { Guard } from "../../evidence/guard-names.js";
import type { Hub } from "../../hub/place.js";
import type { StoppedBy } from "../../inference/generate.js";
import type { PromptReason } from "../../inference/prompts.js";
import type { TryVerdict } from "../../inference/verdict.js";
import type { RunOptions } from "../../run/run-plan.js";

export interface TryOptions extends Omit<RunOptions, "directIo"> {
  /** The model: a directory, a weight file, a Hub cache folder, or the name of a repository. */
  readonly path: string;
  /** The model that it was made from, given likewise. Its figures on the same texts are the yardstick. */
  readonly base?: string | null;
  /** A question, which is put into the form that the model's family knows. The default is the question of the reference scripts. */
  readonly prompt?: string | null;
  /** A text that is sent unchanged. */
  readonly text?: string | null;
  /** Token ids, which need no tokenizer. */
  readonly promptIds?: readonly number[] | null;
  /** The most tokens to generate. 16 by default. */
  readonly maxNewTokens?: number;
  /** In seconds: no pass begins that would end later, by the duration of the one before. The first pass always runs. */
  readonly timeLimit?: number | null;
  /** A folder with the tokenizer. By default the model's own, or else the base's. */
  readonly tokenizer?: string | null;
  /** The scheme with which the model was recovered. By default, its manifest tells. Some schemes tell the family. */
  readonly scheme?: string | null;
  /** Guards to switch off: "not-a-model" runs a diff. */
  readonly ignore?: readonly Guard[];
  /** Called with each piece of the generated text, as it comes. */
  readonly onText?: ((text: string) => void) | undefined;
  /** Called after the first pass with everything but the text. */
  readonly onFirst?: ((first: TryFirst) => void) | undefined;
  /** Called with every note for the user, as soon as it is known. */
  readonly onNote?: Say;
  /** Called with every warning. The run goes on. */
  readonly onWarning?: Say;
}

/** The same options with the Hub opened. */
export type OpenOptions = TryOptions & { readonly hub: Hub };

/** A token that may come next. */
export interface NextToken {
  readonly id: number;
  /** Null without a tokenizer. */
  readonly text: string | null;
  readonly probability: number;
}

/** The prompt, and what the first pass shows about the answer. */
export interface TryFirst {
  readonly path: string;
  readonly family: string;
  readonly layers: number;
  /** Rows of the embedding. */
  readonly vocabulary: number;
  readonly prompt: {
    /** The family whose form the prompt has, for example "Tulu"; null if the text was sent unchanged. */
    readonly form: string | null;
    readonly reason: PromptReason;
    /** The prompt as it was sent; null if only ids were given. */
    readonly text: string | null;
    readonly ids: readonly number[];
  };
  /** The tokenizer file that was used; null if none. */
  readonly tokenizer: string | null;
  /** The likeliest tokens, best first. Empty if the model is broken. */
  readonly next: readonly NextToken[];
}

/** Nats per token of a text, for the model and for its base. */
export interface TextFigure {
  readonly loss: number;
  readonly base: number | null;
}

export interface TryReport extends TryFirst {
  readonly base: string | null;
  /** The generated text, without tokens that have no text. Null without a tokenizer. */
  readonly text: string | null;
  readonly ids: readonly number[];
  /** Why the text ended; null if the model is broken. */
  readonly stopped: StoppedBy | null;
  /** ln of the vocabulary: the nats per token of guessing. */
  readonly guessing: number;
  /** The figure for the beginning of the Declaration of Independence; null without a tokenizer, or if the model is broken. */
  readonly known: TextFigure | null;
  /** The figure for an answer in the family's own form; null also if no family is known. */
  readonly form: TextFigure | null;
  /** The base's loss on that answer minus the model's. */
  readonly gain: number | null;
  readonly verdict: TryVerdict;
  /** The tensor from which on the model's values are no longer finite; null if all are. */
  readonly brokenFrom: string | null;
  /** The number of passes over all weights, and the bytes that they read. */
  readonly passes: number;
  readonly bytesRead: number;
  readonly seconds: number;
  readonly peakBytes: number;
}

export const TRY_DEFAULTS = { maxNewTokens: 16 } as const;
