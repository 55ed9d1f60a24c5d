/**
 * Finds the weight files that a path means: a directory, one file, a Hub cache folder, with `~` expanded. Of several sets of weights it
 * takes the one that transformers' from_pretrained takes.
 */
import { readdir, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { WeightDiffError } from "../errors.js";
import { fileError } from "../files/errno.js";
import { missingPath } from "../files/missing-path.js";
import { absolutePath } from "../files/paths.js";
import { readText } from "../files/small-files.js";
import type { HubFile, HubPlace } from "../hub/place.js";
import type { FoundWeights, LayoutName } from "./layouts/layout.js";
import { findWeights, layoutOfPart } from "./layouts/registry.js";
import { nothingHere } from "./nothing-here.js";

export interface Location extends FoundWeights {
  /** Absolute path of the folder with the weight files. */
  readonly directory: string;
  /** The layout by names alone. The header of a single file may show another one. */
  readonly layout: LayoutName;
  /** Did the user name a weight file, and not a directory? */
  readonly single: boolean;
  readonly repo: string | null;
  readonly commit: string | null;
  /** For a repository whose files are not all on this disk; absent for a local path. */
  readonly hub?: {
    /** Files by bare name. */
    readonly files: ReadonlyMap<string, HubFile>;
    /** How to get a missing file. */
    readonly remedy: string;
    readonly offline: boolean;
    readonly notes: readonly string[];
  };
}

/**
 * Finds the weight files of `path`, by names only.
 * @param place the repository that `path` names, if it names one.
 * @throws {WeightDiffError} NOT_FOUND, FORMAT_UNSUPPORTED, IO.
 */
export async function locate(path: string, place: HubPlace | null = null): Promise<Location> {
  if (place !== null) {
    return locateInRepository(path, place);
  }
  const absolute = absolutePath(path);
  const info = await stat(absolute).catch(async (error: unknown) => {
    throw (await missingPath(path)) ?? fileError(path, "open", error);
  });
  if (!info.isDirectory()) {
    if (absolute.endsWith(".index.json")) {
      throw new WeightDiffError("NOT_FOUND", "an index, not weights", `give its directory: ${dirname(path)}`, {
        at: { file: path },
      });
    }
    const place = plain(dirname(absolute));
    const file = basename(absolute);
    return layoutOfPart(file) === undefined
      ? { ...place, ...loneFile(file) }
      : locateParts(place, file, await listDirectory(place.directory));
  }
  const snapshot = await hubSnapshot(absolute, path);
  return chooseWeights(path, snapshot, new Set(await listDirectory(snapshot.directory)));
}

async function locateInRepository(path: string, place: HubPlace): Promise<Location> {
  const found = inRepository(place);
  const { single } = place;
  if (single !== null) {
    return layoutOfPart(single) === undefined
      ? { ...found, ...loneFile(single) }
      : locateParts(found, single, place.names);
  }
  try {
    return await chooseWeights(path, found, new Set(place.names), place);
  } catch (error) {
    throw error instanceof WeightDiffError
      ? new WeightDiffError(error.code, error.fact, `${error.hint ?? ""}; ${found.hub.remedy}`, {
          at: error.at,
          advice: error.advice,
        })
      : error;
  }
}

/** The folder of a repository, before it is known which files are the weights. */
export function inRepository({ id, commit, directory, files, notes, offline, page }: HubPlace) {
  const remedy = offline
    ? "go online once (neither the option nor HF_HUB_OFFLINE may forbid it): what is missing in the cache is fetched"
    : `see ${page}`;
  return { directory, repo: id, commit, hub: { files, remedy, offline, notes } } as const;
}

type Place = Pick<Location, "directory" | "repo" | "commit" | "hub">;

async function chooseWeights(
  path: string,
  place: Place,
  names: ReadonlySet<string>,
  hub: HubPlace | null = null,
): Promise<Location> {
  const found = findWeights(names);
  if (found === null) {
    throw await nothingHere({ path, directory: place.directory, names: [...names].sort(), hub });
  }
  return { ...place, ...found, single: false };
}

function loneFile(file: string): Pick<Location, "layout" | "files" | "index" | "others" | "single"> {
  return { layout: "huggingface", files: [file], index: null, others: [], single: true };
}

/** One part of several is no checkpoint. If the others lie beside it, all of them are meant. */
function locateParts(place: Place, part: string, names: readonly string[]): Location {
  const layout = layoutOfPart(part);
  const found = layout?.find(new Set(names));
  return layout === undefined || found == null
    ? { ...place, ...loneFile(part) }
    : { ...place, ...found, layout: layout.name, single: false };
}

function plain(directory: string): Pick<Location, "directory" | "repo" | "commit"> {
  const { repo, commit } = namedSnapshot(directory);
  return { directory, repo, commit };
}

/** Repository and commit from a path such as …/models--org--name/snapshots/<commit>. */
function namedSnapshot(directory: string): { repo: string | null; commit: string | null } {
  const commit = basename(directory);
  const folder = basename(dirname(dirname(directory)));
  if (basename(dirname(directory)) !== "snapshots" || !folder.startsWith("models--")) {
    return { repo: null, commit: null };
  }
  return { repo: folder.slice("models--".length).replace("--", "/"), commit };
}

/** A commit has 40 characters; the rest allows for white space. */
const MAX_REF_BYTES = 100;

/** A Hub cache folder "models--org--name" stands for the snapshot that refs/main names (docs/hub.md). */
export async function hubSnapshot(
  directory: string,
  path: string,
): Promise<Pick<Location, "directory" | "repo" | "commit">> {
  if (!basename(directory).startsWith("models--")) {
    return plain(directory);
  }
  const commit = (await readText(join(directory, "refs", "main"), MAX_REF_BYTES).catch(() => "")).trim();
  if (!/^[0-9a-f]{40}$/.test(commit)) {
    throw new WeightDiffError(
      "NOT_FOUND",
      "a Hub cache folder without a commit in refs/main",
      "give one of its snapshots/<commit> folders",
      { at: { file: path } },
    );
  }
  return plain(join(directory, "snapshots", commit));
}

async function listDirectory(directory: string): Promise<readonly string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    throw fileError(directory, "list", error);
  }
}
