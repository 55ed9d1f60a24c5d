/** The tensors of a checkpoint that a plan's operands read. */
import type { Checkpoint, StoredTensor } from "../checkpoint/checkpoint.js";
import type { Operand } from "../engine/job/job.js";
import type { Plan } from "../plan/plan.js";

/** @returns undefined for an operand of another checkpoint, or one that no file has. */
export function tensorFinder(
  { inputs }: Pick<Plan, "inputs">,
  { stateDict }: Checkpoint,
): (operand: Operand) => StoredTensor | undefined {
  const stored = new Map([...stateDict.values()].map((tensor) => [keyOf(tensor.shard.path, tensor), tensor]));
  return (operand) =>
    operand.kind === "stored" ? stored.get(keyOf(inputs[operand.input]?.path ?? "", operand)) : undefined;
}

function keyOf(path: string, { name, shape }: { readonly name: string; readonly shape: readonly number[] }): string {
  return JSON.stringify([path, name, shape]);
}
