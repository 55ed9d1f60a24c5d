/**
 * Opens as much of a checkpoint as possible, so that one bad file does not hide the next. Where a manifest lists the weight files, a file
 * that cannot be read is damage. Without a manifest, a folder in which nothing can be read is no checkpoint.
 */
import { basename, join } from "node:path";
import { type Checkpoint, openCheckpoint, readWeightIndex, type StoredTensor } from "../checkpoint/checkpoint.js";
import { loneState, storedIn } from "../checkpoint/layouts/huggingface.js";
import { layoutOfFile, plainModel } from "../checkpoint/layouts/registry.js";
import { inRepository, type Location, locate } from "../checkpoint/locate.js";
import { openShard, type Shard } from "../checkpoint/shard.js";
import { type ErrorKind, WeightDiffError } from "../errors.js";
import { absolutePath } from "../files/paths.js";
import { regularFiles } from "../files/small-files.js";
import type { AddFinding } from "../finding.js";
import { tensorBytes } from "../formats/dtype.js";
import { headerBudget } from "../formats/header-budget.js";
import { quote } from "../formats/quote.js";
import { isBareFileName } from "../formats/weight-index.js";
import type { Hub, HubPlace } from "../hub/place.js";
import type { Manifest } from "../manifest/manifest.js";

export interface Survey {
  /** The part of the checkpoint that could be read. */
  readonly checkpoint: Checkpoint;
  /** Bare name of the index, if there is one, and its text if it could be read. */
  readonly index: { readonly file: string; readonly text: string | null } | null;
  /** Bare names of the weight files that belong to the checkpoint and cannot be read. */
  readonly unreadable: ReadonlySet<string>;
}

/** Opens what can be opened. @throws {WeightDiffError} IO; as openCheckpoint, if nothing can be opened and no manifest lists the files. */
export async function surveyCheckpoint(
  path: string,
  manifest: Manifest | null,
  report: AddFinding,
  hub: Hub | null = null,
): Promise<Survey> {
  const place = (await hub?.find(path)) ?? null;
  const location = await locate(path, place).catch((error: unknown) => placeOf(path, place, manifest, report, error));
  const { directory, repo, commit } = location;
  if (location.layout !== "huggingface") {
    return { checkpoint: await openCheckpoint(path, hub), index: null, unreadable: new Set() };
  }
  const base = { ...plainModel(path), path, directory: location.single ? null : directory, repo, commit };
  const unreadable = new Set<string>();
  const budget = headerBudget();
  const open = async (file: string): Promise<Shard | null> => {
    try {
      return await openShard(location, file, budget);
    } catch (error) {
      unreadable.add(file);
      report("error", unusable(error, join(directory, file)), { file });
      return null;
    }
  };

  const [loneName] = location.files;
  if (location.index === null && loneName !== undefined) {
    const shard = await open(loneName);
    if (shard === null) {
      await refuseNothing(path, manifest, hub);
      return { checkpoint: { ...base, shards: [], stateDict: new Map(), notes: [] }, index: null, unreadable };
    }
    if (shard.header.tensors.length === 0) {
      await refuseNothing(path, manifest, hub);
    }
    const lone =
      layoutOfFile(shard.header).name === "huggingface"
        ? { shards: [shard], ...loneState(shard) }
        : await openCheckpoint(path, hub);
    return { checkpoint: { ...base, ...lone }, index: null, unreadable };
  }

  const index = location.index ?? "";
  const listed = location.index === null ? null : await indexOf(directory, index, manifest, report);
  const files = new Set(listed === null ? manifest?.files.map(({ file }) => file) : listed.weightMap.values());
  const shards: Shard[] = [];
  for (const file of [...files].filter(isBareFileName).sort()) {
    const shard = await open(file);
    if (shard !== null) {
      shards.push(shard);
    }
  }
  if (shards.every(({ header }) => header.tensors.length === 0)) {
    await refuseNothing(path, manifest, hub);
  }
  const stateDict =
    listed === null
      ? new Map(shards.flatMap((shard) => shard.header.tensors.map((tensor) => [tensor.name, storedIn(shard, tensor)])))
      : assigned(shards, listed.weightMap, unreadable, index, report);
  if (listed !== null) {
    checkTotal(index, listed.totalSize, stateDict, unreadable.size === 0, report);
    await checkStrayFiles(directory, new Set(listed.weightMap.values()), report);
  }
  const found =
    location.index === null
      ? null
      : { file: index, text: listed === null ? null : Buffer.from(listed.bytes).toString() };
  const step = listed?.isUpdate === true ? { stepIndex: index } : {};
  return { checkpoint: { ...base, ...step, shards, stateDict, notes: [] }, index: found, unreadable };
}

/** The files that the manifest lists, where the usual files are missing. */
function placeOf(
  path: string,
  place: HubPlace | null,
  manifest: Manifest | null,
  report: AddFinding,
  error: unknown,
): Location {
  if (manifest === null) {
    throw error;
  }
  report("error", unusable(error, null));
  const unknown = { layout: "huggingface", files: [], index: null, others: [], single: false } as const;
  return place === null
    ? { ...unknown, directory: absolutePath(path), repo: null, commit: null }
    : { ...unknown, ...inRepository(place) };
}

