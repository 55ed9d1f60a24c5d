/**
 * What the Hub knows of a repository: the commit a revision stands for, and the files of a folder at that commit with their
 * digests (huggingface.co/docs/hub/api: /api/models/{id}/revision, /api/models/{id}/tree). @huggingface/hub is not asked: it
 * follows a page to any host with the token, tells gated from missing by nothing, and trusts every answer.
 */
import * as z from "zod";
import { WeightDiffError } from "../errors.js";
import { isSideFolder } from "../files/side-names.js";
import { readValue } from "../formats/json.js";
import { JsonScanner } from "../formats/json-scanner.js";
import { printable } from "../formats/quote.js";
import { isBareFileName } from "../formats/weight-index.js";
import { type HubAccess, isEndpoint } from "../http/access.js";
import { type HubRequest, refusalOf } from "../http/refusal.js";
import { readWhole, request } from "../http/request.js";
import { retry, TransientError } from "../http/retry.js";
import { holdsSecret } from "../secrets.js";
import { isCommit } from "./name.js";

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

/** A page of the list has at most 1000 entries of some 600 bytes. */
const MAX_PAGE_BYTES = 8_000_000;
const MAX_PAGES = 100;
const MAX_FILES = 20_000;
/** Real ones have up to three. */
const MAX_SIDE_FOLDERS = 20;

const size = z.number().int().nonnegative();
const entrySchema = z.object({
  type: z.string(),
  path: z.string(),
  size: size.optional(),
  oid: z.string().optional(),
  lfs: z.object({ oid: z.string().regex(/^[0-9a-f]{64}$/), size }).optional(),
});

/** The page of a repository, for people and for messages. */
export function pageOf(access: HubAccess, id: string): string {
  return `${access.endpoint}/${id}`;
}

/** Where the bytes of a file are asked for. */
export function resolveUrl(access: HubAccess, id: string, commit: string, path: string): string {
  return `${pageOf(access, id)}/resolve/${commit}/${encodePath(path)}`;
}

/** The commit that `revision` stands for now. @throws {WeightDiffError} HUB_…, NETWORK. */
export async function resolveCommit(
  access: HubAccess,
  id: string,
  revision: string,
  signal: AbortSignal | undefined,
): Promise<string> {
  const asked = { name: revision === "main" ? id : `${id}@${revision}`, repo: id, page: pageOf(access, id) };
  const url = `${access.endpoint}/api/models/${id}/revision/${encodeURIComponent(revision)}`;
  const { value: commit } = await askApi(access, asked, url, signal, "description", readCommit);
  if (commit === null || !isCommit(commit) || holdsSecret(commit)) {
    throw new WeightDiffError("NETWORK", "the Hub's answer names no commit", `check the endpoint ${access.endpoint}`, {
      at: { file: asked.name },
    });
  }
  return commit;
}

function readCommit(scanner: JsonScanner): string | null {
  let commit: string | null = null;
  scanner.object((key) => {
    if (key === "sha" && scanner.peek() === '"') {
      commit = scanner.string();
    } else {
      scanner.skip();
    }
  });
  return commit;
}

/** The files of one folder, those in folders below it left out. @throws {WeightDiffError} HUB_…, NETWORK, LIMIT. */
export async function listFolder(
  access: HubAccess,
  id: string,
  commit: string,
  folder: string,
  signal: AbortSignal | undefined,
): Promise<HubListing> {
  const asked = {
    name: `${id}@${commit.slice(0, 8)}${folder === "" ? "" : `/${folder}`}`,
    repo: id,
    page: pageOf(access, id),
  };
  const tooMuch = (what: string): WeightDiffError =>
    new WeightDiffError("LIMIT", what, `see ${asked.page}`, { at: { file: asked.name } });
  const below = folder === "" ? "" : `/${encodePath(folder)}`;
  const sorter = newSorter(folder === "" ? "" : `${folder}/`);
  let next: string | null = `${access.endpoint}/api/models/${id}/tree/${commit}${below}?recursive=false&expand=false`;
  for (let page = 0, entries = 0; next !== null; page++) {
    if (page === MAX_PAGES) {
      throw tooMuch(`a list of more than ${MAX_PAGES} pages`);
    }
    const answer: Answered<readonly unknown[]> = await askApi(
      access,
      asked,
      next,
      signal,
      "list of files",
      (scanner) => {
        const list: unknown[] = [];
        scanner.array((index) => {
          if (entries + index >= MAX_FILES) {
            throw tooMuch(`more than ${MAX_FILES} files in one folder`);
          }
          list.push(readValue(scanner, asked.name));
        });
        return list;
      },
    );
    entries += answer.value.length;
    for (const entry of answer.value) {
      sorter.add(entry);
    }
    next = nextPage(answer.link);
  }
  return sorter.listing();
}

