/**
 * Finds the tensors of a diff that are not differences but the model's own: some scripts publish embeddings, output head or last norm
 * unchanged. Values tell, as in not-a-diff.ts: the model's own tensor points where the base's does and is as large. A difference is small
 * beside the base and points elsewhere. Between the two, nothing is decided.
 */
import type { Checkpoint, StoredTensor } from "../checkpoint/checkpoint.js";
import type { Place } from "../checkpoint/elements.js";
import { elementCount } from "../formats/dtype.js";
import { EMBEDDING } from "../known/embeddings.js";
import { LAST_NORM } from "../plan/one-sided.js";
import { cosineOf, median, productsOf } from "./products.js";
import { isReadable, readWindows, type SampledWindow, toNumbers } from "./sample.js";

/** May the tensor be the model's own in some scheme? */
export const mayBeOwn = (name: string): boolean => EMBEDDING.test(name) || LAST_NORM.test(name);

/** The cosine of a diff with the base is at most 0.27, that of a tuned model at least 0.66 (not-a-diff.ts). */
const OWN_COSINE = 0.5;
const DIFFERENCE_COSINE = 0.3;
/** The size relative to the base's: trained differences have at most 0.57 in norms, and far less in embeddings. */
const DIFFERENCE_SIZE = 0.6;
const MAX_ELEMENTS = 4096;
const WINDOWS = 8;
/** In a shorter sample, the direction is chance. */
const MIN_ELEMENTS = 16;
/** Elements to judge together. */
const PIECE = 64;

export interface OwnTensor {
  readonly name: string;
  /** The cosine of the diff's values and the base's, from -1 to 1. */
  readonly cosine: number;
  /** The share of the base's values in the diff's: 1 for an unchanged model, 0 for a difference. */
  readonly scale: number;
  readonly kind: "own" | "difference";
}

/** Looks at embeddings, output head and last norm, if both sides have them. @throws {WeightDiffError} IO, INPUT_CHANGED. */
export async function findOwnTensors(raw: Checkpoint, diff: Checkpoint): Promise<readonly OwnTensor[]> {
  const both = [...diff.stateDict].flatMap(([name, tensor]) => {
    const base = mayBeOwn(name) ? raw.stateDict.get(name) : undefined;
    return base !== undefined && isComparable(base, tensor) ? [{ name, tensor, base }] : [];
  });
  const windows = await readWindows(
    both.map(({ tensor, base }) => ({ raw: base, diff: tensor, places: placesOf(tensor, base) })),
  );
  return both.flatMap(({ name }, index) => {
    const verdict = judge(windows[index] ?? []);
    return verdict === null ? [] : [{ name, ...verdict }];
  });
}

function isComparable(a: StoredTensor, b: StoredTensor): boolean {
  return isReadable(a) && isReadable(b) && a.shape.length === b.shape.length && a.shape[1] === b.shape[1];
}

/** Places all over the part that both tensors have. */
function placesOf(a: StoredTensor, b: StoredTensor): readonly Omit<Place, "tensor">[] {
  const total = Math.min(elementCount(a.shape) ?? 0, elementCount(b.shape) ?? 0);
  if (total <= MAX_ELEMENTS) {
    return total < MIN_ELEMENTS ? [] : [{ first: 0, count: total }];
  }
  const count = MAX_ELEMENTS / WINDOWS;
  return Array.from({ length: WINDOWS }, (_, k) => ({
    first: Math.floor(((total - count) * k) / (WINDOWS - 1)),
    count,
  }));
}

/** Judges by medians over short pieces, so a few wild values, or rows that training never met, do not decide. */
function judge(windows: readonly SampledWindow[]): Omit<OwnTensor, "name"> | null {
  const pieces = windows.flatMap(({ raw, diff }) => {
    const [values, base] = [toNumbers(diff), toNumbers(raw)];
    const count = Math.max(1, Math.floor(values.length / PIECE));
    return Array.from({ length: count }, (_, i) => {
      const [begin, end] = [i * PIECE, i === count - 1 ? values.length : (i + 1) * PIECE];
      return comparePiece(values.subarray(begin, end), base.subarray(begin, end));
    });
  });
  const told = pieces.filter((piece) => piece !== null);
  if (told.length === 0) {
    return null;
  }
  const cosine = median(told.map((piece) => piece.cosine));
  const size = median(told.map((piece) => piece.size));
  const scale = median(told.map((piece) => piece.scale));
  if (cosine >= OWN_COSINE && size >= DIFFERENCE_SIZE) {
    return { cosine, scale, kind: "own" };
  }
  // The difference of a norm often points where the norm does, so only the size tells.
  return size < DIFFERENCE_SIZE && (cosine < DIFFERENCE_COSINE || size < DIFFERENCE_SIZE / 2)
    ? { cosine, scale, kind: "difference" }
    : null;
}

interface Likeness {
  readonly cosine: number;
  /** Root mean square, relative to the base's. */
  readonly size: number;
  readonly scale: number;
}

/** Null if the base is zero, or if values are not finite. */
function comparePiece(diff: Float32Array, raw: Float32Array): Likeness | null {
  const products = productsOf(diff, raw);
  if (!(products.raw > 0) || !Number.isFinite(products.both) || !Number.isFinite(products.diff + products.raw)) {
    return null;
  }
  const cosine = products.diff === 0 ? 0 : cosineOf(products);
  return { cosine, size: Math.sqrt(products.diff / products.raw), scale: products.both / products.raw };
}
