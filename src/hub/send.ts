/**
 * The fetch that @huggingface/hub gets for uploads. It sends the token to the endpoint's own origin only, counts the bytes that are sent,
 * limits every wait, and retries after transient faults. It turns a refusal into an error here, because the library drops the headers.
 */
import { WeightDiffError } from "../errors.js";
import { FilePart } from "../files/file-part.js";
import { printable } from "../formats/quote.js";
import { type HubAccess, isEndpoint } from "../http/access.js";
import { lineError } from "../http/fault.js";
import { fetchOver } from "../http/line.js";
import { orAborted, refuseHop, USER_AGENT } from "../http/request.js";
import { remedyOf, retry, TransientError, transientError } from "../http/retry.js";

interface Sending {
  readonly access: HubAccess;
  /** "org/name". */
  readonly id: string;
  readonly page: string;
  readonly signal: AbortSignal | undefined;
  /** Gets the number of bytes of files that were sent; a negative number if they must be sent again. */
  readonly onSent: (count: number) => void;
  /** Milliseconds without a byte in either direction. The last answer to an upload takes long. */
  readonly idleMs: number;
}

/** The answers are listings and answers to commits. */
const MAX_ANSWER_BYTES = 50_000_000;
const AGAIN = "run the same command again: files that are on the Hub are not sent twice";
/** "Exists already": the caller knows what to do. */
const CONFLICT = 409;

/** A fetch, and a way to wait for its end: if one upload fails, the library does not wait for the others. */
export interface Sender {
  /** @throws {WeightDiffError} NETWORK, HUB_…, INPUT_CHANGED; the signal's reason. */
  readonly fetch: typeof fetch;
  /** Waits until nothing is under way. */
  settled(): Promise<void>;
}

export function openSender(sending: Sending): Sender {
  const underWay = new Set<Promise<Response>>();
  return {
    async fetch(input, init = {}) {
      const address = new URL(input instanceof Request ? input.url : input);
      const exchanged = send(sending, address, init);
      underWay.add(exchanged);
      try {
        return await exchanged;
      } finally {
        underWay.delete(exchanged);
      }
    },
    async settled() {
      while (underWay.size > 0) {
        await Promise.allSettled(underWay);
      }
    },
  };
}

/** Sends until it works, or until either signal ends it: the command's, or the library's for this upload. */
async function send(command: Sending, address: URL, init: RequestInit): Promise<Response> {
  const signals = [command.signal, init.signal].filter((signal) => signal instanceof AbortSignal);
  const sending = { ...command, signal: signals.length === 0 ? undefined : AbortSignal.any(signals) };
  try {
    return await retry(sending.access, sending.id, sending.signal, () => sendOnce(sending, address, init));
  } catch (error) {
    if (error instanceof WeightDiffError && error.code === "NETWORK" && error.cause instanceof TransientError) {
      const hint = `${remedyOf(sending.access, error.cause)}, then ${AGAIN}`;
      throw new WeightDiffError("NETWORK", error.message, hint, { cause: error.cause });
    }
    throw error;
  }
}

/** One exchange, redirects included. @throws {TransientError}; {WeightDiffError}. */
async function sendOnce(sending: Sending, address: URL, init: RequestInit): Promise<Response> {
  let url = address;
  for (let hop = 0; ; hop++) {
    const response = await exchange(sending, url, init);
    const location = response.headers.get("location");
    if (response.status < 300 || response.status > 399 || location === null) {
      const transient = transientError(url.host, response.status, response.headers);
      if (transient !== null) {
        throw transient;
      }
      if (!response.ok && response.status !== CONFLICT) {
        throw isEndpoint(sending.access, url)
          ? await refusal(sending, response)
          : storageRefusal(sending, url, response);
      }
      return response;
    }
    const target = URL.canParse(location, url.href) ? new URL(location, url) : null;
    if (target === null || !isEndpoint(sending.access, target)) {
      throw new WeightDiffError(
        "NETWORK",
        `${url.host} redirects an upload to ${target === null ? "no address" : target.host}: not followed`,
        "check the endpoint, and whether a proxy stands between",
        { at: { file: sending.id } },
      );
    }
    refuseHop(url, hop);
    url = target;
  }
}

