/**
 * What every weight file becomes once its header is read: named tensors at byte ranges. From then on, nothing depends on the file's format.
 */
import type { Dtype } from "./dtype.js";

/** Sizes of the dimensions, outermost first; [] is a scalar. */
export type Shape = readonly number[];

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((size, index) => size === b[index]);
}

/** For example [32001, 4096], as torch prints a size. */
export function shapeText(shape: Shape): string {
  return `[${shape.join(", ")}]`;
}

/** The most dimensions of a tensor. torch's own kernels stop at 64. */
export const MAX_RANK = 64;

/** Absolute byte positions in one file, from `begin` up to, but not including, `end`. */
export interface ByteRange {
  readonly begin: number;
  readonly end: number;
}

/** In bytes; 0 for no range. */
export function rangeLength(range: ByteRange | undefined): number {
  return range === undefined ? 0 : range.end - range.begin;
}

/** A stored run of bytes with its own checksum: a zip record. */
export interface StoredRecord {
  /** As the archive spells it: "archive/data/17". */
  readonly name: string;
  readonly range: ByteRange;
  /** CRC-32 of the record's bytes; null if the archive states none (0 on a non-empty record means absent; docs/formats.md 2.3). */
  readonly crc32: number | null;
}

export interface TensorInfo {
  /** Keys from the root of the file, joined with ".": "model.layers.0.mlp.up_proj.weight". */
  readonly name: string;
  /** The leading keys that are containers around the state dict, and the last key: {"model": {"a.b": T}} has the path ["model", "a.b"]. */
  readonly path: readonly string[];
  readonly dtype: Dtype;
  readonly shape: Shape;
  /** For a contiguous tensor exactly its bytes, in C order. With `strides`, from the first to past the last element. */
  readonly range: ByteRange;
  /** Only if the elements are not in C order: the number of elements between neighbours of each dimension, 0 for an expanded one. */
  readonly strides?: readonly number[];
  /** The most significant byte of each element comes first. */
  readonly bigEndian?: true;
  /** The zip record that holds `range`. */
  readonly record?: StoredRecord;
}

/** The header of one weight file. */
export interface ShardHeader {
  readonly format: "safetensors" | "torch-zip" | "torch-legacy" | "easylm";
  /** In the file's own order: by the pickle, or by offset. Names are unique. */
  readonly tensors: readonly TensorInfo[];
  /** safetensors `__metadata__`; empty for torch files. */
  readonly metadata: ReadonlyMap<string, string>;
  /** sha256 (hex) of every byte that describes the tensors, so that a changed file is noticed without reading it all. */
  readonly digest: string;
}

/** The only access to storage that formats/ has. */
export interface ByteSource {
  /** The file's name in messages. */
  readonly name: string;
  /** In bytes; Infinity for a stream whose end is unknown. */
  readonly size: number;
  /**
   * Exactly `length` bytes from `offset`, in memory that the caller may keep.
   * @param room memory of this length, in which a file returns the bytes. @throws {WeightDiffError} IO, TRUNCATED.
   */
  readAt(offset: number, length: number, room?: Uint8Array): Promise<Uint8Array>;
}
