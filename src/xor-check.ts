/** verify's look at what XOR codecs made: the manifest knows whole files, and each is digested as a whole. */
import { join } from "node:path";
import { expandHome } from "./checkpoint/locate.js";
import { regularFiles, sizeOf } from "./checkpoint/small-files.js";
import { digestFiles } from "./digest.js";
import { hasFile, MANIFEST } from "./engine/output-state.js";
import { WeightDiffError } from "./errors.js";
import type { Report } from "./finding.js";
import { isBareFileName } from "./formats/weight-index.js";
import { parseXorManifest, readManifestText, type XorManifest } from "./manifest.js";
import type { RunOptions } from "./run-plan.js";

/** The manifest beside XORed files; null if there is none, or another one. What is wrong with it, its readers tell. @throws {WeightDiffError} IO. */
export async function findXorManifest(path: string): Promise<XorManifest | null> {
  const directory = expandHome(path);
  if (!(await hasFile(directory, MANIFEST))) {
    return null;
  }
  const place = join(directory, MANIFEST);
  try {
    return parseXorManifest(await readManifestText(place), place);
  } catch (error) {
    if (error instanceof WeightDiffError && error.code !== "IO") {
      return null;
    }
    throw error;
  }
}

/** Every file against the manifest: what differs, is missing, or is extra. @returns bytes read. @throws {WeightDiffError} IO, INTERRUPTED. */
export async function checkXorFiles(
  path: string,
  manifest: XorManifest,
  options: RunOptions,
  report: Report,
): Promise<number> {
  const directory = expandHome(path);
  const whole: XorManifest["files"][number][] = [];
  for (const entry of manifest.files) {
    const { file, size } = entry;
    const found = isBareFileName(file) ? await sizeOf(join(directory, file)) : null;
    if (!isBareFileName(file)) {
      report("error", "the manifest lists it, and it is no bare file name", { file });
    } else if (found === null) {
      report("error", "missing: the manifest lists it", { file });
    } else if (found !== size) {
      report("error", `has ${found} bytes, the manifest says ${size}`, { file });
    } else {
      whole.push(entry);
    }
  }
  const digests = await digestFiles(
    whole.map(({ file }) => join(directory, file)),
    options,
  );
  for (const { file, sha256 } of whole) {
    if (digests.get(join(directory, file)) !== sha256) {
      report("error", "differs: its sha256 is not the one in the manifest", { file });
    }
  }
  const listed = new Set(manifest.files.map(({ file }) => file));
  for (const file of await regularFiles(directory)) {
    if (!listed.has(file) && file !== MANIFEST) {
      report("note", "the manifest does not list it", { file });
    }
  }
  return whole.reduce((sum, { size }) => sum + size, 0);
}
