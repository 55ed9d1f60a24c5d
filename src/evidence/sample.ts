/**
 * Samples a few thousand values of base and diff at the same places, by small reads all over both models. The guards use them before
 * anything is written. At most 32 matrices are read, at two places each, and at sixteen places in the input embedding. That makes 78 reads
 * of at most 4 KiB for each model, whatever its size: about a second on a cold hard disk.
 */
import type { Checkpoint, StoredTensor } from "../checkpoint/checkpoint.js";
import { type Place, readElements } from "../checkpoint/elements.js";
import { elementCount, type FloatDtype, isFloatDtype } from "../formats/dtype.js";
import { ELEMENT_BYTES, widenBF16, widenF16, widenF64 } from "../kernel/bits.js";
import { INPUT_EMBEDDING } from "../known/embeddings.js";

/** The same elements of both models, as F32 bits. */
export interface SampledWindow {
  readonly raw: Uint32Array;
  readonly diff: Uint32Array;
  /** Matrices that are added after raw's, in this order, if the script has raw's under two names. */
  readonly again?: readonly Uint32Array[];
}

export interface SampledPair {
  readonly name: string;
  /** The stored dtype. */
  readonly rawDtype: FloatDtype;
  readonly diffDtype: FloatDtype;
  readonly windows: readonly SampledWindow[];
}

const MAX_MATRICES = 32;
const WINDOWS = { matrix: { count: 2, elements: 1024 }, embedding: { count: 16, elements: 256 } } as const;
/** Multiples of this number, modulo 1, are spread evenly. A fixed step could repeat with the layers. */
const GOLDEN = (Math.sqrt(5) - 1) / 2;

/**
 * Samples matrices that both models have with equal columns, in the rows that both have. Fewer than 32 if there are no more, none if no
 * name is shared.
 * @throws {WeightDiffError} IO, INPUT_CHANGED, TRUNCATED.
 */
export async function samplePairs(raw: Checkpoint, diff: Checkpoint): Promise<readonly SampledPair[]> {
  const shared = [...diff.stateDict].flatMap(([name, tensor]) => {
    const base = raw.stateDict.get(name);
    return base !== undefined && comparable(base, tensor) ? [{ name, raw: base, diff: tensor }] : [];
  });
  return sampleThese(shared);
}

/** Samples a few places of a few of the tensors. @throws {WeightDiffError} IO, INPUT_CHANGED, TRUNCATED. */
export async function sampleThese(
  shared: readonly (Omit<WantedPair, "places"> & { readonly name: string })[],
): Promise<readonly SampledPair[]> {
  const chosen = spread(shared, ({ name }) => INPUT_EMBEDDING.test(name), MAX_MATRICES);
  const windows = await readWindows(
    chosen.map(({ name, raw, diff, again }, index) => {
      const total = Math.min(raw.shape[0] ?? 0, diff.shape[0] ?? 0) * (raw.shape[1] ?? 0);
      const many = INPUT_EMBEDDING.test(name) ? WINDOWS.embedding : WINDOWS.matrix;
      return { raw, diff, ...(again === undefined ? {} : { again }), places: placesIn(total, many, index) };
    }),
  );
  return chosen.map(({ name, raw, diff }, index) => ({
    name,
    rawDtype: raw.dtype as FloatDtype,
    diffDtype: diff.dtype as FloatDtype,
    windows: windows[index] ?? [],
  }));
}

/** Two tensors, and the places to read in both. */
interface WantedPair {
  readonly raw: StoredTensor;
  readonly diff: StoredTensor;
  /** Further tensors of the base, with raw's shape. */
  readonly again?: readonly StoredTensor[];
  readonly places: readonly Omit<Place, "tensor">[];
}

/** One window for each place of each pair. @throws {WeightDiffError} IO, INPUT_CHANGED. */
export async function readWindows(pairs: readonly WantedPair[]): Promise<readonly (readonly SampledWindow[])[]> {
  const sides = pairs.map(({ raw, diff, again = [] }) => [raw, diff, ...again]);
  const values = await readPlaces(
    pairs.flatMap(({ places }, index) =>
      places.flatMap((place) => (sides[index] ?? []).map((tensor) => ({ tensor, ...place }))),
    ),
  );
  let next = 0;
  return pairs.map(({ places, again = [] }) =>
    places.map(() => {
      const [raw = new Uint32Array(), diff = new Uint32Array(), ...more] = values.slice(next, next + 2 + again.length);
      next += 2 + again.length;
      return again.length === 0 ? { raw, diff } : { raw, diff, again: more };
    }),
  );
}

/** Do the two have equal columns, stored in C order? */
export function comparable(a: StoredTensor, b: StoredTensor): boolean {
  return isReadable(a) && isReadable(b) && a.shape.length === 2 && b.shape.length === 2 && a.shape[1] === b.shape[1];
}

/** Can the tensor be sampled: does it hold at least one float, stored in C order? */
export function isReadable(tensor: StoredTensor): boolean {
  return (
    isFloatDtype(tensor.dtype) &&
    tensor.coded !== true &&
    tensor.strides === undefined &&
    tensor.bigEndian !== true &&
    (elementCount(tensor.shape) ?? 0) > 0
  );
}

/** At most `most` of the items, in order: first all that are `wanted`, then others from all over the list. */
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
  // If everything else is taken, walk on: no index may be used twice.
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

/**
 * Reads every place, file by file.
 * @returns the values as F32 bits, in the order of `places`.
 * @throws {WeightDiffError} IO, INPUT_CHANGED.
 */
export async function readPlaces(places: readonly Place[]): Promise<readonly Uint32Array[]> {
  const bytes = await readElements(places);
  return places.map(({ tensor }, index) => widen(tensor.dtype as FloatDtype, bytes[index] ?? new Uint8Array()));
}

/** Little-endian elements of `dtype` as F32 bits (docs/arithmetic.md 1). */
function widen(dtype: FloatDtype, bytes: Uint8Array): Uint32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const size = ELEMENT_BYTES[dtype];
  const read = READ[dtype];
  const values = new Uint32Array(bytes.byteLength / size);
  for (let index = 0; index < values.length; index++) {
    values[index] = read(view, index * size);
  }
  return values;
}

const READ: Readonly<Record<FloatDtype, (view: DataView, at: number) => number>> = {
  F16: (view, at) => widenF16(view.getUint16(at, true)),
  BF16: (view, at) => widenBF16(view.getUint16(at, true)),
  F32: (view, at) => view.getUint32(at, true),
  F64: (view, at) => widenF64(view.getUint32(at + 4, true), view.getUint32(at, true)),
};

/** F32 bits as numbers. A NaN loses its payload. */
export function toNumbers(bits: Uint32Array): Float32Array {
  return new Float32Array(bits.buffer, bits.byteOffset, bits.length);
}
