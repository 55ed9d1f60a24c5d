/** The entries of a repository's folder as the Hub lists them, and which of them are plain files with a digest. */
import * as z from "zod";
import { foldedName, isDeviceName } from "../files/portable-names.js";
import { printable } from "../formats/quote.js";
import { isBareFileName } from "../formats/weight-index.js";
import { holdsSecret } from "../secrets.js";

/** A file of a repository's folder. */
export interface HubEntry {
  /** Bare; "folder/name" of a file in a folder there. */
  readonly file: string;
  /** Bytes. */
  readonly size: number;
  /** sha256 of a large file (git-lfs, Xet), git's blob sha1 of a small one; hex. */
  readonly etag: string;
}

export interface HubListing {
  readonly files: readonly HubEntry[];
  /** Bare names of the folders in it. */
  readonly folders: readonly string[];
  /** Names that are left out, one sentence each. */
  readonly notes: readonly string[];
}

const size = z.number().int().nonnegative();
const entrySchema = z.object({
  type: z.string(),
  path: z.string(),
  size: size.optional(),
  oid: z.string().optional(),
  lfs: z.object({ oid: z.string().regex(/^[0-9a-f]{64}$/), size }).optional(),
});

/** So many names are shown. The rest is counted. */
const TOLD = 20;

/** Takes the plain files of this folder. Leaves out names that could lead elsewhere, or be the same file on some disks. */
export function newSorter(prefix: string): { add(entry: unknown): void; listing(): HubListing } {
  const files = new Map<string, HubEntry>();
  const folders: string[] = [];
  const notes: string[] = [];
  let more = 0;
  const leaveOut = (what: string): void => {
    if (notes.length < TOLD) {
      notes.push(`${what}: left out`);
    } else {
      more++;
    }
  };
  return {
    add(entry) {
      const { data } = entrySchema.safeParse(entry);
      if (data === undefined) {
        leaveOut("an entry of the Hub's list is malformed");
        return;
      }
      if (!data.path.startsWith(prefix)) {
        return;
      }
      if ([data.path, data.oid ?? "", data.lfs?.oid ?? ""].some(holdsSecret)) {
        leaveOut("an entry of the Hub's list repeats the token");
        return;
      }
      const file = data.path.slice(prefix.length);
      if (data.type === "directory" && isBareFileName(file)) {
        folders.push(file);
      }
      if (data.type !== "file") {
        return;
      }
      const etag = data.lfs?.oid ?? data.oid ?? "";
      const key = foldedName(file);
      const fault =
        !isBareFileName(file) || isDeviceName(file)
          ? "is no plain file name"
          : files.has(key)
            ? "is there twice, but for upper and lower case"
            : !/^([0-9a-f]{40}|[0-9a-f]{64})$/.test(etag) || data.size === undefined
              ? "has no digest or size"
              : null;
      if (fault === null && data.size !== undefined) {
        files.set(key, { file, size: data.lfs?.size ?? data.size, etag });
      } else {
        leaveOut(`${printable(data.path)}: ${fault}`);
      }
    },
    listing: () => ({
      files: [...files.values()],
      folders,
      notes: more === 0 ? notes : [...notes, `${more} more entries of the Hub's list: left out`],
    }),
  };
}
