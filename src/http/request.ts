/**
 * One HTTP request. Redirects are followed here, so that the token goes to the endpoint's own origin only. Every wait has a limit, and
 * every body is read to its end or closed. A transient fault is thrown as `TransientError`.
 */
import { setMaxListeners } from "node:events";
import { WeightDiffError } from "../errors.js";
import { type HubAccess, isEndpoint, LEAST_RATE } from "./access.js";
import type { Incoming } from "./direct.js";
import { lineError } from "./fault.js";
import { fetchOver, getOver, incomingOf } from "./line.js";
import { TransientError, transientError } from "./retry.js";

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  /** The address after all redirects. */
  readonly url: URL;
  /**
   * Hands over the body piece by piece. The bytes of a piece are valid until `take` has settled. Only the time spent on waiting for bytes counts.
   * @param wholeMs the limit for the whole body. @throws {TransientError} if it is cut, falls silent, or is too slow; whatever `take` throws.
   */
  read(take: (piece: Uint8Array) => void | Promise<void>, wholeMs?: number): Promise<void>;
  /** Ends the exchange without the body. */
  discard(): void;
}

interface Question {
  readonly method?: "GET" | "HEAD";
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal | undefined;
  /** Is the answer many bytes of a file? */
  readonly bulk?: boolean;
  /** Which redirects to follow: any other redirect is the answer. By default all are followed. */
  readonly follow?: (answer: Answer, target: URL) => boolean;
}

const MAX_REDIRECTS = 5;
export const USER_AGENT = "weight-diff";

/** Makes one request and follows its redirects. @throws {TransientError} for faults of the network and for busy servers; {WeightDiffError} NETWORK for a redirect that cannot be followed. */
export async function request(access: HubAccess, address: string | URL, question: Question = {}): Promise<Answer> {
  let url = new URL(String(address));
  for (let hop = 0; ; hop++) {
    const answer = await ask(access, url, question);
    const transient = transientError(url.host, answer.status, answer.headers);
    if (transient !== null) {
      answer.discard();
      throw transient;
    }
    const target = redirectOf(answer);
    if (target === null || question.follow?.(answer, target) === false) {
      return answer;
    }
    answer.discard();
    refuseHop(url, hop);
    url = target;
  }
}

/** @param hop how many redirects came before the one to be followed. @throws {WeightDiffError} NETWORK for one too many. */
export function refuseHop({ host }: URL, hop: number): void {
  if (hop === MAX_REDIRECTS) {
    throw new WeightDiffError("NETWORK", `${host}: more than ${MAX_REDIRECTS} redirects`, "check the endpoint");
  }
}

/** Where a redirect leads; null if the answer is none. @throws {WeightDiffError} NETWORK. */
export function redirectOf(answer: Answer): URL | null {
  const location = answer.headers.get("location");
  if (answer.status < 300 || answer.status > 399 || answer.status === 304 || location === null) {
    return null;
  }
  const target = URL.canParse(location, answer.url.href) ? new URL(location, answer.url) : null;
  const safe = target?.protocol === "https:" || (target?.protocol === "http:" && answer.url.protocol === "http:");
  if (target === null || !safe) {
    throw new WeightDiffError(
      "NETWORK",
      `${answer.url.host}: redirects to an address that is not followed`,
      "check the endpoint, and whether a proxy stands between",
    );
  }
  return target;
}

async function ask(access: HubAccess, url: URL, question: Question): Promise<Answer> {
  const { signal } = question;
  signal?.throwIfAborted();
  const stop = new AbortController();
  const onAbort = (): void => stop.abort(signal?.reason);
  if (signal !== undefined) {
    // Every request under way listens to it, so more than ten listeners are no leak.
    setMaxListeners(0, signal);
  }
  signal?.addEventListener("abort", onAbort, { once: true });
  let happened = "cannot be reached";
  const within = async <T>(ms: number, what: string, wait: () => Promise<T>): Promise<T> => {
    const timer = setTimeout(() => stop.abort(new TransientError(`${url.host}: ${what}`)), ms);
    try {
      return await orAborted(stop.signal, wait);
    } catch (error) {
      // If the request was stopped, the signal has the reason. Otherwise the network is at fault.
      throw stop.signal.aborted ? stop.signal.reason : lineError(url.host, happened, error);
    } finally {
      clearTimeout(timer);
    }
  };
  const end = (): void => signal?.removeEventListener("abort", onAbort);
  let incoming: Incoming;
  try {
    incoming = await within(access.answerMs, `no answer for ${access.answerMs / 1000} s`, async () => {
      const init = {
        signal: stop.signal,
        headers: {
          // A range of a compressed body would be a range of other bytes.
          "accept-encoding": "identity",
          "user-agent": USER_AGENT,
          ...question.headers,
          ...(access.token !== null && isEndpoint(access, url) ? { authorization: `Bearer ${access.token}` } : {}),
        },
      };
      return question.bulk === true
        ? getOver(access.network, url, init)
        : incomingOf(await fetchOver(access.network, url, { ...init, method: question.method ?? "GET" }));
    });
  } catch (error) {
    end();
    throw error;
  }
  happened = "the connection was cut";
  return {
    status: incoming.status,
    headers: incoming.headers,
    url,
    async read(take, wholeMs = Number.POSITIVE_INFINITY) {
      const pace = newPace(url, access.rateMs);
      let left = wholeMs;
      try {
        for (;;) {
          const started = performance.now();
          const piece = await (left < access.silenceMs
            ? within(left, `no whole answer for ${wholeMs / 1000} s`, incoming.next)
            : within(access.silenceMs, `silence for ${access.silenceMs / 1000} s`, incoming.next));
          if (piece === null) {
            break;
          }
          const waited = performance.now() - started;
          left -= waited;
          pace(piece.length, waited);
          await take(piece);
        }
      } finally {
        end();
        incoming.cancel();
      }
    },
    discard() {
      end();
      incoming.cancel();
    },
  };
}

/** Counts bytes and the time that they took. @throws {TransientError} below LEAST_RATE over `rateMs`. */
function newPace(url: URL, rateMs: number): (bytes: number, waitedMs: number) => void {
  let bytes = 0;
  let waited = 0;
  return (more, ms) => {
    bytes += more;
    waited += ms;
    if (waited < rateMs) {
      return;
    }
    if (bytes < (LEAST_RATE * waited) / 1000) {
      throw new TransientError(`${url.host}: ${bytes} bytes in ${Math.round(waited / 1000)} s, which is too slow`);
    }
    bytes = 0;
    waited = 0;
  };
}

/** The result of `wait`; throws the signal's reason as soon as it is aborted. fetch itself may wait for ever for a body that was aborted after its last byte. */
export async function orAborted<T>(signal: AbortSignal, wait: () => Promise<T>): Promise<T> {
  signal.throwIfAborted();
  let onAbort = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    onAbort = (): void => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
  });
  try {
    return await Promise.race([wait(), aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** The whole body. @throws {WeightDiffError} NETWORK above `most` bytes; {TransientError}. */
export async function readWhole(answer: Answer, most: number, wholeMs: number): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let size = 0;
  await answer.read((piece) => {
    size += piece.length;
    if (size > most) {
      throw new WeightDiffError(
        "NETWORK",
        `${answer.url.host}: an answer of more than ${most} bytes`,
        "check the endpoint",
      );
    }
    pieces.push(piece.slice());
  }, wholeMs);
  return Buffer.concat(pieces);
}
