/**
 * A few thousand values of base and diff at the same places, read by small positioned reads spread over the models: what the
 * guards judge by before anything is written. At most 32 matrices, two places in each and sixteen in the input embedding:
 * 78 reads of at most 4 KiB per model, whatever its size: about a second on a cold disk with a moving head.
 */
import type { Checkpoint, StoredTensor } from "../checkpoint/checkpoint.js";
import { type Place, readElements } from "../checkpoint/elements.js";
import { elementCount, type FloatDtype, isFloatDtype } from "../formats/dtype.js";
import { ELEMENT_BYTES, toBits, widenBF16, widenF16, widenF64 } from "../kernel/bits.js";
import { INPUT_EMBEDDING } from "../known/embeddings.js";

/** The same elements of both models, as F32 bits. */
export interface SampledWindow {
  readonly raw: Uint32Array;
  readonly diff: Uint32Array;
}

export interface SampledPair {
  readonly name: string;
  /** As stored. */
  readonly rawDtype: FloatDtype;
  readonly diffDtype: FloatDtype;
  readonly windows: readonly SampledWindow[];
}

const MAX_MATRICES = 32;
const WINDOWS = { matrix: { count: 2, elements: 1024 }, embedding: { count: 16, elements: 256 } } as const;
/** Multiples of this, modulo 1, are spread evenly and in step with nothing: models repeat themselves every layer. */
const GOLDEN = (Math.sqrt(5) - 1) / 2;

/**
 * Matrices that both models have, of as many columns; rows that only one has are left out. Fewer than 32 if there are no more,
 * none if no name is shared. @throws {WeightDiffError} IO, INPUT_CHANGED, TRUNCATED.
 */
export async function samplePairs(raw: Checkpoint, diff: Checkpoint): Promise<readonly SampledPair[]> {
  const shared = [...diff.stateDict].flatMap(([name, tensor]) => {
    const base = raw.stateDict.get(name);
    return base !== undefined && comparable(base, tensor) ? [{ name, base, tensor }] : [];
  });
  const chosen = spread(shared, ({ name }) => INPUT_EMBEDDING.test(name), MAX_MATRICES);
  const windows = await readWindows(
    chosen.map(({ name, base, tensor }, index) => {
      const total = Math.min(base.shape[0] ?? 0, tensor.shape[0] ?? 0) * (base.shape[1] ?? 0);
      const many = INPUT_EMBEDDING.test(name) ? WINDOWS.embedding : WINDOWS.matrix;
      return { raw: base, diff: tensor, places: placesIn(total, many, index) };
    }),
  );
  return chosen.map(({ name, base, tensor }, index) => ({
    name,
    rawDtype: base.dtype as FloatDtype,
    diffDtype: tensor.dtype as FloatDtype,
    windows: windows[index] ?? [],
  }));
}

/** Two tensors, and the places of both that are looked at. */
interface WantedPair {
  readonly raw: StoredTensor;
  readonly diff: StoredTensor;
  readonly places: readonly Omit<Place, "tensor">[];
}

/** One window for each place of each pair. @throws {WeightDiffError} IO, INPUT_CHANGED. */
export async function readWindows(pairs: readonly WantedPair[]): Promise<readonly (readonly SampledWindow[])[]> {
  const read = async (side: "raw" | "diff"): Promise<readonly Uint32Array[]> =>
    readPlaces(pairs.flatMap((pair) => pair.places.map((place) => ({ tensor: pair[side], ...place }))));
  const [raw, diff] = [await read("raw"), await read("diff")];
  let next = 0;
  return pairs.map(({ places }) =>
    places.map(() => {
      const at = next++;
      return { raw: raw[at] ?? new Uint32Array(), diff: diff[at] ?? new Uint32Array() };
    }),
  );
}

function comparable(a: StoredTensor, b: StoredTensor): boolean {
  return isReadable(a) && isReadable(b) && a.shape.length === 2 && b.shape.length === 2 && a.shape[1] === b.shape[1];
}

/** Floats in C order, of any number. */
export function isReadable(tensor: StoredTensor): boolean {
  return (
    isFloatDtype(tensor.dtype) &&
    tensor.strides === undefined &&
    tensor.bigEndian !== true &&
    (elementCount(tensor.shape) ?? 0) > 0
  );
}

/** At most `most` of the items in their order: all that are `wanted` first, the rest from all over the list. */
export function spread<T>(items: readonly T[], wanted: (item: T) => boolean, most: number): readonly T[] {
  if (items.length <= most) {
    return items;
  }
  const chosen = new Set<number>();
  for (let index = 0; index < items.length && chosen.size < most; index++) {
    const item = items[index];
    if (item !== undefined && wanted(item)) {
      chosen.add(index);
    }
  }
  // The last fallback walks on: no index may be taken twice.
  for (let turn = 1; chosen.size < most; turn++) {
    let index = Math.floor(((turn * GOLDEN) % 1) * items.length);
    while (chosen.has(index)) {
      index = (index + 1) % items.length;
    }
    chosen.add(index);
  }
  return [...chosen].sort((a, b) => a - b).flatMap((index) => items[index] ?? []);
}

function placesIn(
  total: number,
  { count, elements }: { readonly count: number; readonly elements: number },
  salt: number,
): readonly { readonly first: number; readonly count: number }[] {
  if (total <= count * elements) {
    return Array.from({ length: Math.ceil(total / elements) }, (_, index) => ({
      first: index * elements,
      count: Math.min(elements, total - index * elements),
    }));
  }
  // One place in each of `count` equal stretches.
  return Array.from({ length: count }, (_, index) => {
    const stretch = Math.floor(total / count);
    const offset = ((salt * count + index + 1) * GOLDEN) % 1;
    return { first: index * stretch + Math.floor(offset * (stretch - elements)), count: elements };
  });
}

/** Reads every place, file by file. @returns F32 bits, in the order of `places`. @throws {WeightDiffError} IO, INPUT_CHANGED. */
export async function readPlaces(places: readonly Place[]): Promise<readonly Uint32Array[]> {
  const bytes = await readElements(places);
  return places.map(({ tensor }, index) => widen(tensor.dtype as FloatDtype, bytes[index] ?? new Uint8Array()));
}

/** Little-endian elements of `dtype` as F32 bits (docs/arithmetic.md 1). */
function widen(dtype: FloatDtype, bytes: Uint8Array): Uint32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const read: Readonly<Record<FloatDtype, (at: number) => number>> = {
    F16: (at) => widenF16(view.getUint16(at, true)),
    BF16: (at) => widenBF16(view.getUint16(at, true)),
    F32: (at) => view.getUint32(at, true),
    F64: (at) => widenF64(view.getUint32(at + 4, true), view.getUint32(at, true)),
  };
  const size = ELEMENT_BYTES[dtype];
  return Uint32Array.from({ length: bytes.byteLength / size }, (_, index) => read[dtype](index * size));
}

/** F32 bits as numbers; a NaN loses its payload. */
export function toNumbers(bits: Uint32Array): Float32Array {
  return new Float32Array(bits.buffer, bits.byteOffset, bits.length);
}

/** A number as F32 bits. */
export function fromNumbers(values: readonly number[]): Uint32Array {
  return Uint32Array.from(values, toBits);
}
