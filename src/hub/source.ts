/** A weight file as formats/ sees it, wherever it is. At the Hub, small reads near each other share a request. */
import { WeightDiffError } from "../errors.js";
import { type FileSource, openFileSource } from "../files/file-source.js";
import { digestSource } from "../files/small-files.js";
import { openRanges } from "../http/ranges.js";
import { blobOf } from "./cache.js";
import type { HubFile } from "./place.js";

/** The least that is asked for: what follows is often wanted next, and costs less than another way to the Hub and back. */
const LEAST = 16_384;
/** Bytes kept of a file for the next reads: eight of the least, or the end of a zip file, where its directory is, and some. */
const KEPT = 131_072;

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

/** Bytes of a file that are here, or on their way. */
interface Block {
  readonly begin: number;
  readonly length: number;
  readonly bytes: Promise<Uint8Array>;
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
  const kept: Block[] = [];
  const keep = (block: Block): void => {
    kept.unshift(block);
    for (let size = kept.reduce((sum, { length }) => sum + length, 0); size > KEPT; ) {
      size -= kept.pop()?.length ?? 0;
    }
    block.bytes.catch(() => {
      const at = kept.indexOf(block);
      kept.splice(at, at < 0 ? 0 : 1);
    });
  };
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
      const known = kept.find(({ begin, length: size }) => begin <= offset && offset + length <= begin + size);
      if (known !== undefined) {
        return (await known.bytes).slice(offset - known.begin, offset - known.begin + length);
      }
      const bytes = new Uint8Array(Math.min(Math.max(length, LEAST), file.size - offset));
      const block = { begin: offset, length: bytes.length, bytes: ranges.read(bytes, offset).then(() => bytes) };
      if (block.length <= KEPT) {
        keep(block);
      }
      return (await block.bytes).slice(0, length);
    },
    close: async () => {},
  };
}
