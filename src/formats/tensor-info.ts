/**
 * What every weight file becomes once its header is read: named tensors at byte ranges. After this the file format no
 * longer exists for anybody.
 */
import type { Dtype } from "./dtype.js";

/** Sizes of the dimensions, outermost first; [] is a scalar. */
export type Shape = readonly number[];

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((size, index) => size === b[index]);
}

/** [32001, 4096], as torch prints a size. */
export function shapeText(shape: Shape): string {
  return `[${shape.join(", ")}]`;
}

/** Dimensions that a tensor may have; torch's own kernels stop at 64. */
export const MAX_RANK = 64;

/** Absolute byte positions in one file: `begin` is in, `end` is out. */
export interface ByteRange {
  readonly begin: number;
  readonly end: number;
}

/** Bytes; 0 for no range. */
export function rangeLength(range: ByteRange | undefined): number {
  return range === undefined ? 0 : range.end - range.begin;
}

/** A stored run of bytes with its own checksum: a zip record. */
export interface StoredRecord {
  /** As the archive spells it: "archive/data/17". */
  readonly name: string;
  readonly range: ByteRange;
  /** CRC-32 of the record's bytes; null where the archive states none (0 on a non-empty record means absent; docs/formats.md 2.3). */
  readonly crc32: number | null;
}

export interface TensorInfo {
  /** Keys from the root of the file, joined with ".": "model.layers.0.mlp.up_proj.weight". */
  readonly name: string;
  /** How many of the leading keys are containers around the state dict: {"model": {"a.b": T}} has path ["model", "a.b"]. */
  readonly path: readonly string[];
  readonly dtype: Dtype;
  readonly shape: Shape;
  /** Contiguous: exactly the tensor's bytes in C order. With `strides`: from its first to past its last element. */
  readonly range: ByteRange;
  /** Only where the elements do not lie in C order: elements between neighbours of each dimension, 0 for an expanded one. */
  readonly strides?: readonly number[];
  /** Elements are stored most significant byte first. */
  readonly bigEndian?: true;
  /** The zip record that holds `range`. */
  readonly record?: StoredRecord;
}

/** One weight file's header, read. */
export interface ShardHeader {
  readonly format: "safetensors" | "torch-zip" | "torch-legacy" | "easylm";
  /** In the file's own order: pickle order, or by offset. Names are unique. */
  readonly tensors: readonly TensorInfo[];
  /** safetensors `__metadata__`; empty for torch files. */
  readonly metadata: ReadonlyMap<string, string>;
  /** sha256 (hex) over every byte that describes the tensors, so that a changed file is noticed without reading it all. */
  readonly digest: string;
}

/** The only view of storage that formats/ has. */
export interface ByteSource {
  /** What messages call it: the file's name. */
  readonly name: string;
  /** Bytes; Infinity of a stream whose end is not seen. */
  readonly size: number;
  /** Exactly `length` bytes from `offset`, in memory that the caller may keep. @throws {WeightDiffError} IO, TRUNCATED. */
  readAt(offset: number, length: number): Promise<Uint8Array>;
}
