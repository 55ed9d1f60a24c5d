/** What a command sees of the Hub: repositories as folders whose weights may be elsewhere. */
import type { RemoteFile } from "../http/access.js";
import type { HubSnapshot } from "./cache.js";

/** A file of a repository, and where it is or would be on this disk. */
export interface HubFile extends RemoteFile {
  /** Ends all requests for it when the command is over. */
  readonly ended?: AbortSignal | undefined;
  /** The digest of its bytes, if the Hub knows it: it does for large files. */
  readonly sha256: string | null;
  /** In the repository. */
  readonly path: string;
  /** Of the cache; null if nothing is cached. */
  readonly snapshot: HubSnapshot | null;
  /** Is it there, of the right size? */
  readonly cached: boolean;
}

/** A folder of a repository at a commit. */
export interface HubPlace {
  /** "org/name". */
  readonly id: string;
  readonly commit: string;
  /** In the repository; "" is its root. */
  readonly folder: string;
  /** The folder's page. */
  readonly page: string;
  /** On this disk, with the small files. */
  readonly directory: string;
  /** Every file of the folder, bare. */
  readonly names: readonly string[];
  /** Folders in it, bare. */
  readonly folders: readonly string[];
  /** The user named this weight file; null for the folder. */
  readonly single: string | null;
  /** The files that are not brought to this disk at once, by bare name. */
  readonly files: ReadonlyMap<string, HubFile>;
  readonly offline: boolean;
  readonly notes: readonly string[];
}

export interface FetchProgress {
  /** Bytes so far and in all. */
  readonly done: number;
  readonly total: number;
  readonly file: string;
  /** "checked" is what is in the cache already and was not digested before. */
  readonly how: "fetched" | "checked";
}

export interface Hub {
  /**
   * The repository that `path` names; null if it is a local path, which it is wherever something of that name exists.
   * @throws {WeightDiffError} HUB_…, NETWORK, USAGE, LIMIT, IO, DISK_FULL.
   */
  find(path: string): Promise<HubPlace | null>;
  /** Bytes that `fetch` would download. */
  missing(files: readonly HubFile[]): Promise<number>;
  /**
   * Brings files into the cache, and checks that the files in it are what the Hub has. Does nothing without a cache.
   * @throws {WeightDiffError} as find, and HUB_OFFLINE for a damaged file that must not be fetched.
   */
  fetch(files: readonly HubFile[], onProgress?: (state: FetchProgress) => void): Promise<void>;
  /** Ends what is still under way, and removes the temporary files. Nothing is requested or written after that. */
  close(): Promise<void>;
}
