/** Transient faults: what is tried again, after how long, and what the error says when that did not help. */
import { WeightDiffError } from "../errors.js";
import type { HubAccess } from "./access.js";

/** A fault that may be gone at the next attempt. */
export class TransientError extends Error {
  /** The pause that the server asks for; null if it asks for none. */
  readonly waitMs: number | null;
  /** Nothing answered at all: no such host, no network. */
  readonly unreached: boolean;
  /** The status of the answer; null if the connection failed. */
  readonly status: number | null;

  constructor(
    reason: string,
    waitMs: number | null = null,
    options: ErrorOptions & { unreached?: boolean; status?: number } = {},
  ) {
    super(reason, options);
    this.waitMs = waitMs;
    this.unreached = options.unreached ?? false;
    this.status = options.status ?? null;
  }
}

const TOO_MANY_REQUESTS = 429;
/** Statuses that a later attempt may not see. */
const TRANSIENT: ReadonlySet<number> = new Set([408, 425, TOO_MANY_REQUESTS, 500, 502, 503, 504]);

/** The error of a server that cannot do it now, with the pause that it asks for; null for any other answer. */
export function transientError(host: string, status: number, headers: Headers): TransientError | null {
  const why = status === TOO_MANY_REQUESTS ? ": too many requests" : "";
  return TRANSIENT.has(status)
    ? new TransientError(`${host} answers ${status}${why}`, retryAfter(headers.get("retry-after")), { status })
    : null;
}

/** If a server asks for a longer pause, the request fails at once. The Hub counts requests in windows of five minutes. */
const MAX_WAIT_MS = 300_000;
const MAX_PAUSE_MS = 20_000;

/**
 * Tries until it works. If `progressed` says that an attempt brought enough, the count starts again.
 * @throws {WeightDiffError} NETWORK when the attempts are used up, and whatever else `attempt` throws.
 */
export async function retry<T>(
  access: HubAccess,
  name: string,
  signal: AbortSignal | undefined,
  attempt: () => Promise<T>,
  progressed: () => boolean = () => false,
): Promise<T> {
  for (let failures = 0; ; ) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof TransientError)) {
        throw error;
      }
      failures = progressed() ? 1 : failures + 1;
      const most = error.unreached ? Math.min(access.attempts, access.reachAttempts) : access.attempts;
      if (failures >= most || (error.waitMs ?? 0) > MAX_WAIT_MS) {
        throw givenUp(access, name, error, failures);
      }
      await pause(error.waitMs ?? backoff(access.pauseMs, failures), signal);
    }
  }
}

function givenUp(access: HubAccess, name: string, error: TransientError, failures: number): WeightDiffError {
  const tried = failures === 1 ? "" : ` (tried ${failures} times)`;
  const asks =
    (error.waitMs ?? 0) > MAX_WAIT_MS ? `, and asks for ${Math.ceil((error.waitMs ?? 0) / 60_000)} minutes` : "";
  return new WeightDiffError(
    "NETWORK",
    `${name}: ${error.message}${asks}${tried}`,
    `${remedyOf(access, error)}, then run the same command again: nothing that is in the cache is fetched again`,
    { cause: error },
  );
}

/** What to do before the next try. With a token, the Hub allows more requests (huggingface.co/docs/hub/rate-limits). */
export function remedyOf({ token }: HubAccess, { status }: TransientError): string {
  if (status === null) {
    return "check the connection";
  }
  return status === TOO_MANY_REQUESTS && token === null
    ? "wait a while, or give a token, with which the Hub allows more (HF_TOKEN, or hf auth login)"
    : "the server is there, but cannot do it now: wait a while";
}

/** Half of the pause is random: many clients that failed together must not come back together. */
function backoff(first: number, failures: number): number {
  const full = Math.min(first * 2 ** (failures - 1), MAX_PAUSE_MS);
  return full / 2 + (Math.random() * full) / 2;
}

/** @throws the signal's reason. */
export async function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted();
  await new Promise<void>((resolve, reject) => {
    const onAbort = (): void => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    }, ms);
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}

/** Milliseconds from a header Retry-After (RFC 9110, 10.2.3), which has seconds or a date; null if there is none that can be read. */
function retryAfter(value: string | null): number | null {
  if (value === null) {
    return null;
  }
  if (/^\s*\d{1,9}\s*$/.test(value)) {
    return Number(value) * 1000;
  }
  const date = Date.parse(value);
  return Number.isNaN(date) ? null : Math.max(0, date - Date.now());
}
