/**
 * Hugging Face's layout: one file, or shards and an index that tells which tensor is in which shard. Only files that are named are read.
 */
import { WeightDiffError } from "../../errors.js";
import { quote } from "../../formats/quote.js";
import type { TensorInfo } from "../../formats/tensor-info.js";
import type { FoundWeights, Stored, WeightFile } from "./layout.js";

/** The order in which transformers looks for weights: modeling_utils.py, `_get_resolved_checkpoint_files`. */
export const PRECEDENCE = [
  { file: "model.safetensors", index: false },
  { file: "model.safetensors.index.json", index: true },
  { file: "pytorch_model.bin", index: false },
  { file: "pytorch_model.bin.index.json", index: true },
] as const;

/** Keys under which trainers nest a state dict. */
const WRAPPERS: ReadonlySet<string> = new Set(["model", "state_dict", "module"]);
/** Where index and shards disagree, so many tensors are named and the rest is counted. */
const SHOWN = 20;

/** The files in a model's folder that transformers would load. */
export function findHuggingface(names: ReadonlySet<string>): FoundWeights | null {
  const [found, ...rest] = PRECEDENCE.filter(({ file }) => names.has(file));
  return found === undefined
    ? null
    : {
        files: found.index ? [] : [found.file],
        index: found.index ? found.file : null,
        others: rest.map(({ file }) => file),
      };
}

interface Named<S> {
  readonly stateDict: ReadonlyMap<string, Stored<S>>;
  readonly notes: readonly string[];
}

/** Copies the fields by name: with a spread, V8 makes a hidden class of 300 bytes for each object. */
export function storedIn<S>(shard: S, tensor: TensorInfo): Stored<S> {
  const { name, path, dtype, shape, range, strides, bigEndian, record } = tensor;
  if (strides !== undefined || bigEndian !== undefined) {
    return { ...tensor, shard };
  }
  return record === undefined
    ? { name, path, dtype, shape, range, shard }
    : { name, path, dtype, shape, range, record, shard };
}

/** The state dict of a file that is the whole checkpoint, without a wrapper key around it. */
export function loneState<S extends WeightFile>(shard: S): Named<S> {
  const wrapper = loneWrapper(shard.header.tensors);
  const entries = shard.header.tensors.map((tensor): [string, Stored<S>] => [
    wrapper === null ? tensor.name : tensor.path.slice(1).join("."),
    storedIn(shard, tensor),
  ]);
  const notes = wrapper === null ? [] : [`${shard.file}: the state dict lies under the key "${wrapper}"`];
  return { stateDict: new Map(entries), notes };
}

function loneWrapper(tensors: readonly TensorInfo[]): string | null {
  const first = tensors[0]?.path[0];
  if (first === undefined || !WRAPPERS.has(first)) {
    return null;
  }
  return tensors.every((tensor) => tensor.path.length > 1 && tensor.path[0] === first) ? first : null;
}

/**
 * Takes from each shard the tensors that the index assigns to it.
 * @throws {WeightDiffError} MISMATCH, listing what the index promises and the shard lacks.
 */
export function indexedState<S extends WeightFile>(
  shards: readonly S[],
  weightMap: ReadonlyMap<string, string>,
  index: string,
): Named<S> {
  const stateDict = new Map<string, Stored<S>>();
  const strays: string[] = [];
  let others = 0;
  for (const shard of shards) {
    for (const tensor of shard.header.tensors) {
      if (weightMap.get(tensor.name) === shard.file) {
        stateDict.set(tensor.name, storedIn(shard, tensor));
      } else if (strays.length < SHOWN) {
        strays.push(`${shard.file}: tensor ${quote(tensor.name)} is in the file and not in ${index}: ignored`);
      } else {
        others++;
      }
    }
  }
  const missing = [...weightMap].filter(([name]) => !stateDict.has(name));
  if (missing.length > 0) {
    const shown = missing.slice(0, SHOWN).map(([name, file]) => `tensor ${quote(name)} is not in ${file}`);
    const rest = missing.length > SHOWN ? `\n  and ${missing.length - SHOWN} more` : "";
    throw new WeightDiffError(
      "MISMATCH",
      `${missing.length} of its ${weightMap.size} entries are wrong\n  ${shown.join("\n  ")}${rest}`,
      "index and shards are from different uploads: fetch the index and the shards again",
      { at: { file: index } },
    );
  }
  if (others > 0) {
    strays.push(`${others} more tensors are in the files and not in ${index}: ignored`);
  }
  return { stateDict, notes: strays };
}
