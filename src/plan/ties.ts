/**
 * Matrices that a loaded model has once, under two names. transformers ties the output head of a language model to its input embedding
 * where the config says so, whichever of the two a file holds (modeling_utils.py 5.23.0, tie_weights). A script that loops over a
 * state_dict meets such a matrix under both names: recover of weight_diff.py gives (diff + base) + base, its make_diff (tuned - base) -
 * base, and apply_delta of FastChat (base + diff) + diff.
 */
import type { Checkpoint, StoredTensor } from "../checkpoint/checkpoint.js";
import type { Dtype } from "../formats/dtype.js";
import {
  COMMON_EMBEDDING,
  commonEmbedding,
  embeddingsOf,
  INPUT_EMBEDDING,
  OUTPUT_EMBEDDING,
  TIED_BIASES,
} from "../known/embeddings.js";

/** How a script loads its tensors: as models, which tie matrices, or as the dictionaries in the files. */
export type Loading = "models" | "files";

/** One side as a script has it in memory. */
export interface LoadedSide {
  readonly stateDict: Checkpoint["stateDict"];
  readonly input: string | null;
  readonly output: string | null;
  /** The embedding that encoder and decoder share; null if the files have none under this name. */
  readonly common: string | null;
  /** Are embedding and head one matrix? Null if nothing tells; then one that is stored alone may stand for the other. */
  readonly tied: boolean | null;
  /** Do both names share one storage in the file? */
  readonly shared: boolean;
  readonly languageModel: boolean;
  readonly loading: Loading;
}

/** @param facts what config and files tell; null if nothing tells. @param apart does loading store each tensor separately? */
export function loadedSide(
  { stateDict }: Pick<Checkpoint, "stateDict">,
  facts: { readonly tied: boolean | null; readonly languageModel: boolean | null },
  loading: Loading,
  apart = false,
): LoadedSide {
  const { input, output } = embeddingsOf(stateDict.keys());
  const same = input !== null && output !== null && isSameStorage(stateDict.get(input), stateDict.get(output));
  const tied = loading === "files" ? false : (facts.tied ?? (same ? true : null));
  const languageModel = facts.languageModel !== false;
  const common = commonEmbedding(stateDict.keys());
  return { stateDict, input, output, common, tied, shared: same && !apart, languageModel, loading };
}

type Role = "input" | "output";

/** The input embedding or the output head of a side. Where both are one, the stored one stands for the other. */
function matrixAs(side: LoadedSide, role: Role): StoredTensor | undefined {
  const { input, output, common } = side;
  const name = role === "input" ? (input ?? common ?? output) : (output ?? input ?? common);
  return name === null ? undefined : side.stateDict.get(name);
}

/** The tensor that the loaded side has under this name: its own, or the tensor tied to it. */
export function loadedTensor(side: LoadedSide, name: string): StoredTensor | undefined {
  const stored = side.stateDict.get(name);
  if (stored === undefined && COMMON_EMBEDDING.test(name) && side.common !== null) {
    return side.stateDict.get(side.common); // whatever the config says of the head
  }
  if (stored !== undefined || side.tied === false) {
    return stored;
  }
  const isInput = INPUT_EMBEDDING.test(name);
  if (isInput || OUTPUT_EMBEDDING.test(name)) {
    return matrixAs(side, isInput ? "input" : "output");
  }
  const twin = TIED_BIASES.flatMap(({ first, second }) =>
    second.test(name) ? first : first.test(name) ? second : [],
  )[0];
  return twin === undefined ? undefined : [...side.stateDict].find(([own]) => twin.test(own))?.[1];
}

/**
 * What a script adds to the tensor `name` of the side that it changes in place: the other side's tensor, once for each name that the matrix
 * has in the state_dict, in that order.
 * @param dtype the dtype in which the script loads models. A tensor that already has it is not copied, so two names in one storage stay
 * one.
 * @param partner the other side's tensor of this name.
 * @param isSummed does the script add to tensors of this name?
 * @param times how often it adds, where that is known; null derives it from the two sides.
 */
export function meetingOf(
  target: LoadedSide,
  other: LoadedSide,
  name: string,
  how: { dtype: Dtype; partner: StoredTensor; times: number | null; isSummed(name: string): boolean },
): readonly StoredTensor[] {
  const { dtype, partner, times, isSummed } = how;
  const both = (["input", "output"] as const).filter((role) => isSummed(target[role] ?? other[role] ?? USUAL[role]));
  const isPart = name === target.input || name === target.output;
  if (isPart && (times === null ? isOneMatrix(target, name, dtype) : times > 1)) {
    return both.flatMap((role) => matrixAs(other, role) ?? []);
  }
  return times === null ? (isTiedBias(target, name) ? [partner, partner] : [partner]) : Array(times).fill(partner);
}

/** Is this a bias that the side has under two names? */
function isTiedBias({ tied, languageModel, input, output }: LoadedSide, name: string): boolean {
  const bias = TIED_BIASES.find(({ first, second }) => first.test(name) || second.test(name));
  return bias?.of.test(input ?? output ?? "") === true && tied === true && languageModel;
}

/** Names of the side that its state_dict also lists under a second name, which no file has: name -> second name. */
export function twinsOf(side: LoadedSide): ReadonlyMap<string, string> {
  const { input, output, tied, languageModel, loading, stateDict } = side;
  if (loading === "files" || !languageModel || tied === false) {
    return new Map();
  }
  const alone = input === null ? output : output === null ? input : null;
  const biases = [...stateDict.keys()].filter((name) => isTiedBias(side, name));
  return new Map([
    ...(alone === null ? [] : [[alone, USUAL[alone === input ? "output" : "input"]] as const]),
    ...(biases.length === 1 ? biases.map((name) => [name, `${name} (its other name)`] as const) : []),
  ]);
}

/** The names to use where no file has one. */
const USUAL: Readonly<Record<Role, string>> = { input: "model.embed_tokens.weight", output: "lm_head.weight" };

/** Is this the embedding or the head of a side where both are one in memory? */
function isOneMatrix(side: LoadedSide, name: string, dtype: Dtype): boolean {
  const { input, output, tied, shared, stateDict, languageModel, loading } = side;
  if ((name !== input && name !== output) || (loading === "models" && !languageModel)) {
    return false;
  }
  if (shared && (loading === "files" || stateDict.get(name)?.dtype === dtype)) {
    return true;
  }
  // A language model that stores only one of the two ties them, unless the config says otherwise.
  return tied ?? (input === null || output === null);
}

/** Are both the same stored bytes, read in the same way? */
export function isSameStorage(a: StoredTensor | undefined, b: StoredTensor | undefined): boolean {
  return a !== undefined && b !== undefined && a.shard === b.shard && storageOf(a) === storageOf(b);
}

/** Tells which tensors of a side are the same stored bytes as one whose name `has` knows. Empty ones are none. */
export function aliasesIn(
  { stateDict }: LoadedSide,
  has: (name: string) => boolean,
): (tensor: StoredTensor) => boolean {
  let stored: ReadonlySet<string> | undefined;
  return (tensor) => {
    stored ??= new Set([...stateDict].filter(([name]) => has(name)).map(([, one]) => storageOf(one)));
    return tensor.range.begin !== tensor.range.end && stored.has(storageOf(tensor));
  };
}

/** The same text for the same bytes of one checkpoint, read in the same way. */
function storageOf({ shard, range, dtype, shape, strides }: StoredTensor): string {
  return JSON.stringify([shard.path, range.begin, range.end, dtype, shape, strides ?? null]);
}
