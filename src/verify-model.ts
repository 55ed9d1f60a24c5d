/** A finished output against its manifest: every tensor is read and its sha256 compared. */
import { join } from "node:path";
import { openCheckpoint } from "./checkpoint/checkpoint.js";
import { digestTensors } from "./digest.js";
import { MANIFEST } from "./engine/output.js";
import { EXIT_CODES, WeightDiffError } from "./errors.js";
import { quote } from "./formats/quote.js";
import { digestOf, type Manifest, readManifest } from "./manifest.js";
import { shapeText } from "./pairing.js";
import type { RunOptions } from "./run-plan.js";

const AGAIN = "make it again with --force";

/**
 * @param made keys of the manifest that say what the output must have been made from and how.
 * @throws {WeightDiffError} OUTPUT_REFUSED if it was made otherwise; CHECK_FAILED naming every tensor that differs, is missing or should not be there, or the file that cannot be read.
 */
export async function verifyModel(
  path: string,
  made: Readonly<Record<string, unknown>>,
  options: RunOptions,
): Promise<Pick<Manifest, "tensors">> {
  const manifest = await readManifest(join(path, MANIFEST));
  const parts = new Map<string, unknown>(Object.entries(manifest));
  const other = Object.keys(made).filter((part) => digestOf(parts.get(part)) !== digestOf(made[part]));
  if (other.length > 0) {
    throw new WeightDiffError(
      "OUTPUT_REFUSED",
      `${path}: holds a finished model that was made otherwise: ${other.map((part) => `another ${part === "raw" ? "base" : part}`).join(", ")}`,
      "give another output directory, or replace the model in it with --force",
    );
  }
  const found = await openCheckpoint(path).catch((error: unknown) => {
    throw error instanceof WeightDiffError && EXIT_CODES[error.code] === 4
      ? new WeightDiffError("CHECK_FAILED", error.message, AGAIN, { cause: error })
      : error;
  });
  const digests = await digestTensors(found, options);
  const listed = new Set(manifest.tensors.map(({ name }) => name));
  const wrong = [
    ...manifest.tensors.filter(({ name, dtype, shape, sha256 }) => {
      const tensor = found.stateDict.get(name);
      return digests.get(name) !== sha256 || tensor?.dtype !== dtype || shapeText(tensor.shape) !== shapeText(shape);
    }),
    ...[...found.stateDict.values()].filter(({ name }) => !listed.has(name)),
  ].map(({ name }) => quote(name));
  if (wrong.length > 0) {
    throw new WeightDiffError(
      "CHECK_FAILED",
      `${path}: ${wrong.length} of ${manifest.tensors.length} tensors are not what ${MANIFEST} says: ${wrong.slice(0, 20).join(", ")}${wrong.length > 20 ? ", …" : ""}`,
      AGAIN,
    );
  }
  return { tensors: manifest.tensors };
}
