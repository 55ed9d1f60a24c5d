/** What report may be asked, and what it tells. */
import type { Say } from "../../advice.js";
import type { Guard } from "../../evidence/guard-names.js";
import type { SchemeOptions } from "../../evidence/scheme.js";
import type { Dtype } from "../../formats/dtype.js";
import type { RunFigures, RunOptions } from "../../run/run-plan.js";

export interface ReportOptions extends RunOptions, SchemeOptions {
  /** The base: a directory, a weight file, a Hub cache folder, or the name of a repository; null: a diff is told of alone. */
  readonly raw?: string | null;
  /** What became of it: a diff, which is applied to the base on the way, or a tuned model; likewise. */
  readonly path: string;
  /** A new file for the heat map, as a picture (SVG); null makes none. */
  readonly svg?: string | null;
  /** A new file for everything, as one page that loads nothing (HTML); null makes none. */
  readonly out?: string | null;
  /** Guards to switch off (docs/checks.md). */
  readonly ignore?: readonly Guard[];
  /** Called with every sentence a user should read, as soon as it is known. */
  readonly onNote?: Say;
  /** Called with what may be wrong; the run goes on. */
  readonly onWarning?: Say;
}

/** How far some elements moved. Of no elements that are computed with, every figure but the counts is null. */
export interface Change {
  readonly elements: number;
  /** Of them, those that the base has too, and those of these whose value is another. */
  readonly compared: number;
  readonly changed: number;
  /** The Frobenius norm of the base's elements, of the tuned ones', and of their difference. */
  readonly baseNorm: number | null;
  readonly tunedNorm: number | null;
  readonly differenceNorm: number | null;
  /** differenceNorm / baseNorm; null where the base is zero. */
  readonly relative: number | null;
  /** The largest |tuned - base|. */
  readonly largest: number | null;
  /** Between the base's elements and the tuned ones'. */
  readonly cosine: number | null;
  /** Elements by how many steps of value lie between the base's (rounded to the tuned dtype) and the tuned one: 0, 1, 2-3, 4-7, 8-15 … */
  readonly steps: readonly number[] | null;
  /** Bits per element that the differences cost an ideal coder which knows the base (docs/formats.md 3). */
  readonly bits: number | null;
}

export interface TensorChange extends Change {
  readonly name: string;
  /** The first number in the name; null without one. */
  readonly layer: number | null;
  /** The name without that number and what is before it: "self_attn.q_proj.weight"; further numbers are "*". */
  readonly module: string;
  readonly shape: readonly number[];
  /** Of the tuned tensor, and of the base's; null where the base has none. */
  readonly dtype: Dtype;
  readonly baseDtype: Dtype | null;
  /** Rows that the base lacks. */
  readonly newRows: number;
}

/** A row of an embedding that moved. */
export interface TokenChange {
  readonly row: number;
  /** As the tokenizer's files have it; null where they do not tell. */
  readonly token: string | null;
  readonly differenceNorm: number;
  /** Over the norm of the base's row; null where that is zero. */
  readonly relative: number | null;
}

export interface ChangeReport extends Pick<RunFigures, "bytesRead" | "seconds" | "peakBytes" | "threads"> {
  /** Null for a diff alone: what hangs on the base's values is null then, and `changed` counts what is not zero. */
  readonly base: string | null;
  readonly path: string;
  /** Was a diff applied, and by which scheme's rules? Null for a tuned model. */
  readonly scheme: string | null;
  readonly total: Change;
  /** By name, numbers in names by value. */
  readonly tensors: readonly TensorChange[];
  /** All tensors of one module, whatever the layer, in the order in which they first come; null in `module` of what lies in no layer. */
  readonly modules: readonly (Change & { readonly module: string; readonly tensors: number })[];
  readonly layers: readonly (Change & { readonly layer: number; readonly tensors: number })[];
  /** The rows of each embedding that moved most. */
  readonly embeddings: readonly { readonly name: string; readonly tokens: readonly TokenChange[] }[];
}
