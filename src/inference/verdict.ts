/** What the figures tell about a model. docs/try.md states the thresholds. The base's own figure is the yardstick, if known. */

/** In nats per token. */
export interface Figures {
  /** ln of the number of embedding rows: the cost of guessing. */
  readonly guessing: number;
  /** On the known text. Null if it could not be measured. */
  readonly loss: number | null;
  readonly baseLoss: number | null;
  /** On an answer in the family's own form: the base's loss minus the model's. Null without a base or a form. */
  readonly gain: number | null;
}

export type VerdictCode = "broken" | "guessing" | "silent" | "worse-than-base" | "speaks" | "unmeasured";

export interface TryVerdict {
  readonly code: VerdictCode;
  /** Is it an error, for a script? */
  readonly failed: boolean;
  /** Does the model know its own form no better than the base does? */
  readonly noGain: boolean;
}

const LIKE_GUESSING = 0.01;
const NEAR_GUESSING = 1;
const FAR_FROM_BASE = 3;
const WORSE_THAN_BASE = 1;
const LEAST_GAIN = 0.1;

/** @param broken were there values that are not finite? */
export function verdictOn({ guessing, loss, baseLoss, gain }: Figures, broken: boolean): TryVerdict {
  const code: VerdictCode = broken
    ? "broken"
    : loss === null
      ? "unmeasured"
      : Math.abs(loss - guessing) <= LIKE_GUESSING
        ? "guessing"
        : loss > guessing - NEAR_GUESSING || (baseLoss !== null && loss > baseLoss + FAR_FROM_BASE)
          ? "silent"
          : baseLoss !== null && loss > baseLoss + WORSE_THAN_BASE
            ? "worse-than-base"
            : "speaks";
  const failed = code === "broken" || code === "guessing" || code === "silent";
  return { code, failed, noGain: !failed && gain !== null && gain < LEAST_GAIN };
}
