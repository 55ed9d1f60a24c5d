/** A finished output against its manifest: every tensor is read and its sha256 compared. */
import { join } from "node:path";
import { openCheckpoint } from "./checkpoint/checkpoint.js";
import { digestTensors } from "./digest.js";
import { MANIFEST } from "./engine/output.js";
import { WeightDiffError } from "./errors.js";
import { quote } from "./formats/quote.js";
import { digestOf, type Manifest, readManifest } from "./manifest.js";
import type { RunOptions } from "./run-plan.js";

/**
 * @param made what the model must have been made from and how.
 * @throws {WeightDiffError} OUTPUT_REFUSED if it was made otherwise; CHECK_FAILED naming every tensor that differs or is missing.
 */
export async function verifyModel(
  path: string,
  made: Pick<Manifest, "scheme" | "dtype" | "raw" | "diff">,
  options: RunOptions,
): Promise<Pick<Manifest, "tensors">> {
  const manifest = await readManifest(join(path, MANIFEST));
  const other = (["scheme", "dtype", "raw", "diff"] as const).filter(
    (part) => digestOf(manifest[part]) !== digestOf(made[part]),
  );
  if (other.length > 0) {
    throw new WeightDiffError(
      "OUTPUT_REFUSED",
      `${path}: holds a finished model that was made otherwise: ${other.map((part) => (part === "raw" ? "another base" : part === "diff" ? "another diff" : `another ${part}`)).join(", ")}`,
      "give another --path_tuned, or replace the model in it with --force",
    );
  }
  const found = await digestTensors(await openCheckpoint(path), options);
  const wrong = manifest.tensors
    .filter(({ name, sha256 }) => found.get(name) !== sha256)
    .map(({ name }) => quote(name));
  if (wrong.length > 0) {
    throw new WeightDiffError(
      "CHECK_FAILED",
      `${path}: ${wrong.length} of ${manifest.tensors.length} tensors are not what ${MANIFEST} says: ${wrong.slice(0, 20).join(", ")}${wrong.length > 20 ? ", …" : ""}`,
      "recover the model again with --force",
    );
  }
  return { tensors: manifest.tensors };
}
