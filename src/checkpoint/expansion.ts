/**
 * How much larger a model is than the files that hold it. torch stores once what several names share, and views may repeat what is
 * stored; safetensors holds every tensor in full. Honest models reach 3.2 times their files (mT5, whose embedding has four names).
 */
import { WeightDiffError } from "../errors.js";
import { tensorBytes } from "../formats/dtype.js";
import type { TensorInfo } from "../formats/tensor-info.js";

/** If the tensors have more than so many times the files' bytes, a note says so. */
const TOLD = 2;
/** No model reaches this: so many times its files' bytes, and so many bytes on top. */
export const MOST = { times: 64, bytes: 2 ** 30 } as const;

/** Do `stored` bytes stand for more than any model has them stand for? */
export function isPastMost(stored: number, whole: number): boolean {
  return whole > Math.max(MOST.bytes, MOST.times * stored);
}

/**
 * What to tell of the tensors' bytes against the files'; null where there is nothing to tell.
 * @throws {WeightDiffError} LIMIT for what was made to fill a disk.
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
      `${fact}; more than ${MOST.times} times as much is not read`,
      "if you trust its origin, load it with torch, drop the names that are not needed, and save the rest with safetensors",
      { at: { file: path } },
    );
  }
  return fact;
}
