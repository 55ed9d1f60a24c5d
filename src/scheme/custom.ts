/** The scheme "custom": a scheme that nobody published, put together from the axes by the user. */
import type { ComputeDtype } from "../engine/job/job.js";
import { WeightDiffError } from "../errors.js";
import { torchName } from "../formats/dtype.js";
import type { NewRows, Scheme } from "./axes.js";

export interface CustomAxes {
  readonly operation: "add" | "subtract";
  readonly arithmetic: ComputeDtype | "stored";
  readonly newRows: NewRows;
  /** As matchesName has them. */
  readonly verbatim: readonly string[];
  readonly driver: "diff" | "raw";
}

/** What a custom scheme is where the user does not say: weight_diff.py's rules, but that new rows are refused. */
export const CUSTOM_DEFAULTS: CustomAxes = {
  operation: "add",
  arithmetic: "F32",
  newRows: "refuse",
  verbatim: [],
  driver: "diff",
};

/** The scheme with these axes; its name states them all. @throws {WeightDiffError} USAGE for a mean of rows that are not F32. */
export function customScheme(axes: CustomAxes): Scheme {
  const { operation, arithmetic, newRows, verbatim, driver } = axes;
  refuseRoundedMean(newRows, arithmetic);
  const words = [
    `--op ${operation}`,
    `--arith ${arithmetic === "stored" ? arithmetic : torchName(arithmetic)}`,
    `--rows ${newRows}`,
    ...verbatim.map((pattern) => `--verbatim ${pattern}`),
    `--driver ${driver}`,
  ];
  return {
    name: `custom ${words.join(" ")}`,
    operation,
    driver,
    // What is subtracted from is always the diff.
    into: operation === "subtract" ? "diff" : driver,
    loading: "models",
    arithmetic,
    output: arithmetic,
    newRows,
    newRowsOf: "embeddings",
    verbatim,
    summed: null,
    prefix: null,
    diffOnly: driver === "raw" ? "drop" : "keep",
    baseOnly: "refuse",
    mends: null,
  };
}

/** torch's mean of a 16-bit matrix is rounded on its way as no published scheme needs it. @throws {WeightDiffError} USAGE. */
export function refuseRoundedMean(newRows: Scheme["newRows"], arithmetic: Scheme["arithmetic"]): void {
  if (newRows === "mean" && arithmetic !== "F32") {
    throw new WeightDiffError("USAGE", "new rows by the mean of the base's: it is taken in float32 only", undefined, {
      advice: [{ to: "choose zero, overlap or refuse", option: "rows" }],
    });
  }
}
