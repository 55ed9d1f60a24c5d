/** How verify checks the files beside the weights: the manifest, config, tokenizer and side files. */
import { join } from "node:path";
import { checkArchitecture, type Judged } from "../../check/architecture.js";
import { checkSideFiles, checkTokenizer, checkUnfinished } from "../../check/side-files.js";
import { loneFile, type Survey, unusable } from "../../check/survey.js";
import { configOf, type ModelConfig } from "../../checkpoint/config.js";
import { readTokenizer } from "../../checkpoint/tokenizer.js";
import { WeightDiffError } from "../../errors.js";
import { expandHome } from "../../files/paths.js";
import { STREAM } from "../../files/pipe.js";
import type { AddFinding } from "../../finding.js";
import type { Hub } from "../../hub/place.js";
import type { Manifest } from "../../manifest/manifest.js";
import { isVerbatim, parseManifest, RETYPED, readManifestBytes } from "../../manifest/read.js";
import { hasFile, MANIFEST } from "../../output/state.js";
import { ENCODING_KEY } from "../../plan/exact.js";

/** The options of verify that matter here. */
interface Asked {
  readonly path: string;
  readonly manifest?: string | null;
  readonly requireDigests?: boolean;
}

/** The manifest, if there is one. The findings already tell why it is "unusable". */
type FoundManifest =
  | { readonly state: "usable"; readonly manifest: Manifest }
  | { readonly state: "none" | "unusable"; readonly manifest: null };

/** @throws {WeightDiffError} NOT_FOUND if the user named a manifest that does not exist; IO. */
export async function findManifest(
  { manifest: given = null, path: place, hub }: Asked & { readonly hub: Hub },
  report: AddFinding,
): Promise<FoundManifest> {
  if (given === null && place === STREAM) {
    return { state: "none", manifest: null };
  }
  const directory = (given === null ? await hub.find(place) : null)?.directory ?? expandHome(place);
  const path = given === null ? join(directory, MANIFEST) : expandHome(given);
  if (given === null && !(await hasFile(directory, MANIFEST))) {
    return { state: "none", manifest: null };
  }
  const where = given === null ? { file: MANIFEST } : {};
  const name = given === null ? "" : `manifest ${given}: `;
  try {
    const bytes = await readManifestBytes(path);
    const manifest = parseManifest(bytes, path);
    if (!isVerbatim(bytes, manifest)) {
      report("error", `${name}${RETYPED}`, where);
    }
    return { state: "usable", manifest };
  } catch (error) {
    if (error instanceof WeightDiffError && error.code === "NOT_FOUND") {
      throw error;
    }
    report("error", `${name}cannot be used: ${unusable(error, path)}`, where);
    return { state: "unusable", manifest: null };
  }
}

/** Reports missing digests: if they are required, or if make-diff wrote the files, since it always writes digests too. */
export function checkDigestsThere(
  { state }: FoundManifest,
  { checkpoint }: Survey,
  { requireDigests }: Asked,
  report: AddFinding,
): void {
  const made = checkpoint.shards.some(({ header }) => header.metadata.has(ENCODING_KEY));
  if (state === "none" && made && checkpoint.directory !== null) {
    report(
      "error",
      "its manifest is missing: make-diff wrote one beside this diff, and nothing else states what belongs to it",
      {
        file: MANIFEST,
        code: "no-manifest",
      },
    );
  }
  if (state !== "usable" && requireDigests === true) {
    report("error", `no digests: there is no usable ${MANIFEST}, and digests are required`, {
      code: "no-manifest",
    });
  }
}

export interface Structure {
  readonly config: ModelConfig | null;
  readonly judged: Judged;
}

/** Checks config and side files. The survey has already checked the weight files. */
export async function checkStructure(
  survey: Survey,
  manifest: Manifest | null,
  report: AddFinding,
): Promise<Structure> {
  const made = new Map(manifest?.tensors.map((tensor) => [tensor.name, tensor]));
  const { directory, stateDict, shards, path } = survey.checkpoint;
  if (directory === null) {
    report("note", "a single file: there is no index, config or tokenizer to check it against", {
      file: loneFile(path, survey.checkpoint) ?? path,
    });
    return { config: null, judged: checkArchitecture(stateDict, null, report, made) };
  }
  const file = "config.json";
  const config = await configOf(survey.checkpoint).catch((error: unknown) => {
    report("error", unusable(error, join(directory, file)), { file });
    return undefined;
  });
  if (config === null) {
    report("warning", "missing: loaders need it", { file });
  }
  const judged = checkArchitecture(stateDict, survey.unreadable.size === 0 ? (config ?? null) : null, report, made);
  const weights = new Set([...shards.map((shard) => shard.file), ...survey.unreadable, survey.index?.file ?? ""]);
  await checkSideFiles(directory, new Set([...weights, file]), report);
  checkTokenizer(await readTokenizer(directory), survey.checkpoint, config ?? null, report);
  await checkUnfinished(directory, report);
  return { config: config ?? null, judged };
}
