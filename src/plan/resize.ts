/** A base with fewer vocabulary rows than its files have: the rows that a script keeps before it adds. */
import type { Checkpoint, StoredTensor } from "../checkpoint/checkpoint.js";
import { tensorBytes } from "../formats/dtype.js";
import { EMBEDDING, isVocabularyBias } from "../known/embeddings.js";

/** Does the tensor have a row, or a value, for each token of the vocabulary? */
export function hasVocabularyRows(name: string, shape: readonly number[]): boolean {
  return (shape.length === 2 && EMBEDDING.test(name)) || (shape.length === 1 && isVocabularyBias(name, shape));
}

/** How many rows of a tensor are kept; null keeps all. */
type RowsLeft = (name: string, tensor: StoredTensor) => number | null;

/**
 * @param rows the number of rows of the base's embeddings.
 * @param total the number that they are resized to.
 * @param kept how many of the base's rows the matrices keep, which may be fewer.
 */
export function resizedRows(rows: number, total: number, kept: number): RowsLeft {
  return (name, { shape }) =>
    shape[0] === rows && hasVocabularyRows(name, shape) ? Math.min(shape.length === 2 ? kept : total, rows) : null;
}

/** The base with fewer rows. Null if a tensor cannot be cut, since its rows lie in several pieces. */
export function withRows(raw: Checkpoint, left: RowsLeft): Checkpoint | null {
  const stateDict = new Map<string, StoredTensor>();
  for (const [name, tensor] of raw.stateDict) {
    const rows = left(name, tensor);
    const cut = rows === null || rows >= (tensor.shape[0] ?? 0) ? tensor : firstRows(tensor, rows);
    if (cut === null) {
      return null;
    }
    stateDict.set(name, cut);
  }
  return { ...raw, stateDict };
}

function firstRows(tensor: StoredTensor, rows: number): StoredTensor | null {
  const shape = [rows, ...tensor.shape.slice(1)];
  const bytes = tensorBytes(tensor.dtype, shape);
  if (tensor.pieces !== undefined || bytes === undefined) {
    return null;
  }
  const { range, strides } = tensor;
  // A strided view keeps its strides and has fewer rows.
  return { ...tensor, shape, range: strides === undefined ? { begin: range.begin, end: range.begin + bytes } : range };
}
