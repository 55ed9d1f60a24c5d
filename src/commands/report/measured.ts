/** The result of one pass over the weights, tensor by tensor. */
import { join } from "node:path";
import type { Checkpoint } from "../../checkpoint/checkpoint.js";
import type { Measured } from "../../engine/job/result.js";
import { WeightDiffError } from "../../errors.js";
import type { Manifest } from "../../manifest/manifest.js";
import { readManifest } from "../../manifest/read.js";
import { MANIFEST } from "../../output/state.js";
import type { TensorChange } from "./options.js";

export interface MeasuredTensor extends Pick<TensorChange, "name" | "dtype" | "shape" | "baseDtype" | "newRows"> {
  readonly measured: Measured;
}

export interface MeasuredRun {
  readonly tensors: readonly MeasuredTensor[];
  /** The checkpoints whose tokenizers name the tokens of rows, in this order. */
  readonly models: readonly Checkpoint[];
  readonly scheme: string | null;
  readonly bytesRead: number;
  readonly threads: number;
}

/** The manifest; null if there is none, or if it cannot be read. recover itself reports a bad manifest. @throws {TypeError} for bugs. */
export async function soundManifest({ directory }: Checkpoint): Promise<Manifest | null> {
  return directory === null
    ? null
    : readManifest(join(directory, MANIFEST)).catch((error: unknown) => {
        if (error instanceof WeightDiffError) {
          return null;
        }
        throw error;
      });
}
