/**
 * The limit for the headers of one checkpoint together, in however many files. A header takes many times its size in memory, and a few
 * bytes of one can name the next file.
 */
import { WeightDiffError } from "../errors.js";

/** What is left. Readers subtract from it. */
export interface HeaderBudget {
  bytes: number;
  tensors: number;
}

/** Mixtures of hundreds of experts have 150,000 tensors, in headers of 20 MB, or in pickles and zip directories of 40 MB. */
const MOST = { bytes: 64_000_000, tensors: 200_000 } as const;
const WHOLE =
  "no model has so much: the file is damaged or was made to fill the memory; do not use it unless you trust its origin";

export function headerBudget(): HeaderBudget {
  return { ...MOST };
}

/** @param file the file that holds them. @throws {WeightDiffError} LIMIT before the bytes are read. */
export function takeBytes(budget: HeaderBudget, bytes: number, file: string): void {
  take(
    budget,
    "bytes",
    bytes,
    file,
    `the headers of the checkpoint take more than ${MOST.bytes} bytes: this one has ${bytes}`,
  );
}

/** @param file the file that holds them. @throws {WeightDiffError} LIMIT. */
export function takeTensors(budget: HeaderBudget, tensors: number, file: string): void {
  take(budget, "tensors", tensors, file, `the checkpoint has more than ${MOST.tensors} tensors`);
}

function take(budget: HeaderBudget, what: keyof HeaderBudget, count: number, file: string, fact: string): void {
  if (count > budget[what]) {
    throw new WeightDiffError("LIMIT", fact, WHOLE, { at: { file } });
  }
  budget[what] -= count;
}