/** Without a manifest, opens the place as every other command does: its error tells best why this is no checkpoint. */
async function refuseNothing(path: string, manifest: Manifest | null, hub: Hub | null): Promise<void> {
  if (manifest === null) {
    await openCheckpoint(path, hub);
  }
}

async function indexOf(
  directory: string,
  index: string,
  manifest: Manifest | null,
  report: AddFinding,
): Promise<Awaited<ReturnType<typeof readWeightIndex>> | null> {
  try {
    return await readWeightIndex(directory, index);
  } catch (error) {
    if (manifest === null) {
      throw error;
    }
    report("error", unusable(error, join(directory, index)), { file: index });
    return null;
  }
}

/**
 * What is wrong with an input, in words. The path is left out if it is `path`.
 * @throws any error that is not about the content of an input.
 */
export function unusable(error: unknown, path: string | null): string {
  if (!(error instanceof WeightDiffError) || !ABOUT_CONTENT.has(error.kind)) {
    throw error;
  }
  return error.at.file === undefined || error.at.file === path ? error.fact : `${error.at.file}: ${error.fact}`;
}

const ABOUT_CONTENT: ReadonlySet<ErrorKind> = new Set(["input", "check", "limit"]);

/** Where index and shards disagree, so many tensors are named and the rest is counted. */
const SHOWN = 20;

/** Takes from each shard the tensors that the index assigns to it, and reports every disagreement. */
function assigned(
  shards: readonly Shard[],
  weightMap: ReadonlyMap<string, string>,
  unreadable: ReadonlySet<string>,
  index: string,
  report: AddFinding,
): ReadonlyMap<string, StoredTensor> {
  const stateDict = new Map<string, StoredTensor>();
  let strays = 0;
  let missing = 0;
  for (const shard of shards) {
    for (const tensor of shard.header.tensors) {
      const file = weightMap.get(tensor.name);
      if (file === shard.file) {
        stateDict.set(tensor.name, storedIn(shard, tensor));
      } else if (++strays <= SHOWN) {
        const what =
          file === undefined ? `is not in ${index}` : `is in this file, too; ${index} assigns it to ${quote(file)}`;
        report("error", `stray tensor: it ${what}`, { file: shard.file, tensor: tensor.name });
      }
    }
  }
  for (const [name, file] of weightMap) {
    if (!stateDict.has(name) && !unreadable.has(file) && ++missing <= SHOWN) {
      report("error", `missing: ${index} says it is in this file`, { file, tensor: name });
    }
  }
  if (strays > SHOWN) {
    report("error", `${strays - SHOWN} more stray tensors`, { file: index });
  }
  if (missing > SHOWN) {
    report("error", `${missing - SHOWN} more tensors are missing in the files that it names`, { file: index });
  }
  return stateDict;
}

/** transformers ignores total_size, and some converters wrote a wrong one (docs/formats.md 2.1). */
function checkTotal(
  index: string,
  stated: number | null,
  stateDict: ReadonlyMap<string, StoredTensor>,
  complete: boolean,
  report: AddFinding,
): void {
  const total = [...stateDict.values()].reduce((sum, { dtype, shape }) => sum + (tensorBytes(dtype, shape) ?? 0), 0);
  if (stated === null) {
    report("warning", "states no usable total_size", { file: index });
  } else if (complete && stated !== total) {
    report("warning", `total_size is ${stated}, the tensors have ${total} bytes`, { file: index });
  }
}

const SHARD = /^(.+)-(\d+)-of-(\d+)\.(bin|safetensors)$/;

/**
 * Reports files that look like shards of the same set and are missing in the index: they belong to another upload, or the index was cut
 * short.
 */
async function checkStrayFiles(directory: string, listed: ReadonlySet<string>, report: AddFinding): Promise<void> {
  const kind = (file: string): string | null => {
    const match = SHARD.exec(file);
    return match === null ? null : `${match[1]}.${match[4]}`;
  };
  const kinds = new Set([...listed].map(kind));
  for (const name of await regularFiles(directory)) {
    const own = kind(name);
    if (own !== null && kinds.has(own) && !listed.has(name)) {
      report("warning", "looks like a shard of this checkpoint, and the index does not list it", { file: name });
    }
  }
  const counts = new Set([...listed].map((file) => Number(SHARD.exec(file)?.[3] ?? Number.NaN)));
  const [count = Number.NaN] = counts;
  if (counts.size === 1 && count > listed.size) {
    report("warning", `the names of the shards promise ${count} of them, the index lists ${listed.size}`);
  }
}

/** Bare name of a single weight file. */
export function loneFile(path: string, checkpoint: Pick<Checkpoint, "directory">): string | null {
  return checkpoint.directory === null ? basename(path) : null;
}
