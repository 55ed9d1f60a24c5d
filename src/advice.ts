/**
 * What may be done about an error, a warning or a note, as data: options and commands by name. How they are spelled (a flag, a field
 * of an object) is for whoever shows it to say.
 */

export type Advice = OptionAdvice | CommandAdvice;

/** To ask the same function for something else: { to: "continue it", option: "mode", value: "resume" }. */
export interface OptionAdvice {
  /** What it does, as a command: "start over", "go on all the same". */
  readonly to: string;
  /** A field of the function's options; "hub.cache" for one within another. */
  readonly option: string;
  /** What it should be; left out where any other value may help. */
  readonly value?: AdvisedValue;
  /** The values to choose from, the best first, each with what it means. */
  readonly among?: readonly { readonly value: AdvisedValue; readonly means: string }[];
  /** Only once the hint is followed, and not in place of it. */
  readonly afterwards?: true;
}

/** To use another command: { to: "make a diff of it", command: "make-diff", options: { raw: "llama-7b", … } }. */
export interface CommandAdvice {
  readonly to: string;
  readonly command: "recover" | "make-diff" | "convert" | "verify" | "finalize" | "schemes";
  /** Fields of that command's options, and fields of fields. */
  readonly options: Readonly<Record<string, unknown>>;
}

export type AdvisedValue = string | number | boolean | null;

/** Takes a note or a warning: one sentence in lower case, without a full stop; `advice` says which options change what it says. */
export type Say = (text: string, advice?: readonly Advice[]) => void;

/** One note, as `Say` takes it. */
export type Note = Parameters<Say>;
