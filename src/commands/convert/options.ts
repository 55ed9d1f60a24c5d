/** What convert may be asked, and what it tells. */
import type { MakingOptions, MakingReport } from "../../make/recipe.js";
import type { ConvertManifest } from "../../manifest/manifest.js";

export interface ConvertOptions extends Omit<MakingOptions, "invFreq" | "rows" | "ignore"> {
  /** Meta's directory, with params.json and consolidated.NN.pth, or the name of a Hub repository with that layout. */
  readonly source: string;
  /** The folder for the model; "-" writes one file to stdout (docs/recover.md). */
  readonly output: string;
  /** The dtype of the tensors that are written; by default each keeps the one it is stored in. */
  readonly dtype?: "F32" | "F16" | "BF16" | null;
}

export interface ConvertReport extends Omit<MakingReport, "newRows"> {
  /** The dtypes that are written, as config.json spells them: "float16". */
  readonly dtype: string;
  /** "planned": a dry run. "verified": the output was complete already. "part": one part of it. */
  readonly outcome: "converted" | "planned" | "verified" | "part";
  readonly tensors: ConvertManifest["tensors"];
  /** How many finite values of a tensor the output dtype cannot hold; only tensors that have some. */
  readonly overflow: ReadonlyMap<string, number>;
}
