/** A tied model as other writers store it: under the embedding's name, under the head's (safetensors' save_model), or both. */
import { copyFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { openCheckpoint } from "../../src/checkpoint/checkpoint.js";
import { readElements } from "../../src/checkpoint/elements.js";
import { elementCount } from "../../src/formats/dtype.js";
import { safetensors, type TensorSpec, writeFiles } from "./checkpoints.js";

export type Form = "input" | "output" | "equal";
export const FORMS: readonly Form[] = ["input", "output", "equal"];

/** Copies a model that stores its tied matrix as `input`. @returns `to`. */
export async function storeAs(from: string, to: string, form: Form, input: string, output: string): Promise<string> {
  const { stateDict } = await openCheckpoint(from);
  const tensors: TensorSpec[] = [];
  for (const [name, tensor] of stateDict) {
    const [bytes = new Uint8Array()] = await readElements([
      { tensor, first: 0, count: elementCount(tensor.shape) ?? 0 },
    ]);
    const names = name !== input || form === "input" ? [name] : form === "output" ? [output] : [input, output];
    tensors.push(...names.map((each): TensorSpec => [each, tensor.dtype, tensor.shape, bytes]));
  }
  await writeFiles(to, { "model.safetensors": safetensors(...tensors) });
  for (const file of (await readdir(from)).filter((each) => !each.startsWith("model"))) {
    await copyFile(join(from, file), join(to, file));
  }
  return to;
}
