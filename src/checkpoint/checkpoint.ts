/**
 * Opens a model's weights as a map from names to byte ranges: from a directory, one file or a Hub cache folder, in any layout. Reads only
 * headers.
 */
import { join } from "node:path";
import { WeightDiffError } from "../errors.js";
import { decodeText, openFileSource } from "../files/file-source.js";
import { sizeOf } from "../files/small-files.js";
import { MAX_INDEX, parseWeightIndex, type WeightIndex } from "../formats/weight-index.js";
import type { Hub } from "../hub/place.js";
import { expansionNote } from "./expansion.js";
import type { LayoutModel, Stored } from "./layouts/layout.js";
import { layoutNamed, layoutOfFile } from "./layouts/registry.js";
import { type Location, locate } from "./locate.js";
import { openEach, type Shard } from "./shard.js";
import { refusePlaceholder } from "./side-files.js";

/** A tensor and the shard that holds it. */
export type StoredTensor = Stored<Shard>;

/** Tensors by name, in the order of the file names, and in the order of each file. */
export type StateDict = ReadonlyMap<string, StoredTensor>;

export interface Checkpoint extends LayoutModel<Shard> {
  /** As the user wrote it. */
  readonly path: string;
  /** The folder of config and tokenizer; null for a single file. */
  readonly directory: string | null;
  /** "org/name" and commit, if the path is a repository or a Hub cache folder. */
  readonly repo: string | null;
  readonly commit: string | null;
  readonly shards: readonly Shard[];
  /** The tensors under the names of Hugging Face's layout, without a key around the whole dict. */
  readonly stateDict: StateDict;
  /** The index that says that the files hold one step of a chain of updates, and not weights. */
  readonly stepIndex?: string;
  /** Notes for the user about the files, one sentence each. */
  readonly notes: readonly string[];
}

/**
 * Reads every header of the checkpoint at `path`.
 * @throws {WeightDiffError} NOT_FOUND (no such path, no weights, shard or index missing), NOT_WEIGHTS, TRUNCATED, FORMAT_INVALID,
 * FORMAT_UNSUPPORTED, PICKLE_GLOBAL, LIMIT, MISMATCH (index and shards disagree), IO.
 */
export async function openCheckpoint(path: string, hub: Hub | null = null): Promise<Checkpoint> {
  const location = await locate(path, (await hub?.find(path)) ?? null);
  const { directory, repo, commit, others } = location;
  const base = { path, directory: location.single ? null : directory, repo, commit };
  const opened = await openModel(path, location).catch((error: unknown) => {
    throw nameOthers(error, location);
  });
  if (opened.stateDict.size === 0) {
    throw new WeightDiffError(
      "NOT_WEIGHTS",
      "no tensor in it",
      "save the model's state_dict(), or get the file again",
      {
        at: { file: path },
      },
    );
  }
  const used = usedOf(location);
  const note = `${used} is used; ${others.join(", ")} ${others.length === 1 ? "is" : "are"} not read (the order of transformers)`;
  const expansion = expansionNote(opened.shards, opened.stateDict.values(), path);
  const notes = [
    ...(location.hub?.notes ?? []),
    ...(others.length === 0 ? [] : [note]),
    ...opened.notes,
    ...(expansion === null ? [] : [expansion]),
  ];
  return { ...base, ...opened, notes };
}

async function openModel(
  path: string,
  location: Location,
): Promise<LayoutModel<Shard> & Pick<Checkpoint, "shards" | "stepIndex">> {
  const { directory, index, files } = location;
  const read = index === null ? null : await readWeightIndex(directory, index);
  const weightMap = read?.weightMap ?? null;
  const names = weightMap === null ? files : [...new Set(weightMap.values())].sort();
  const shards = await openEach(location, names);
  const [lone] = shards;
  // A single file may have any layout; its header tells which.
  const isLone = location.layout === "huggingface" && weightMap === null && lone !== undefined;
  const layout = isLone ? layoutOfFile(lone.header) : layoutNamed(location.layout);
  const model = await layout.read({
    shards,
    index: weightMap === null || index === null ? null : { file: index, weightMap },
    params: layout.params === null ? null : await readParams(location, layout.params),
    path,
    directory,
  });
  return { ...model, shards, ...(read?.isUpdate === true && index !== null ? { stepIndex: index } : {}) };
}

function usedOf({ index, files }: Location): string {
  return index ?? files[0] ?? "";
}

/** If the first of several sets of weights cannot be read, no other is used silently, but the error mentions it. */
function nameOthers(error: unknown, location: Location): unknown {
  const [next] = location.others;
  if (!(error instanceof WeightDiffError) || next === undefined) {
    return error;
  }
  const hint = error.hint === undefined ? "" : `${error.hint}; `;
  const remedy = `or move ${usedOf(location)} to another place: then ${next} beside it is used`;
  return new WeightDiffError(error.code, error.fact, `${hint}${remedy}`, {
    at: error.at,
    advice: error.advice,
    cause: error,
  });
}

/** For a single file on the Hub, nothing else is fetched. Files beside it in the cache are ignored. */
async function readParams(
  { directory, single, hub }: Location,
  file: string,
): Promise<{ readonly text: string; readonly path: string } | null> {
  const path = join(directory, file);
  if ((single && hub !== undefined) || (await sizeOf(path)) === null) {
    return null;
  }
  return { path, text: decodeText(await readSmall(directory, file, MAX_PARAMS_BYTES), path) };
}

/** @throws {WeightDiffError} NOT_FOUND, NOT_WEIGHTS, FORMAT_INVALID, LIMIT, IO. */
export async function readWeightIndex(
  directory: string,
  index: string,
): Promise<WeightIndex & { readonly bytes: Uint8Array }> {
  const bytes = await readSmall(directory, index, MAX_INDEX);
  return { ...parseWeightIndex(bytes, join(directory, index)), bytes };
}

/** Reads a small file, and refuses a placeholder. @param most bytes. */
async function readSmall(directory: string, file: string, most: number): Promise<Uint8Array> {
  await refusePlaceholder(join(directory, file), file);
  const source = await openFileSource(join(directory, file));
  try {
    if (source.size > most) {
      throw new WeightDiffError(
        "LIMIT",
        `${source.size} bytes, at most ${most} are read`,
        "real ones are much smaller: fetch it again",
        { at: { file: source.path } },
      );
    }
    return await source.readAt(0, source.size);
  } finally {
    await source.close();
  }
}

/** Real ones have a hundred bytes. */
const MAX_PARAMS_BYTES = 1_000_000;
