/**
 * Uploads to the Hub, through @huggingface/hub: whose token it is, what is there, a new repository, one commit. The library uploads large
 * files through LFS (files that the Hub has are not sent again). It does not use Xet here: such uploads cannot be counted or continued.
 */
import { WeightDiffError } from "../errors.js";
import { FilePart } from "../files/file-part.js";
import type { PlacedFile } from "../files/file-source.js";
import { printable } from "../formats/quote.js";
import type { HubAccess } from "../http/access.js";
import type { HubEntry } from "./entries.js";
import { listFolder, listSideFolders } from "./list.js";
import { isCommit } from "./name.js";
import { openSender, type Sender } from "./send.js";

export interface HubWriter extends Sender {
  readonly access: HubAccess;
  /** "org/name". */
  readonly id: string;
  readonly branch: string;
  readonly page: string;
  readonly signal: AbortSignal | undefined;
}

/** What a branch holds. */
export interface RemoteState {
  readonly commit: string;
  readonly private: boolean;
  /** Of the root folder, and of folders in it that belong to a model, by name. */
  readonly files: ReadonlyMap<string, HubEntry>;
}

export interface UploadFile extends PlacedFile {
  /** Its name in the repository. */
  readonly file: string;
  readonly size: number;
}

/** The library refuses tokens that do not begin like this; the fetch puts the true one, or none, in its place. */
const PLACEHOLDER = "hf_";

export function openHubWriter(
  access: HubAccess,
  id: string,
  branch: string,
  options: {
    readonly signal: AbortSignal | undefined;
    readonly idleMs: number;
    readonly onSent: (count: number) => void;
  },
): HubWriter {
  const page = `${access.endpoint}/${id}`;
  return { access, id, branch, page, signal: options.signal, ...openSender({ access, id, page, ...options }) };
}

export interface Account {
  readonly name: string;
  /** Organisations that it says it belongs to. */
  readonly organisations: readonly string[];
  /** May the token write anywhere? null if it does not say. */
  readonly writes: boolean | null;
}

/** Whose token it is. @throws {WeightDiffError} HUB_DENIED, NETWORK. */
export async function whoAsks(writer: HubWriter): Promise<Account> {
  const { whoAmI } = await import("@huggingface/hub");
  const answer: unknown = await calling(writer, () =>
    whoAmI({ accessToken: PLACEHOLDER, hubUrl: writer.access.endpoint, fetch: writer.fetch }),
  );
  const listed = field(answer, "orgs");
  const role = text(field(field(field(answer, "auth"), "accessToken"), "role"));
  return {
    name: text(field(answer, "name")) ?? "?",
    organisations: (Array.isArray(listed) ? listed : []).flatMap((entry: unknown) => text(field(entry, "name")) ?? []),
    writes: role === "read" ? false : role === "write" || role === "god" ? true : null,
  };
}

/** What the branch holds; null if there is no such repository. @throws {WeightDiffError} HUB_NO_REVISION, HUB_DENIED, NETWORK, LIMIT. */
export async function remoteState(writer: HubWriter): Promise<RemoteState | null> {
  const { access, id, branch } = writer;
  const address = `${access.endpoint}/api/models/${id}/revision/${encodeURIComponent(branch)}`;
  const info: unknown = await calling(writer, async () => (await writer.fetch(address)).json()).catch(
    (error: unknown) => {
      if (error instanceof WeightDiffError && error.code === "HUB_NO_REPO") {
        return null;
      }
      throw error;
    },
  );
  if (info === null) {
    return null;
  }
  const commit = text(field(info, "sha"));
  if (commit === null || !isCommit(commit)) {
    throw unexpected(writer, "names no commit");
  }
  const { files, folders } = await listFolder(access, id, commit, "", writer.signal);
  const inner = await listSideFolders(access, id, commit, { folder: "", folders }, writer.signal);
  return {
    commit,
    private: field(info, "private") === true,
    files: new Map([...files, ...inner].map((entry) => [entry.file, entry])),
  };
}

/** Makes the repository. It is no error if somebody has just made it. @throws {WeightDiffError} HUB_DENIED, NETWORK. */
export async function createRemote(writer: HubWriter, hidden: boolean): Promise<void> {
  const { access, id: repo, fetch } = writer;
  const { createRepo } = await import("@huggingface/hub");
  const visibility = hidden ? { visibility: "private" as const } : {};
  try {
    await calling(writer, () =>
      createRepo({ repo, ...visibility, accessToken: PLACEHOLDER, hubUrl: access.endpoint, fetch }),
    );
  } catch (error) {
    if (!(error instanceof WeightDiffError && field(error.cause, "statusCode") === 409)) {
      throw error;
    }
  }
}

/**
 * One commit with these files, on top of `parent` and nothing else. @returns its name.
 * @throws {WeightDiffError} HUB_DENIED, HUB_NO_…, NETWORK, INPUT_CHANGED if the branch has moved or a file has changed.
 */
export async function commitFiles(
  writer: HubWriter,
  files: readonly UploadFile[],
  message: string,
  parent: string,
  onFile: (file: string) => void,
): Promise<string> {
  const { commitIter } = await import("@huggingface/hub");
  const stop = new AbortController();
  return calling(writer, async () => {
    const events = commitIter({
      repo: writer.id,
      branch: writer.branch,
      title: message,
      parentCommit: parent,
      hubUrl: writer.access.endpoint,
      fetch: writer.fetch,
      useXet: false,
      operations: files.map(({ file, size, ...place }) => ({
        operation: "addOrUpdate",
        path: file,
        content: new FilePart(place, 0, size),
      })),
      abortSignal: writer.signal === undefined ? stop.signal : AbortSignal.any([writer.signal, stop.signal]),
    });
    for (;;) {
      const { value, done } = await events.next();
      if (done === true) {
        const commit = value?.commit.oid ?? "";
        if (!isCommit(commit)) {
          throw unexpected(writer, "names no commit");
        }
        return commit;
      }
      if (value.event === "fileProgress") {
        onFile(value.path);
      }
    }
  }).finally(async () => {
    stop.abort();
    await writer.settled();
  });
}

/** Turns errors of the library into WeightDiffErrors. */
async function calling<T>(writer: HubWriter, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    writer.signal?.throwIfAborted();
    if (error instanceof WeightDiffError) {
      throw error;
    }
    if (error instanceof Error && field(error, "statusCode") === 403) {
      throw new WeightDiffError(
        "HUB_DENIED",
        `${writer.id}: the Hub refuses a file: ${printable(error.message)}`,
        `see ${writer.access.endpoint}/settings/billing for what the account may store`,
        { cause: error },
      );
    }
    throw unexpected(writer, error instanceof Error ? printable(error.message) : "?", error);
  }
}

function unexpected({ id, page }: HubWriter, what: string, cause?: unknown): WeightDiffError {
  return new WeightDiffError(
    "NETWORK",
    `${id}: an answer that was not expected: ${what}`,
    `see ${page}; check the endpoint`,
    {
      cause,
    },
  );
}

function field(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null && Object.hasOwn(value, name)
    ? (value as Record<string, unknown>)[name]
    : undefined;
}

function text(value: unknown): string | null {
  return typeof value === "string" ? value : null;
}
