/** A weight file as formats/ sees it, wherever it is. At the Hub, small reads near each other share a request. */
import { WeightDiffError } from "../errors.js";
import { type FileSource, openFileSource } from "../files/file-source.js";
import { digestSource } from "../files/small-files.js";
import { openRanges } from "../http/ranges.js";
import { blobOf } from "./cache.js";
import type { HubFile } from "./place.js";

/** The least that is asked for: what follows is often wanted next, and costs less than another way to the Hub and back. */
const LEAST = 16_384;
/** Blocks kept for the next read. */
const KEPT = 8;

/** Where a file is. */
export interface ShardPlace {
  readonly path: string;
  /** Of one that may be at the Hub. */
  readonly hub?: HubFile;
  /** Of one that came through a stream. */
  readonly passed?: FileSource;
  /** A folder that links must not lead out of, of one that is copied. */
  readonly within?: string;
}

/** The file's bytes: from this disk where they are, else from the Hub by range. @throws {WeightDiffError} as openFileSource; HUB_…, NETWORK. */
export async function openShardSource({ path, hub, passed, within }: ShardPlace): Promise<FileSource> {
  if (passed !== undefined) {
    return passed;
  }
  if (hub !== undefined && !hub.cached) {
    return openHubSource(hub, path);
  }
  return openFileSource(path, within ?? null).catch(async (error: unknown) => {
    // The Python client takes a pointer away before it makes the same one again.
    const blob = hub?.snapshot == null ? path : await blobOf(hub.snapshot, path, hub);
    if (blob !== path && error instanceof WeightDiffError && error.code === "NOT_FOUND") {
      return openFileSource(blob, within ?? null);
    }
    throw error;
  });
}

/** sha256 (hex) of the whole file, which may be at the Hub. @throws {WeightDiffError} NOT_FOUND, IO, HUB_…, NETWORK. */
export async function sha256Of(path: string, hub?: HubFile): Promise<string> {
  return digestSource(await openShardSource({ path, ...(hub === undefined ? {} : { hub }) }));
}

/** Whoever looks into a file again has its blocks, and its signed address, already. */
const sources = new WeakMap<HubFile, FileSource>();

/** Opens the file for reads by range. Nothing is asked before the first. */
function openHubSource(file: HubFile, path: string): FileSource {
  const source = sources.get(file) ?? newHubSource(file, path);
  sources.set(file, source);
  return source;
}

function newHubSource(file: HubFile, path: string): FileSource {
  const ranges = openRanges(file);
  const blocks: { readonly begin: number; readonly bytes: Uint8Array }[] = [];
  return {
    path,
    name: file.name,
    size: file.size,
    // At a fixed commit, the same name has the same bytes for ever.
    modified: file.etag,
    async readAt(offset, length) {
      if (
        !Number.isSafeInteger(offset) ||
        !Number.isSafeInteger(length) ||
        offset < 0 ||
        length < 0 ||
        offset + length > file.size
      ) {
        throw new WeightDiffError(
          "TRUNCATED",
          `bytes ${offset} to ${offset + length} are wanted, the file has ${file.size}`,
          `it was uploaded incomplete: tell its owner; see ${file.page}`,
          { at: { file: file.name } },
        );
      }
      const block = blocks.find(({ begin, bytes }) => begin <= offset && offset + length <= begin + bytes.length);
      if (block !== undefined) {
        return block.bytes.slice(offset - block.begin, offset - block.begin + length);
      }
      const fetched = new Uint8Array(Math.min(Math.max(length, LEAST), file.size - offset));
      await ranges.read(fetched, offset);
      if (length < LEAST) {
        blocks.unshift({ begin: offset, bytes: fetched });
        blocks.length = Math.min(blocks.length, KEPT);
      }
      return fetched.length === length ? fetched : fetched.slice(0, length);
    },
    close: async () => {},
  };
}
