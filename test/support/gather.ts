/** The plainest way to a tensor's bytes, as the tests' own measure of ranges and strides: one element after the other. */
import { dtypeBits } from "../../src/formats/dtype.js";
import type { TensorInfo } from "../../src/formats/tensor-info.js";

/** Contiguous little-endian bytes of `tensor` out of the whole file. */
export function gather(file: Uint8Array, { dtype, shape, range, strides, bigEndian }: TensorInfo): Buffer {
  const bytes = Buffer.from(file.subarray(range.begin, range.end));
  const width = dtypeBits(dtype) / 8;
  const elements =
    strides === undefined
      ? bytes
      : Buffer.concat(offsets(shape, strides).map((at) => bytes.subarray(at * width, (at + 1) * width)));
  for (let at = 0; bigEndian && at < elements.length; at += width) {
    elements.subarray(at, at + width).reverse();
  }
  return elements;
}

/** Element offsets in C order of the indices. */
function offsets(shape: readonly number[], strides: readonly number[]): readonly number[] {
  return shape.reduceRight<readonly number[]>(
    (inner, size, dimension) =>
      Array.from({ length: size }, (_, index) => inner.map((at) => at + index * (strides[dimension] ?? 0))).flat(),
    [0],
  );
}
