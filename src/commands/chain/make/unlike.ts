/** An update changes the bytes of tensors. It cannot add or remove a tensor, nor change a dtype or a shape. */
import type { Checkpoint } from "../../../checkpoint/checkpoint.js";
import { WeightDiffError } from "../../../errors.js";
import { quote } from "../../../formats/quote.js";
import { sameShape, shapeText } from "../../../formats/tensor-info.js";

/** @throws {WeightDiffError} MISMATCH, naming every tensor that differs in this way. */
export function refuseUnlike(raw: Checkpoint, tuned: Checkpoint): void {
  const problems: string[] = [];
  for (const [name, { dtype, shape }] of raw.stateDict) {
    const after = tuned.stateDict.get(name);
    if (after === undefined) {
      problems.push(`${quote(name)} is not in the new model`);
    } else if (after.dtype !== dtype || !sameShape(after.shape, shape)) {
      const became = `${after.dtype} ${shapeText(after.shape)}`;
      problems.push(`${quote(name)} is ${dtype} ${shapeText(shape)} before, and ${became} in the new model`);
    }
  }
  for (const name of tuned.stateDict.keys()) {
    if (!raw.stateDict.has(name)) {
      problems.push(`${quote(name)} is new in the new model`);
    }
  }
  const [first] = problems;
  if (first !== undefined) {
    const fact = problems.length === 1 ? `tensor ${first}` : `${problems.length} tensors are not alike`;
    throw new WeightDiffError("MISMATCH", `${fact}: an update cannot say that`, undefined, {
      at: { file: tuned.path },
      problems,
      advice: [{ to: "publish the whole model", option: "full", value: true }],
    });
  }
}
