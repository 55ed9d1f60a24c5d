/** The options of report, and its result. */
import type { Say } from "../../advice.js";
import type { Guard } from "../../evidence/guard-names.js";
import type { SchemeOptions } from "../../evidence/scheme.js";
import type { Dtype } from "../../formats/dtype.js";
import type { RunFigures, RunOptions } from "../../run/run-plan.js";

export interface ReportOptions extends RunOptions, SchemeOptions {
  /** The base: a directory, a weight file, a Hub cache folder, or the name of a repository. Null reports a diff alone. */
  readonly raw?: string | null;
  /** The tuned model or a diff, given likewise. A diff is applied to the base on the way. */
  readonly path: string;
  /** A new file for the heat map as a picture (SVG); null makes none. */
  readonly svg?: string | null;
  /** A new file for the whole report, as one HTML page that loads nothing; null makes none. */
  readonly out?: string | null;
  /** Guards to switch off (docs/checks.md). */
  readonly ignore?: readonly Guard[];
  /** Called with every note for the user, as soon as it is known. */
  readonly onNote?: Say;
  /** Called with every warning. The run goes on. */
  readonly onWarning?: Say;
}

/** How far some elements moved. If none of them has arithmetic, every figure except the counts is null. */
export interface Change {
  readonly elements: number;
  /** How many of them the base has too, and how many of those have another value. */
  readonly compared: number;
  readonly changed: number;
  /** The Frobenius norms of the base's elements, of the tuned ones, and of their difference. */
  readonly baseNorm: number | null;
  readonly tunedNorm: number | null;
  readonly differenceNorm: number | null;
  /** differenceNorm / baseNorm; null if the base is zero. */
  readonly relative: number | null;
  /** The largest |tuned - base|. */
  readonly largest: number | null;
  /** Between the base's elements and the tuned ones. */
  readonly cosine: number | null;
  /**
   * Counts of elements by the number of steps between the base's value (rounded to the tuned dtype) and the tuned one: 0, 1, 2-3, 4-7, 8-15
   * …
   */
  readonly steps: readonly number[] | null;
  /** Bits for each element that the differences would take with an ideal coder which knows the base (docs/formats.md 3). */
  readonly bits: number | null;
}

export interface TensorChange extends Change {
  readonly name: string;
  /** The first number in the name; null if it has none. */
  readonly layer: number | null;
  /** The name after that number: "self_attn.q_proj.weight". Further numbers become "*". */
  readonly module: string;
  readonly shape: readonly number[];
  /** The dtype of the tuned tensor, and that of the base's; null if the base lacks it. */
  readonly dtype: Dtype;
  readonly baseDtype: Dtype | null;
  /** The number of rows that the base lacks. */
  readonly newRows: number;
}

/** A row of an embedding that moved. */
export interface TokenChange {
  readonly row: number;
  /** The token in the tokenizer's files; null if they do not tell. */
  readonly token: string | null;
  readonly differenceNorm: number;
  /** The distance relative to the norm of the base's row; null if that is zero. */
  readonly relative: number | null;
}

export interface ChangeReport extends Pick<RunFigures, "bytesRead" | "seconds" | "peakBytes" | "threads"> {
  /** Null for a diff alone. Figures that need the base's values are then null, and `changed` counts what is not zero. */
  readonly base: string | null;
  readonly path: string;
  /** The scheme by whose rules a diff was applied; null for a tuned model. */
  readonly scheme: string | null;
  readonly total: Change;
  /** Ordered by name, with numbers by value. */
  readonly tensors: readonly TensorChange[];
  /**
   * All tensors of one module in all layers, in the order of first appearance. Tensors outside the layers have `module` null and are left
   * out.
   */
  readonly modules: readonly (Change & { readonly module: string; readonly tensors: number })[];
  readonly layers: readonly (Change & { readonly layer: number; readonly tensors: number })[];
  /** The rows of each embedding that moved most. */
  readonly embeddings: readonly { readonly name: string; readonly tokens: readonly TokenChange[] }[];
}
