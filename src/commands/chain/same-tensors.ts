/** A full version of ModelExpress replaces the whole checkpoint. Its receivers refuse a version with other tensors (modelexpress 0.7.0, inference/receiver.py). */
import { chainError, together, type Version } from "../../chain/chain.js";
import type { Checkpoint } from "../../checkpoint/checkpoint.js";
import type { ModelConfig } from "../../checkpoint/config.js";
import type { WeightDiffError } from "../../errors.js";
import { quote } from "../../formats/quote.js";
import { sameShape, shapeText } from "../../formats/tensor-info.js";
import { OUTPUT_EMBEDDING } from "../../known/embeddings.js";

/** @throws {WeightDiffError} with `why` "incomplete", "unknown-tensor", "dtype". It lists all differences. Either side may lack a head that is tied to the embedding. */
export function refuseOtherTensors(
  { id, place, checkpoint }: Version,
  base: Pick<Checkpoint, "stateDict">,
  config: ModelConfig | null,
): void {
  const full = checkpoint?.stateDict ?? new Map<string, never>();
  const counts = (name: string): boolean => !(config?.tied === true && OUTPUT_EMBEDDING.test(name));
  const errors: WeightDiffError[] = [];
  for (const [name, { dtype, shape }] of base.stateDict) {
    const own = full.get(name);
    const at = { file: place, tensor: name, version: id };
    if (own === undefined && counts(name)) {
      errors.push(chainError("incomplete", `the full version lacks the base's tensor ${quote(name)}`, HINT, at));
    } else if (own !== undefined && (own.dtype !== dtype || !sameShape(own.shape, shape))) {
      const what = `tensor ${quote(name)} is ${own.dtype} ${shapeText(own.shape)}, and ${dtype} ${shapeText(shape)} in the base`;
      errors.push(chainError("dtype", what, HINT, at));
    }
  }
  for (const name of full.keys()) {
    if (!base.stateDict.has(name) && counts(name)) {
      const at = { file: place, tensor: name, version: id };
      errors.push(chainError("unknown-tensor", `tensor ${quote(name)} is not in the base`, HINT, at));
    }
  }
  if (errors.length > 0) {
    throw together(errors);
  }
}

const HINT =
  "fetch this version again, or give the base that the chain starts from; without a base it is taken as it is";
