/**
 * How verify checks the files of XOR codecs. The manifest has digests of whole files. Each file is digested here, or the Hub knows its
 * digest.
 */
import { join } from "node:path";
import { WeightDiffError } from "../errors.js";
import { expandHome } from "../files/paths.js";
import { regularFiles, sizeOf } from "../files/small-files.js";
import type { AddFinding } from "../finding.js";
import { isBareFileName } from "../formats/weight-index.js";
import type { Hub, HubFile, HubPlace } from "../hub/place.js";
import { sha256Of } from "../hub/source.js";
import type { XorManifest } from "../manifest/manifest.js";
import { isVerbatim, parseXorManifest, RETYPED, readManifestBytes } from "../manifest/read.js";
import { hasFile, MANIFEST, SIGNATURE } from "../output/state.js";
import { digestFiles } from "../run/digest.js";
import { withHub } from "../run/inputs.js";
import type { RunOptions } from "../run/run-plan.js";
import { DIFFERS, EXTRA, MISSING, NOT_BARE, otherSize } from "./listed.js";

/**
 * The manifest beside XORed files. Null if there is none, or one of another kind. Errors in the manifest are left to its readers. A text
 * that was changed without changing its values is a finding here.
 * @throws {WeightDiffError} IO, HUB_…, NETWORK.
 */
export async function findXorManifest(path: string, hub: Hub, report: AddFinding): Promise<XorManifest | null> {
  const directory = (await hub.find(path))?.directory ?? expandHome(path);
  if (!(await hasFile(directory, MANIFEST))) {
    return null;
  }
  const place = join(directory, MANIFEST);
  try {
    const bytes = await readManifestBytes(place);
    const manifest = parseXorManifest(bytes, place);
    if (manifest !== null && !isVerbatim(bytes, manifest)) {
      report("error", RETYPED, { file: MANIFEST });
    }
    return manifest;
  } catch (error) {
    if (error instanceof WeightDiffError && error.code !== "IO") {
      return null;
    }
    throw error;
  }
}

/**
 * Compares every file with the manifest, and reports what differs, is missing, or is extra. For large files on the Hub, the Hub's own
 * digests are used.
 * @returns bytes read.
 * @throws {WeightDiffError} IO, INTERRUPTED, HUB_…, NETWORK.
 */
export async function checkXorFiles(
  path: string,
  manifest: XorManifest,
  options: RunOptions,
  report: AddFinding,
): Promise<number> {
  const place = await withHub(options, ({ hub }) => hub.find(path));
  const directory = place?.directory ?? expandHome(path);
  const whole: { readonly entry: XorManifest["files"][number]; readonly hub: HubFile | undefined }[] = [];
  for (const entry of manifest.files) {
    const { file, size } = entry;
    const hub = place?.files.get(file);
    const found = isBareFileName(file) ? (hub?.size ?? (await sizeOf(join(directory, file)))) : null;
    if (!isBareFileName(file)) {
      report("error", NOT_BARE, { file });
    } else if (found === null) {
      report("error", MISSING, { file });
    } else if (found !== size) {
      report("error", otherSize(found, size), { file });
    } else {
      whole.push({ entry, hub });
    }
  }
  const here = whole.filter(({ hub }) => hub === undefined || hub.cached);
  const digests = await digestFiles(
    here.map(({ entry }) => join(directory, entry.file)),
    options,
  );
  let read = here.reduce((sum, { entry }) => sum + entry.size, 0);
  for (const { entry, hub } of whole) {
    const { file, size, sha256 } = entry;
    let found = digests.get(join(directory, file)) ?? hub?.sha256 ?? null;
    if (found === null) {
      found = await sha256Of(join(directory, file), hub); // the Hub lists no sha256 for small files
      read += size;
    }
    if (found !== sha256) {
      report("error", DIFFERS, { file });
    }
  }
  const listed = new Set(manifest.files.map(({ file }) => file));
  for (const file of await namesIn(place, directory)) {
    if (!listed.has(file) && file !== MANIFEST && file !== SIGNATURE) {
      report("note", EXTRA, { file });
    }
  }
  return read;
}

/** Files of git and of the Hub do not belong to the model. */
async function namesIn(place: HubPlace | null, directory: string): Promise<readonly string[]> {
  return place === null
    ? regularFiles(directory)
    : place.names.filter((file) => !file.startsWith(".git") && file !== "README.md");
}