async function exchange(sending: Sending, url: URL, init: RequestInit): Promise<Response> {
  const { access, signal } = sending;
  if (url.protocol !== "https:" && !access.endpoint.startsWith("http:")) {
    throw new WeightDiffError(
      "NETWORK",
      `${url.host}: an address without encryption is not used`,
      "check the endpoint",
    );
  }
  signal?.throwIfAborted();
  const stop = new AbortController();
  const onAbort = (): void => stop.abort(signal?.reason);
  signal?.addEventListener("abort", onAbort, { once: true });
  let timer: NodeJS.Timeout | undefined;
  const alive = (): void => {
    clearTimeout(timer);
    timer = setTimeout(
      () => stop.abort(new TransientError(`${url.host}: silence for ${sending.idleMs / 1000} s`)),
      sending.idleMs,
    );
  };
  const headers = new Headers(init.headers);
  headers.delete("authorization");
  headers.set("user-agent", USER_AGENT);
  if (access.token !== null && isEndpoint(access, url)) {
    headers.set("authorization", `Bearer ${access.token}`);
  }
  let sent = 0;
  const count = (bytes: number): void => {
    alive();
    sent += bytes;
    sending.onSent(bytes);
  };
  const body = init.body instanceof FilePart ? init.body.counted(count) : init.body;
  alive();
  try {
    const request = { ...init, headers, signal: stop.signal };
    return await orAborted(stop.signal, async () => {
      const response = await fetchOver(access.network, url, body === undefined ? request : { ...request, body });
      if (!response.ok) {
        sending.onSent(-sent);
        sent = 0;
      }
      const late = new TransientError(`${url.host}: no whole answer for ${access.wholeMs / 1000} s`);
      const deadline = setTimeout(() => stop.abort(late), access.wholeMs);
      try {
        return new Response(await readBody(response, alive), { status: response.status, headers: response.headers });
      } finally {
        clearTimeout(deadline);
      }
    });
  } catch (error) {
    sending.onSent(-sent);
    throw reasonOf(error, stop.signal, url);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
  }
}

/** null for statuses that have none. @throws {WeightDiffError} LIMIT. */
async function readBody(response: Response, alive: () => void): Promise<Buffer | null> {
  const pieces: Uint8Array[] = [];
  let size = 0;
  for await (const piece of response.body ?? []) {
    alive();
    size += piece.length;
    if (size > MAX_ANSWER_BYTES) {
      throw new WeightDiffError("LIMIT", `an answer of more than ${MAX_ANSWER_BYTES} bytes`, "check the endpoint");
    }
    pieces.push(piece);
  }
  return [204, 205, 304].includes(response.status) ? null : Buffer.concat(pieces);
}

/** Why an exchange failed: fetch hides what the body's stream or the signal said in its cause. */
function reasonOf(error: unknown, stopped: AbortSignal, url: URL): unknown {
  if (stopped.aborted) {
    return stopped.reason;
  }
  return lineError(url.host, "the connection failed", error);
}

/** The error for a refusal of the Hub, by its code, or else by the status. */
async function refusal({ access, id, page }: Sending, response: Response): Promise<WeightDiffError> {
  const { status, headers } = response;
  const text = await response.text();
  const raw = headers.get("x-error-message") ?? jsonError(text);
  const words = raw === null ? "" : ` (${printable(raw)})`;
  const tokens = `${access.endpoint}/settings/tokens`;
  const owner = id.split("/")[0] ?? id;
  const refuse = (
    code: ConstructorParameters<typeof WeightDiffError>[0],
    what: string,
    hint: string,
  ): WeightDiffError => new WeightDiffError(code, `${what}${words}`, hint, { at: { file: id } });
  if (headers.get("x-error-code") === "RevisionNotFound") {
    return refuse(
      "HUB_NO_REVISION",
      "the repository has no such branch",
      `create it at ${page}, or push to the branch that there is`,
    );
  }
  if (headers.get("x-error-code") === "RepoNotFound") {
    return refuse("HUB_NO_REPO", "no such repository that this token may see", `check the name: ${page}`);
  }
  if (status === 412) {
    return refuse(
      "INPUT_CHANGED",
      "somebody else has changed the repository in the meantime",
      "run the same command again",
    );
  }
  if (/storage|quota|limit reached|payment/i.test(words) || status === 402 || status === 413) {
    const hint = `make room or take a larger plan: ${access.endpoint}/settings/billing; a public repository has other limits`;
    return refuse("HUB_DENIED", "the Hub has no room for it", hint);
  }
  if (status === 401) {
    return refuse(
      "HUB_DENIED",
      "the token is not accepted",
      `make a new one with the right to write: ${tokens}, and give it as HF_TOKEN`,
    );
  }
  if (status === 403) {
    const hint = `take a token with the right to write to ${owner}: ${tokens}, or push to a name of your own`;
    return refuse("HUB_DENIED", "this token may not write there", hint);
  }
  return refuse("NETWORK", `an answer that was not expected: status ${status}`, `see ${page}; check the endpoint`);
}

function storageRefusal({ id }: Sending, url: URL, { status }: Response): WeightDiffError {
  return new WeightDiffError(
    "NETWORK",
    `the storage at ${url.host} refuses the upload: status ${status}`,
    `its address may have expired: ${AGAIN}`,
    { at: { file: id } },
  );
}

function jsonError(text: string): string | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && "error" in value && typeof value.error === "string"
      ? value.error
      : null;
  } catch {
    return null;
  }
}
