/**
 * How much larger a model is than its files. torch stores shared values once, and views may repeat stored values; safetensors holds every
 * tensor in full. Real models reach 3.2 times their files (mT5, whose embedding has four names).
 */
import { WeightDiffError } from "../errors.js";
import { tensorBytes } from "../formats/dtype.js";
import type { TensorInfo } from "../formats/tensor-info.js";

/** Above so many times the bytes of the files, a note tells it. */
const TOLD = 2;
/** No real model reaches this many times the bytes of its files plus this many bytes. */
export const MOST = { times: 64, bytes: 2 ** 30 } as const;

/** Do `stored` bytes expand beyond what any real model needs? */
export function isPastMost(stored: number, whole: number): boolean {
  return whole > Math.max(MOST.bytes, MOST.times * stored);
}

/**
 * A note about the bytes of the tensors and of the files; null if there is nothing to tell.
 * @throws {WeightDiffError} LIMIT for files made to fill a disk.
 */
export function expansionNote(
  shards: readonly { readonly size: number }[],
  tensors: Iterable<Pick<TensorInfo, "dtype" | "shape">>,
  path: string,
): string | null {
  const stored = shards.reduce((sum, { size }) => sum + size, 0);
  let whole = 0;
  for (const { dtype, shape } of tensors) {
    whole += tensorBytes(dtype, shape) ?? 0;
  }
  if (whole <= TOLD * stored) {
    return null;
  }
  const fact = `its files have ${stored} bytes, its tensors ${whole} once each is written in full: names share what is stored, or views repeat it`;
  if (isPastMost(stored, whole)) {
    throw new WeightDiffError(
      "LIMIT",
      `${fact}; at most ${MOST.times} times as much is read`,
      "if you trust its origin, load it with torch, drop the names that are not needed, and save the rest with safetensors",
      { at: { file: path } },
    );
  }
  return fact;
}
