/** The weight files of a checkpoint, on this disk or on the Hub. Each is opened, its header is read, and it is closed again. */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { WeightDiffError } from "../errors.js";
import { isTrueBlob } from "../files/blob.js";
import type { FileSource } from "../files/file-source.js";
import { type HeaderBudget, headerBudget } from "../formats/header-budget.js";
import type { ShardHeader } from "../formats/tensor-info.js";
import { readWeightFile } from "../formats/weight-file.js";
import type { HubFile } from "../hub/place.js";
import { openShardSource } from "../hub/source.js";
import type { Location } from "./locate.js";

/** One weight file of a checkpoint with its header. */
export interface Shard {
  /** Bare file name. */
  readonly file: string;
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  /** Nanoseconds since 1970, as text. */
  readonly modified: string;
  readonly header: ShardHeader;
  /** For a file on the Hub, whose bytes may not be on this disk. */
  readonly hub?: HubFile;
  /** For a stream: the bytes that were kept when it passed. */
  readonly passed?: FileSource;
}

/** A weight file whose tensors are not looked at any more. */
export type ShardFile = Omit<Shard, "header"> & { readonly header: Pick<ShardHeader, "digest"> };

export function withoutTensors({ header: { digest }, ...shard }: ShardFile): ShardFile {
  return { ...shard, header: { digest } };
}

/** A header is a few requests one after the other: those of several files at once hide the way to the Hub and back. */
export const REMOTE_PARALLEL = 8;

/** The shards in the order of `files`. @throws {WeightDiffError} for the first that cannot be opened. */
export async function openEach(location: Location, files: readonly string[]): Promise<readonly Shard[]> {
  const step = location.hub === undefined ? 1 : REMOTE_PARALLEL;
  const budget = headerBudget();
  const shards: Shard[] = [];
  for (let first = 0; first < files.length; first += step) {
    const opened = await Promise.allSettled(
      files.slice(first, first + step).map((file) => openShard(location, file, budget, files)),
    );
    for (const outcome of opened) {
      if (outcome.status === "rejected") {
        throw outcome.reason;
      }
      shards.push(outcome.value);
    }
  }
  return shards;
}

/** The missing files of a model on this disk. */
async function absent(directory: string, files: readonly string[]): Promise<readonly string[]> {
  const found = await Promise.all(files.map((file) => stat(join(directory, file)).catch(() => null)));
  return files.filter((_, at) => found[at] === null);
}

/**
 * Reads the header of one weight file.
 * @param all the shards of the checkpoint.
 * @param budget what the headers of the whole checkpoint may still take.
 * @throws {WeightDiffError} as openCheckpoint.
 */
export async function openShard(
  location: Location,
  file: string,
  budget: HeaderBudget,
  all: readonly string[] = [file],
): Promise<Shard> {
  const { directory, index, hub } = location;
  const path = join(directory, file);
  const remote = hub?.files.get(file);
  const source = await openShardSource({ path, ...(remote === undefined ? {} : { hub: remote }) }).catch(
    async (error: unknown) => {
      if (index !== null && error instanceof WeightDiffError && error.code === "NOT_FOUND") {
        const others = (hub === undefined ? await absent(directory, all) : []).filter((name) => name !== file).length;
        const more = others === 0 ? "" : `, and ${others} more of ${all.length} shards,`;
        throw new WeightDiffError(
          "NOT_FOUND",
          `shard is missing, ${index} lists it`,
          hub?.remedy ?? `fetch ${file}${more} from where the model came from`,
          { at: { file: path } },
        );
      }
      throw error;
    },
  );
  try {
    const header = await readWeightFile(source, budget);
    const { size, modified } = source;
    return { file, path, size, modified, header, ...(remote === undefined ? {} : { hub: remote }) };
  } catch (error) {
    // A copy in the cache that differs from the Hub's file counts as missing.
    if (hub !== undefined && !hub.offline && remote?.cached === true && !(await isTrueBlob(path, remote.etag))) {
      const files = new Map([...hub.files, [file, { ...remote, cached: false }]]);
      return await openShard({ ...location, hub: { ...hub, files } }, file, budget);
    }
    throw error;
  } finally {
    await source.close();
  }
}
