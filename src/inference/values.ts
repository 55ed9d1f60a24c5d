/** Reads single values of a checkpoint: norms, biases, rows of the embedding. */
import type { StoredTensor } from "../checkpoint/checkpoint.js";
import { type Place, readElements } from "../checkpoint/elements.js";
import { ELEMENT_BYTES, fromBits, widenBF16, widenF16 } from "../kernel/bits.js";

/** The supported dtypes. */
const RUN_DTYPES = ["F32", "F16", "BF16"] as const;
type RunDtype = (typeof RUN_DTYPES)[number];

export function isRunDtype(dtype: string): dtype is RunDtype {
  return RUN_DTYPES.some((name) => name === dtype);
}

/** The values at these places as F32, in order. @throws {WeightDiffError} as readElements. */
export async function readFloats(places: readonly Place[]): Promise<readonly Float32Array[]> {
  const read = await readElements(places);
  return read.map((bytes, index) => floatsOf(bytes, places[index]?.tensor as StoredTensor));
}

function floatsOf(bytes: Uint8Array, { dtype, bigEndian }: Pick<StoredTensor, "dtype" | "bigEndian">): Float32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const little = bigEndian !== true;
  if (!isRunDtype(dtype)) {
    throw new TypeError(`${dtype} is not run`);
  }
  const bits = {
    F32: (at: number) => view.getUint32(at, little),
    F16: (at: number) => widenF16(view.getUint16(at, little)),
    BF16: (at: number) => widenBF16(view.getUint16(at, little)),
  }[dtype];
  const width = ELEMENT_BYTES[dtype];
  return Float32Array.from({ length: bytes.length / width }, (_, i) => fromBits(bits(i * width)));
}
