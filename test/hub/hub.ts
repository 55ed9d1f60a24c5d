/** What the test Hub knows: repositories, accounts, uploaded objects, and how it is set up. */
import type { Repo } from "./repo.js";

export interface Account {
  readonly name: string;
  readonly role: "read" | "write";
  /** Where it sees what is private, and may write with the role for it. */
  readonly namespaces: readonly string[];
  /** Gated repositories it was let into. */
  readonly accepted: readonly string[];
}

export interface Hub {
  endpoint: string;
  cdn: string;
  readonly secret: string;
  readonly repos: Map<string, Repo>;
  /** Old name -> new name. */
  readonly renames: Map<string, string>;
  readonly accounts: Map<string, Account>;
  /** Objects by sha256, and parts of them by sha256/number, as they were sent. */
  readonly uploads: Map<string, Buffer>;
  /** How files are told of: a list for each folder; as siblings of the repository's description, with digests; or with their names alone. */
  lists: "tree" | "siblings" | "names";
  /** Entries in one page of a listing. */
  pageSize: number;
  /** Of signed addresses; negative: expired before they are used. */
  urlLifetimeMs: number;
  /** Are small files answered by a relative redirect to a cache, as the real Hub has done since 2025? */
  resolveCache: boolean;
  /** Objects larger than this go up in parts of this size; null: every object in one piece. */
  partSize: number | null;
  /** Larger objects are refused, as if the storage was full. */
  quota: number | null;
}

export function repoNamed(hub: Hub, id: string): Repo | undefined {
  return hub.repos.get(id);
}

/** The content with this sha256: uploaded, or in any commit. */
export function objectNamed(hub: Hub, oid: string): Buffer | undefined {
  const uploaded = hub.uploads.get(oid);
  if (uploaded !== undefined) {
    return uploaded;
  }
  for (const repo of hub.repos.values()) {
    for (const { files } of repo.commits.values()) {
      for (const { lfs, bytes } of files.values()) {
        if (lfs?.oid === oid) {
          return bytes;
        }
      }
    }
  }
  return undefined;
}