/**
 * The files of those folders in `folder` that belong to a model, named "folder/file". @param folders all there are in it.
 * @throws {WeightDiffError} as listFolder.
 */
export async function listSideFolders(
  access: HubAccess,
  id: string,
  commit: string,
  { folder, folders }: { readonly folder: string; readonly folders: readonly string[] },
  signal: AbortSignal | undefined,
): Promise<readonly HubEntry[]> {
  const entries: HubEntry[] = [];
  for (const name of folders.filter(isSideFolder).slice(0, MAX_SIDE_FOLDERS)) {
    const { files } = await listFolder(access, id, commit, folder === "" ? name : `${folder}/${name}`, signal);
    for (const entry of files) {
      entries.push({ ...entry, file: `${name}/${entry.file}` });
    }
  }
  return entries;
}

/** Where the list goes on (RFC 8288), as the Hub writes it: <address>; rel="next". */
function nextPage(link: string | null): string | null {
  return /<([^<>]*)>\s*;\s*rel="?next"?/.exec(link ?? "")?.[1] ?? null;
}

interface Answered<T> {
  readonly value: T;
  /** The Link header. */
  readonly link: string | null;
}

/**
 * One answer of the API, and what `read` makes of its JSON.
 * @throws {WeightDiffError} HUB_…, NETWORK (also where `read` finds it no such JSON), LIMIT.
 */
async function askApi<T>(
  access: HubAccess,
  asked: HubRequest,
  address: string,
  signal: AbortSignal | undefined,
  what: string,
  read: (scanner: JsonScanner) => T,
): Promise<Answered<T>> {
  const url = URL.canParse(address) ? new URL(address) : null;
  if (url === null || !isEndpoint(access, url)) {
    throw new WeightDiffError(
      "NETWORK",
      "the Hub's list goes on at another host",
      `check the endpoint ${access.endpoint}`,
      { at: { file: asked.name } },
    );
  }
  return retry(access, asked.name, signal, async () => {
    const answer = await request(access, url, {
      signal,
      headers: { accept: "application/json" },
      follow: (_, target) => isEndpoint(access, target),
    });
    if (answer.status !== 200) {
      throw await refusalOf(access, asked, answer);
    }
    const bytes = await readWhole(answer, MAX_PAGE_BYTES, access.wholeMs);
    try {
      const scanner = new JsonScanner(bytes, asked.name);
      const value = read(scanner);
      scanner.end();
      return { value, link: answer.headers.get("link") };
    } catch (error) {
      throw error instanceof WeightDiffError && error.code === "FORMAT_INVALID"
        ? new TransientError(`${url.host} answers with something that is no ${what}`, null, { cause: error })
        : error;
    }
  });
}

/** Windows opens a device under these names, whatever follows the dot; names that end in a dot or space lose it there. */
const DEVICE = /^(con|prn|aux|nul|com\d|lpt\d)(\.|$)|[. ]$/i;

/** Names that are told of; the rest is counted. */
const TOLD = 20;

/** Takes what is a plain file of this folder; a name that could lead elsewhere, or be two files on one disk, is left out. */
function newSorter(prefix: string): { add(entry: unknown): void; listing(): HubListing } {
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
      const key = file.normalize("NFC").toLowerCase();
      const fault =
        !isBareFileName(file) || DEVICE.test(file)
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

function encodePath(path: string): string {
  return path.split("/").map(encodeURIComponent).join("/");
}
