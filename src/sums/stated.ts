/** The sum of all recovered weights that some scripts write into a text file beside the diff (scheme/axes.ts, sumFile). */
import { join } from "node:path";
import type { Checkpoint } from "../checkpoint/checkpoint.js";
import { WeightDiffError } from "../errors.js";
import { decodeText, openFileSource } from "../files/file-source.js";
import type { Scheme } from "../scheme/axes.js";

export interface StatedSum {
  readonly file: string;
  readonly value: number;
  /** The tolerance of the script, absolute. */
  readonly tolerance: number;
}

/** One number, and white space that Python may write around it. */
const MAX_BYTES = 1000;

/**
 * The sum stated beside the diff. Null if the scheme has none, or if the file is missing.
 * @throws {WeightDiffError} FORMAT_INVALID if the file holds no number; IO.
 */
export async function statedSum({ directory }: Checkpoint, { sumFile }: Scheme): Promise<StatedSum | null> {
  if (directory === null || sumFile === undefined) {
    return null;
  }
  const path = join(directory, sumFile.file);
  const source = await openFileSource(path).catch((error: unknown) => {
    if (error instanceof WeightDiffError && error.code === "NOT_FOUND") {
      return null;
    }
    throw error;
  });
  if (source === null) {
    return null;
  }
  try {
    const text = decodeText(await source.readAt(0, Math.min(source.size, MAX_BYTES)), path).trim();
    const value = text === "" ? Number.NaN : Number(text);
    if (source.size > MAX_BYTES || !Number.isFinite(value)) {
      throw new WeightDiffError("FORMAT_INVALID", "no number", "get the file again, or remove it", {
        at: { file: path },
      });
    }
    // numpy.isclose(stated, found) takes the tolerance relative to the found sum. The stated one is as large, so it serves here.
    return { file: sumFile.file, value, tolerance: sumFile.absolute + sumFile.relative * Math.abs(value) };
  } finally {
    await source.close();
  }
}
