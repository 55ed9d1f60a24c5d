/**
 * Are a model's head and embedding one matrix once it is loaded? The config tells. If it says yes and the files hold both, their values
 * decide: transformers ties them if they are equal, and keeps both if they differ (modeling_utils.py 5.23.0, tie_weights).
 */
import type { Checkpoint, StoredTensor } from "../checkpoint/checkpoint.js";
import type { ModelConfig } from "../checkpoint/config.js";
import { readElements } from "../checkpoint/elements.js";
import { elementCount } from "../formats/dtype.js";
import { quote } from "../formats/quote.js";
import { embeddingsOf } from "../known/embeddings.js";
import { isSameStorage } from "../plan/ties.js";

/** Elements to compare at once. */
const PIECE = 1 << 20;

export interface LoadedTie {
  /** Null if neither config nor files tell. */
  readonly tied: boolean | null;
  /** A note for the user; null if nothing is odd. */
  readonly note: string | null;
}

/** @throws {WeightDiffError} IO, INPUT_CHANGED, TRUNCATED. */
export async function loadedTie({ stateDict }: Checkpoint, config: ModelConfig | null): Promise<LoadedTie> {
  const tied = config?.tied ?? null;
  const { input, output } = embeddingsOf(stateDict.keys());
  const [first, second] = [stateDict.get(input ?? ""), stateDict.get(output ?? "")];
  if (tied !== true || first === undefined || second === undefined || (await areEqual(first, second))) {
    return { tied, note: null };
  }
  const names = `${quote(first.name)} and ${quote(second.name)}`;
  return {
    tied: false,
    note: `its config ties ${names}, its files hold two that differ: both are used, as transformers 5 does (earlier releases used the first for both)`,
  };
}

/** The bytes in which a coded tensor is stored. Given the same base, equal elements have equal bytes. */
function asBytes(tensor: StoredTensor): StoredTensor {
  const { range, coded } = tensor;
  return coded === true ? { ...tensor, dtype: "U8", shape: [range.end - range.begin] } : tensor;
}

async function areEqual(first: StoredTensor, second: StoredTensor): Promise<boolean> {
  if (isSameStorage(first, second)) {
    return true;
  }
  if (first.dtype !== second.dtype || first.shape.join() !== second.shape.join()) {
    return false;
  }
  const [ours, theirs] = [asBytes(first), asBytes(second)];
  const elements = elementCount(ours.shape) ?? 0;
  if (elements !== elementCount(theirs.shape)) {
    return false;
  }
  for (let at = 0; at < elements; at += PIECE) {
    const count = Math.min(PIECE, elements - at);
    const [one, two] = await readElements([ours, theirs].map((tensor) => ({ tensor, first: at, count })));
    if (one === undefined || two === undefined || Buffer.compare(one, two) !== 0) {
      return false;
    }
  }
  return true;
}
