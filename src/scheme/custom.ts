/** The scheme "custom", which the user puts together from the axes. */
import type { ComputeDtype } from "../engine/job/job.js";
import { WeightDiffError } from "../errors.js";
import { torchName } from "../formats/dtype.js";
import type { NewRows, Scheme } from "./axes.js";

export interface CustomAxes {
  readonly operation: "add" | "subtract";
  readonly arithmetic: ComputeDtype | "stored";
  readonly newRows: NewRows;
  /** Patterns as matchesName takes them. */
  readonly verbatim: readonly string[];
  readonly driver: "diff" | "raw";
}

/** The values of axes that the user leaves open: the rules of weight_diff.py, except that new rows are refused. */
export const CUSTOM_DEFAULTS: CustomAxes = {
  operation: "add",
  arithmetic: "F32",
  newRows: "refuse",
  verbatim: [],
  driver: "diff",
};

/** The scheme with these axes. Its name states all of them. @throws {WeightDiffError} USAGE for a mean of rows that are not F32. */
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
    // Subtraction always happens in the diff's tensor.
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

/**
 * torch rounds the mean of a 16-bit matrix on its way. No published scheme needs that, so it is not supported.
 * @throws {WeightDiffError} USAGE.
 */
export function refuseRoundedMean(newRows: Scheme["newRows"], arithmetic: Scheme["arithmetic"]): void {
  if (newRows === "mean" && arithmetic !== "F32") {
    throw new WeightDiffError("USAGE", "new rows by the mean of the base's: it is taken in float32 only", undefined, {
      advice: [{ to: "choose zero, overlap or refuse", option: "rows" }],
    });
  }
}
