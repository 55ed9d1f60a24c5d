/** The options of convert, and its report. */
import type { MakingOptions, MakingReport } from "../../make/recipe.js";
import type { ConvertManifest } from "../../manifest/manifest.js";

export interface ConvertOptions extends Omit<MakingOptions, "invFreq" | "rows" | "ignore"> {
  /** Meta's directory with params.json and consolidated.NN.pth, or the name of a Hub repository in that layout. */
  readonly source: string;
  /** The folder for the model; "-" writes one file to stdout (docs/recover.md). */
  readonly output: string;
  /** The dtype of the written tensors. By default, each keeps its stored dtype. */
  readonly dtype?: "F32" | "F16" | "BF16" | null;
}

export interface ConvertReport extends Omit<MakingReport, "newRows"> {
  /** The written dtypes, spelled as in config.json: "float16". */
  readonly dtype: string;
  /** "planned": a dry run. "verified": the output was already complete. "part": one part of it. */
  readonly outcome: "converted" | "planned" | "verified" | "part";
  readonly tensors: ConvertManifest["tensors"];
  /** How many finite values of a tensor become infinite in the output dtype. Lists only tensors that have such values. */
  readonly overflow: ReadonlyMap<string, number>;
}
