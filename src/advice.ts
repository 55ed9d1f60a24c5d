/**
 * What the user may do about an error, a warning or a note, as data: options and commands by name. Whoever shows the advice decides how to
 * spell an option: as a flag, or as a field of an object.
 */

export type Advice = OptionAdvice | CommandAdvice;

/** To call the same function again with another option: { to: "continue it", option: "mode", value: "resume" }. */
export interface OptionAdvice {
  /** What the option does, in the imperative: "start over", "go on all the same". */
  readonly to: string;
  /** A field of the function's options. "hub.cache" is the field `cache` in the field `hub`. */
  readonly option: string;
  /** The value to give. Left out where any other value may help. */
  readonly value?: AdvisedValue;
  /** The values to choose from, the best one first, each with its meaning. */
  readonly among?: readonly { readonly value: AdvisedValue; readonly means: string }[];
  /** The advice holds only after the hint was followed. It does not replace the hint. */
  readonly afterwards?: true;
}

/** To use another command: { to: "make a diff of it", command: "make-diff", options: { raw: "llama-7b", … } }. */
export interface CommandAdvice {
  readonly to: string;
  readonly command: "recover" | "make-diff" | "convert" | "verify" | "finalize" | "schemes" | "chain-materialize";
  /** Options of that command. Values may be objects with fields of their own. */
  readonly options: Readonly<Record<string, unknown>>;
}

export type AdvisedValue = string | number | boolean | null;

/** Takes a note or a warning: one sentence in lower case, without a full stop. `advice` lists the options that change what it reports. */
export type Say = (text: string, advice?: readonly Advice[]) => void;

/** The arguments of one call of `Say`. */
export type Note = Parameters<Say>;
