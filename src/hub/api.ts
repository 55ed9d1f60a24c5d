/**
 * What the Hub knows of a repository: the commit a revision stands for, and the files of a folder at that commit with their
 * digests. Listing is @huggingface/hub's, over a fetch of ours: that client follows a page to any host with the token, tells
 * gated from missing by nothing, and trusts every answer (ARTIFACTS 6.3).
 */
import { z } from "zod";
import { WeightDiffError } from "../errors.js";
import { decodeText } from "../files/file-source.js";
import { parseJson } from "../formats/json.js";
import { printable } from "../formats/quote.js";
import { isBareFileName } from "../formats/weight-index.js";
import { type HubAccess, isEndpoint } from "../http/access.js";
import { type Asked, refusalOf } from "../http/refusal.js";
import { readWhole, request } from "../http/request.js";
import { retry, TransientError } from "../http/retry.js";
import { isCommit } from "./name.js";

/** A file of a repository's folder. */
export interface HubEntry {
  /** Bare. */
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

/** A page of the list has at most 1000 entries of some 300 bytes. */
const MAX_PAGE_BYTES = 32_000_000;
const MAX_PAGES = 100;
const MAX_FILES = 20_000;

const infoSchema = z.object({ sha: z.string().refine(isCommit) });
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
  const { text } = await askApi(access, asked, url, signal);
  const info = infoSchema.safeParse(parseJson(text, asked.name));
  if (!info.success) {
    throw new WeightDiffError("NETWORK", "the Hub's answer names no commit", `check the endpoint ${access.endpoint}`, {
      at: { file: asked.name },
    });
  }
  return info.data.sha;
}

/** The files of one folder, those in folders below it left out. @throws {WeightDiffError} HUB_…, NETWORK, LIMIT. */
export async function listFolder(
  access: HubAccess,
  id: string,
  commit: string,
  folder: string,
  signal: AbortSignal | undefined,
): Promise<HubListing> {
  const { listFiles } = await import("@huggingface/hub");
  const asked = {
    name: `${id}@${commit.slice(0, 8)}${folder === "" ? "" : `/${folder}`}`,
    repo: id,
    page: pageOf(access, id),
  };
  let pages = 0;
  const guarded = async (input: string | URL | Request): Promise<Response> => {
    if (++pages > MAX_PAGES) {
      throw new WeightDiffError("LIMIT", `a list of more than ${MAX_PAGES} pages`, `see ${asked.page}`, {
        at: { file: asked.name },
      });
    }
    const { text, link } = await askApi(access, asked, input instanceof Request ? input.url : input, signal);
    return new Response(text, { headers: { "content-type": "application/json", ...(link === null ? {} : { link }) } });
  };
  const entries: unknown[] = [];
  for await (const entry of listFiles({
    repo: { type: "model", name: id },
    revision: commit,
    hubUrl: access.endpoint,
    fetch: guarded,
    ...(folder === "" ? {} : { path: encodePath(folder) }),
  })) {
    entries.push(entry);
    if (entries.length > MAX_FILES) {
      throw new WeightDiffError("LIMIT", `more than ${MAX_FILES} files in one folder`, `see ${asked.page}`, {
        at: { file: asked.name },
      });
    }
  }
  return sortOut(entries, folder === "" ? "" : `${folder}/`);
}

/** One answer of the API, as text. @throws {WeightDiffError} HUB_…, NETWORK (also for JSON of another shape than a list or object). */
async function askApi(
  access: HubAccess,
  asked: Asked,
  address: string | URL,
  signal: AbortSignal | undefined,
): Promise<{ readonly text: string; readonly link: string | null }> {
  const url = URL.canParse(String(address)) ? new URL(String(address)) : null;
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
    const text = decodeText(await readWhole(answer, MAX_PAGE_BYTES), asked.name);
    const isList = url.pathname.includes("/tree/");
    if (!(isList ? /^\s*\[/ : /^\s*\{/).test(text) || parsed(text, asked.name) === null) {
      throw new TransientError(
        `${url.host} answers with something that is no ${isList ? "list of files" : "description"}`,
      );
    }
    return { text, link: answer.headers.get("link") };
  });
}

function parsed(text: string, name: string): unknown {
  try {
    return parseJson(text, name);
  } catch {
    return null;
  }
}

/** Windows opens a device under these names, whatever follows the dot; names that end in a dot or space lose it there. */
const DEVICE = /^(con|prn|aux|nul|com\d|lpt\d)(\.|$)|[. ]$/i;

/** Takes what is a plain file of this folder; a name that could lead elsewhere, or be two files on one disk, is left out. */
function sortOut(entries: readonly unknown[], prefix: string): HubListing {
  const files = new Map<string, HubEntry>();
  const folders: string[] = [];
  const notes: string[] = [];
  for (const entry of entries) {
    const { data } = entrySchema.safeParse(entry);
    if (data?.type === "directory" && data.path.startsWith(prefix) && isBareFileName(data.path.slice(prefix.length))) {
      folders.push(data.path.slice(prefix.length));
    }
    if (data?.type !== "file" || !data.path.startsWith(prefix)) {
      if (data === undefined) {
        notes.push("an entry of the Hub's list is malformed: left out");
      }
      continue;
    }
    const file = data.path.slice(prefix.length);
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
      notes.push(`${printable(data.path)}: ${fault}: left out`);
    }
  }
  return { files: [...files.values()], folders, notes };
}

function encodePath(path: string): string {
  return path.split("/").map(encodeURIComponent).join("/");
}
