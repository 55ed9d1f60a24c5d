/** Prepares the inputs of a run: fetches files of the Hub into the cache, or arranges to read them by range. */
import { stat } from "node:fs/promises";
import type { Shard } from "../checkpoint/shard.js";
import { throwIfAborted } from "../engine/io/abort.js";
import type { InputFile } from "../engine/io/files.js";
import { WeightDiffError } from "../errors.js";
import { blobDigest } from "../files/blob.js";
import { fileError } from "../files/errno.js";
import { withAddress } from "../http/ranges.js";
import { blobOf } from "../hub/cache.js";
import type { FetchProgress, Hub, HubFile } from "../hub/place.js";
import { openHub } from "../hub/session.js";
import type { HubOptions } from "../hub/settings.js";
import { bytesText, refuseFullCache } from "./preflight.js";

export interface HubRunOptions {
  /** How to reach the Hub, for checkpoints that are repositories. The environment decides what is left out. */
  readonly hub?: HubOptions | Hub;
  /** Ends the call, as a SIGINT ends the command line. The promise rejects with INTERRUPTED, and finished work can be resumed. */
  readonly signal?: AbortSignal | undefined;
}

/** Opens the Hub while `work` runs. A command inside another one shares its Hub. */
export async function withHub<O extends HubRunOptions, T>(
  options: O,
  work: (options: O & { readonly hub: Hub }) => Promise<T>,
): Promise<T> {
  const { hub: given } = options;
  if (isOpen(given)) {
    return work({ ...options, hub: given });
  }
  const hub = openHub(given ?? {}, options.signal);
  try {
    return await work({ ...options, hub });
  } catch (error) {
    if (!(error instanceof WeightDiffError)) {
      throwIfAborted(options.signal);
    }
    throw error;
  } finally {
    await hub.close();
  }
}

function isOpen(hub: HubOptions | Hub | undefined): hub is Hub {
  return hub !== undefined && "find" in hub;
}

export interface Progress {
  readonly done: number;
  readonly total: number;
  readonly shard: string | null;
  readonly tensor: string;
}

/** A file of the run, with the place where it is or will be on this disk. */
type WantedFile = Pick<Shard, "path" | "size" | "modified" | "hub">;

/** The same file as a worker opens it. */
export type ProvidedInput = Omit<InputFile, "direct">;

/**
 * The files as workers open them.
 * @param output what will be written and where, to check that cache and output fit the disk together.
 * @throws {WeightDiffError} DISK_FULL before anything is fetched; HUB_…, NETWORK, IO, INTERRUPTED.
 */
export async function provideInputs(
  files: readonly WantedFile[],
  options: HubRunOptions & { readonly onProgress?: ((state: Progress) => void) | undefined },
  output: { readonly path: string; readonly bytes: number } | null = null,
): Promise<readonly ProvidedInput[]> {
  const cacheable = files.flatMap(({ hub }) => (hub !== undefined && hub.snapshot !== null ? [hub] : []));
  if (cacheable.length > 0) {
    await withHub(options, async ({ hub }) => {
      await refuseFullCache(cacheable[0]?.snapshot?.folder ?? "", await hub.missing(cacheable), output);
      await hub.fetch(cacheable, (state) => options.onProgress?.(progressOf(state)));
    });
  }
  return Promise.all(
    files.map(async ({ path, size, modified, hub }) => {
      if (hub === undefined) {
        return { path, size, modified };
      }
      if (hub.snapshot === null) {
        // The path on this disk would mean nothing to the user.
        return { path: hub.name, size, modified: hub.etag, remote: await remoteOf(hub) };
      }
      const blob = { path: await blobOf(hub.snapshot, path, hub), etag: hub.etag };
      const info = await stat(path, { bigint: true })
        .catch(() => stat(blob.path, { bigint: true }))
        .catch((error: unknown) => {
          throw fileError(path, "look at", error);
        });
      return { path, size, modified: String(info.mtimeNs), ...(blobDigest(hub.etag, size) === null ? {} : { blob }) };
    }),
  );
}

/** What a dry run tells about downloads; null if nothing would be fetched. */
export async function fetchNote(files: readonly WantedFile[], options: HubRunOptions): Promise<string | null> {
  const ofHub = files.flatMap(({ hub }) => (hub === undefined ? [] : [hub]));
  const streamed = ofHub.filter(({ snapshot }) => snapshot === null);
  if (streamed.length > 0) {
    return `${streamed.length} files would be read from the Hub, without a copy`;
  }
  const bytes = await withHub(options, ({ hub }) => hub.missing(ofHub));
  return bytes === 0 ? null : `${bytesText(bytes)} of weights would be fetched into the cache`;
}

function progressOf({ done, total, file, how }: FetchProgress): Progress {
  return { done, total, shard: file, tensor: `is being ${how}` };
}

/** The part of it that threads need, with what this one has asked already. */
async function remoteOf(file: HubFile): Promise<NonNullable<InputFile["remote"]>> {
  const { name, repo, url, page, size, etag, access, address } = await withAddress(file);
  return { name, repo, url, page, size, etag, access, ...(address === undefined ? {} : { address }) };
}
