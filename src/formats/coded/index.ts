/** The index of a coded tensor (docs/formats.md 3.2). It follows the windows and has the length and the CRC-32 of each. */
import { type ChainFault, WeightDiffError } from "../../errors.js";
import { DAMAGED } from "../damage.js";
import type { Dtype } from "../dtype.js";
import { quote } from "../quote.js";
import type { ByteRange } from "../tensor-info.js";
import { unitCount, unitOf, WINDOW_UNITS, windowCount } from "./units.js";
import { mostBytes } from "./window.js";

/** Metadata keys: the version of the format of coded tensors, and the list of the tensors. */
export const CODEC_KEY = "weight_diff_codec";
export const CODED_KEY = "weight_diff_coded";
/** The only version that is read. */
export const CODEC = "1";

/** The bytes of an entry: two numbers of 32 bits. */
const ENTRY = 8;

export interface WindowRange {
  /** In bytes, from the tensor's first byte. */
  readonly position: number;
  readonly length: number;
  readonly crc32: number;
}

/** A coded tensor, with the dtype and shape that it has when it is decoded. */
export interface CodedTensor {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
}

/** The length of a tensor's index in bytes. */
export function indexBytes({ dtype, shape }: CodedTensor): number {
  return ENTRY * windowCount(dtype, shape);
}

/** The fewest bytes that a coded tensor can take: every window is that of the base. */
export function leastCodedBytes(tensor: CodedTensor): number {
  return (ENTRY + 1) * windowCount(tensor.dtype, tensor.shape);
}

/** The most bytes that a coded tensor can take: every window is stored. Undefined if the number overflows. */
export function mostCodedBytes(tensor: CodedTensor): number | undefined {
  const units = unitCount(tensor.dtype, tensor.shape);
  return units === undefined
    ? undefined
    : units * unitOf(tensor.dtype).width + windowCount(tensor.dtype, tensor.shape) + indexBytes(tensor);
}

/** The length of window `number` in bytes when it is decoded. */
export function plainBytes({ dtype, shape }: CodedTensor, number: number): number {
  return Math.min(WINDOW_UNITS, (unitCount(dtype, shape) ?? 0) - number * WINDOW_UNITS) * unitOf(dtype).width;
}

export function writeIndex(windows: readonly Omit<WindowRange, "position">[]): Uint8Array {
  const bytes = new Uint8Array(windows.length * ENTRY);
  const view = new DataView(bytes.buffer);
  windows.forEach(({ length, crc32 }, number) => {
    view.setUint32(ENTRY * number, length, true);
    view.setUint32(ENTRY * number + 4, crc32, true);
  });
  return bytes;
}

/**
 * Reads where a tensor's windows are. @param bytes its index: the last indexBytes(tensor) bytes of `range`. @param at for messages; for a step of a
 * chain `why` is the rule that is broken.
 * @throws {WeightDiffError} FORMAT_INVALID if windows and index do not fill the range exactly, or if a window has no bytes or too many.
 */
export function readIndex(
  bytes: Uint8Array,
  tensor: CodedTensor,
  range: ByteRange,
  at: { readonly file: string; readonly version?: string; readonly why?: ChainFault },
): readonly WindowRange[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const windows: WindowRange[] = [];
  let position = 0;
  for (let number = 0; number < bytes.length / ENTRY; number++) {
    const length = view.getUint32(ENTRY * number, true);
    if (length === 0 || length > mostBytes(plainBytes(tensor, number))) {
      throw damaged(tensor, `window ${number} has ${length} bytes, and stands for ${plainBytes(tensor, number)}`, at);
    }
    windows.push({ position, length, crc32: view.getUint32(ENTRY * number + 4, true) });
    position += length;
  }
  if (position + bytes.length !== range.end - range.begin) {
    const both = `windows and index take ${position + bytes.length} bytes of ${range.end - range.begin}`;
    throw damaged(tensor, both, at);
  }
  return windows;
}

function damaged(
  { name }: CodedTensor,
  what: string,
  { why, ...at }: Parameters<typeof readIndex>[3],
): WeightDiffError {
  return new WeightDiffError("FORMAT_INVALID", `tensor ${quote(name)} is no coded tensor: ${what}`, DAMAGED, {
    at: { ...at, tensor: name },
    ...(why === undefined ? {} : { why }),
  });
}
