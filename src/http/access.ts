/** The endpoint, the credentials and the timeouts of requests. Plain data: it is sent to worker threads, and never written anywhere. */

import type { Network } from "./network.js";

export interface HubAccess {
  /** "https://huggingface.co": no slash at the end. */
  readonly endpoint: string;
  /** Sent to the endpoint's own origin and nowhere else; null without one. */
  readonly token: string | null;
  /** Proxies and certificates. */
  readonly network: Network;
  /** Milliseconds until an answer must begin. */
  readonly answerMs: number;
  /** Milliseconds that an answer may pause, once it has begun. */
  readonly silenceMs: number;
  /** Milliseconds for the whole of an answer that is no file, such as a list. */
  readonly wholeMs: number;
  /** Waited for a file's bytes before it is asked whether enough have come: LEAST_RATE in the mean. */
  readonly rateMs: number;
  /** How often one thing is tried; progress starts the count again. */
  readonly attempts: number;
  /** How often it is tried where nothing answers at all: no such host, no network. */
  readonly reachAttempts: number;
  /** Milliseconds before the second attempt; the pause doubles with every further one. */
  readonly pauseMs: number;
}

/**
 * huggingface_hub's own times (constants.py), and an end to answers that neither fall silent nor end; five attempts are some eight
 * seconds of a Hub that does not answer.
 */
export const PATIENCE = {
  answerMs: 10_000,
  silenceMs: 10_000,
  wholeMs: 60_000,
  rateMs: 30_000,
  attempts: 5,
  reachAttempts: 5,
  pauseMs: 500,
} as const;
/** Bytes a second: a modem of 1998 is five times as fast. */
export const LEAST_RATE = 1000;

/** One file of a repository at a fixed commit, as it can be fetched. Plain data. */
export interface RemoteFile {
  /** For messages: "org/name@1a2b3c4d: model.safetensors". */
  readonly name: string;
  /** "org/name". */
  readonly repo: string;
  /** …/org/name/resolve/<commit>/<path>. */
  readonly url: string;
  /** The repository's page, for people. */
  readonly page: string;
  /** Bytes. */
  readonly size: number;
  /** sha256 (hex) of a large file, git's blob sha1 of a small one: what the Hub's own caches call it. */
  readonly etag: string;
  readonly access: HubAccess;
  /** Where its bytes lie, if it was asked for before: a signed address, which may have expired. Never written anywhere either. */
  readonly address?: string;
}

/** May the token be sent to `url`? */
export function isEndpoint(access: HubAccess, url: URL): boolean {
  return url.origin === new URL(access.endpoint).origin;
}
