/** The endpoint, the credentials and the timeouts of requests. Plain data: it is sent to worker threads, and never written anywhere. */

import type { Network } from "./network.js";

export interface HubAccess {
  /** "https://huggingface.co": no slash at the end. */
  readonly endpoint: string;
  /** Sent to the endpoint's own origin and nowhere else; null without one. */
  readonly token: string | null;
  /** The proxies and certificates to use. */
  readonly network: Network;
  /** Milliseconds until an answer must begin. */
  readonly answerMs: number;
  /** Milliseconds that an answer may pause, once it has begun. */
  readonly silenceMs: number;
  /** Milliseconds for the whole of an answer that is no file, such as a list. */
  readonly wholeMs: number;
  /** Milliseconds of waiting for a file's bytes after which the rate is checked: it must be LEAST_RATE on average. */
  readonly rateMs: number;
  /** How often a request is tried. Progress starts the count again. */
  readonly attempts: number;
  /** How often it is tried if nothing answers at all: no such host, no network. */
  readonly reachAttempts: number;
  /** Milliseconds before the second attempt. The pause doubles with each further attempt. */
  readonly pauseMs: number;
}

/**
 * The timeouts of huggingface_hub (constants.py), and a limit for answers that neither fall silent nor end. If the Hub does not answer,
 * five attempts take some eight seconds.
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
/** Bytes a second. A modem of 1998 is five times as fast. */
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
  /** The name of the file in the Hub's own caches: sha256 (hex) of a large file, git's blob sha1 of a small one. */
  readonly etag: string;
  readonly access: HubAccess;
  /** The signed address of its bytes, if it is known already. It may have expired. It is never written anywhere. */
  readonly address?: string;
}

/** May the token be sent to `url`? */
export function isEndpoint(access: HubAccess, url: URL): boolean {
  return url.origin === new URL(access.endpoint).origin;
}
