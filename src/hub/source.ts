/** A weight file as formats/ sees it, wherever it is. At the Hub, small reads near each other share a request. */
import { WeightDiffError } from "../errors.js";
import { type FileSource, openFileSource } from "../files/file-source.js";
import { digestSource } from "../files/small-files.js";
import { openRanges } from "../http/ranges.js";
import { blobOf } from "./cache.js";
import type { HubFile } from "./place.js";

/**
 * The smallest request: the bytes that follow are often wanted next, and cost less than another round trip to the Hub. A new connection
 * brings 14 kB at once (RFC 6928), and more only after a round trip.
 */
const LEAST = 8192;
/** The smallest request at the beginning of a file. Most headers fit in it. */
const LEAST_HEAD = 65_536;
/**
 * Bytes kept of all files for the next reads: two hundred samples of each side, which several of the guards look at, with headers and the
 * ends of zip files.
 */
const KEPT = 4_194_304;

/** Where a file is. */
export interface ShardPlace {
  readonly path: string;
  /** Of one that may be at the Hub. */
  readonly hub?: HubFile | undefined;
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
  readonly file: HubFile;
  readonly begin: number;
  readonly length: number;
  readonly bytes: Promise<Uint8Array>;
}

/** Kept for each file, so that a second look at it has the blocks and the signed address already. */
const sources = new WeakMap<HubFile, FileSource>();

/** Opens the file for reads by range. Makes no request before the first read. */
function openHubSource(file: HubFile, path: string): FileSource {
  const source = sources.get(file) ?? newHubSource(file, path);
  sources.set(file, source);
  return source;
}

/** The latest blocks, the newest first. */
const kept: Block[] = [];

function keep(block: Block): void {
  kept.unshift(block);
  for (let size = kept.reduce((sum, { length }) => sum + length, 0); size > KEPT; ) {
    size -= kept.pop()?.length ?? 0;
  }
  block.bytes.catch(() => {
    const at = kept.indexOf(block);
    kept.splice(at, at < 0 ? 0 : 1);
  });
}

function newHubSource(file: HubFile, path: string): FileSource {
  const ranges = openRanges(file, file.ended);
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
      const known = kept.find(
        (block) => block.file === file && block.begin <= offset && offset + length <= block.begin + block.length,
      );
      if (known !== undefined) {
        return (await known.bytes).slice(offset - known.begin, offset - known.begin + length);
      }
      const least = offset === 0 ? LEAST_HEAD : LEAST;
      const bytes = new Uint8Array(Math.min(Math.max(length, least), file.size - offset));
      const block = { file, begin: offset, length: bytes.length, bytes: ranges.read(bytes, offset).then(() => bytes) };
      if (block.length <= KEPT) {
        keep(block);
      }
      return (await block.bytes).slice(0, length);
    },
    close: async () => {},
  };
}
