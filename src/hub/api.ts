/**
 * What the Hub knows of a repository, by its API (huggingface.co/docs/hub/api). @huggingface/hub is not used for it: it sends the token to any
 * host that the next page is on, does not tell a gated repository from a missing one, and trusts every answer.
 */
import { WeightDiffError } from "../errors.js";
import { JsonScanner } from "../formats/json-scanner.js";
import { type HubAccess, isEndpoint } from "../http/access.js";
import { type HubRequest, refusalOf } from "../http/refusal.js";
import { readWhole, request } from "../http/request.js";
import { retry, TransientError } from "../http/retry.js";
import { holdsSecret } from "../secrets.js";
import { isCommit } from "./name.js";

/** Attempts before the Hub has answered at all. */
const FIRST_ATTEMPTS = 2;
/** A page of a list has at most 1000 entries of some 600 bytes. */
const MAX_ANSWER_BYTES = 8_000_000;
/** The statuses of a server that does not know a call. They have no code of the Hub's. */
const UNKNOWN_CALL: ReadonlySet<number> = new Set([404, 405, 501]);

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
  // Few attempts: a user who is offline, or meant a local path, should not wait.
  const brief = { ...access, reachAttempts: Math.min(access.reachAttempts, FIRST_ATTEMPTS) };
  const { value: commit } = await askApi(brief, asked, url, signal, { what: "description", read: readCommit });
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

export interface Answered<T> {
  readonly value: T;
  /** The Link header. */
  readonly link: string | null;
}

export interface Call<T> {
  /** For messages. */
  readonly what: string;
  /** Makes something of the JSON. */
  readonly read: (scanner: JsonScanner) => T;
  /** The value if the server has no such call. Without one, that is an error. */
  readonly unknown?: T;
}

/**
 * One answer of the API, and what `read` makes of its JSON.
 * @throws {WeightDiffError} HUB_…, NETWORK (also where `read` finds it no such JSON), LIMIT.
 */
export async function askApi<T>(
  access: HubAccess,
  asked: HubRequest,
  address: string,
  signal: AbortSignal | undefined,
  { what, read, unknown }: Call<T>,
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
    if (unknown !== undefined && UNKNOWN_CALL.has(answer.status) && !answer.headers.has("x-error-code")) {
      answer.discard();
      return { value: unknown, link: null };
    }
    if (answer.status !== 200) {
      throw await refusalOf(access, asked, answer);
    }
    const bytes = await readWhole(answer, MAX_ANSWER_BYTES, access.wholeMs);
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

export function encodePath(path: string): string {
  return path.split("/").map(encodeURIComponent).join("/");
}
