/** The files consolidated.NN.pth of Meta's layout: their names, and whether all files of one model are there and no others. */
import { WeightDiffError } from "../../../errors.js";
import type { TensorInfo } from "../../../formats/tensor-info.js";

/** One consolidated.NN.pth with its header. */
export interface MetaPart {
  /** Bare name. */
  readonly file: string;
  readonly tensors: readonly TensorInfo[];
}

/** Is this the name of a weight file in Meta's layout? */
export function isMetaPart(file: string): boolean {
  return /^consolidated\.\d{2}\.pth$/.test(file);
}

export function metaPartName(part: number): string {
  return `consolidated.${String(part).padStart(2, "0")}.pth`;
}

/** @throws {WeightDiffError} NOT_FOUND if the numbers do not run from 00 without a gap. */
export function refuseGaps(parts: readonly MetaPart[], directory: string): void {
  const there = new Set(parts.map(({ file }) => file));
  const highest = parts.reduce((most, { file }) => Math.max(most, Number(file.split(".")[1])), 0);
  const missing = Array.from({ length: highest + 1 }, (_, part) => metaPartName(part)).filter(
    (file) => !there.has(file),
  );
  if (missing.length > 0) {
    throw missingParts(directory, [...there], missing, highest + 1);
  }
}

/** The query matrix is square as a whole. So its rows in one part tell how many parts there are. */
export function refuseOtherCount(
  parts: readonly MetaPart[],
  hiddenSize: number,
  queryRows: number,
  directory: string,
): void {
  const wanted = hiddenSize / queryRows;
  if (!Number.isInteger(wanted) || wanted < 1 || wanted > 100) {
    throw new WeightDiffError(
      "MISMATCH",
      `${parts[0]?.file ?? ""}: tensor "layers.0.attention.wq.weight" has ${queryRows} rows, which does not divide ${hiddenSize}`,
      "fetch the weights again",
      { at: { file: directory } },
    );
  }
  const files = parts.map(({ file }) => file);
  const missing = Array.from({ length: wanted }, (_, part) => metaPartName(part)).filter(
    (file) => !files.includes(file),
  );
  if (missing.length > 0) {
    throw missingParts(directory, files, missing, wanted);
  }
  if (parts.length > wanted) {
    throw new WeightDiffError(
      "MISMATCH",
      `the shapes in ${files[0]} are of a model of ${wanted} ${wanted === 1 ? "part" : "parts"}, there are ${parts.length}: ${files.join(", ")}`,
      "parts of several models are in one directory: give each model its own",
      { at: { file: directory } },
    );
  }
}

function missingParts(
  directory: string,
  files: readonly string[],
  missing: readonly string[],
  wanted: number,
): WeightDiffError {
  return new WeightDiffError(
    "NOT_FOUND",
    `has ${files.length} of ${wanted} parts of the model (${files.join(", ")}): ${missing.join(", ")} ${missing.length === 1 ? "is" : "are"} missing`,
    `fetch ${missing.join(", ")} from where the others came from`,
    { at: { file: directory } },
  );
}
