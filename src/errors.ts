/**
 * The one error type, and the list of everything that can go wrong for a user. Each code carries its exit code (README,
 * "Exit codes"), so that the mapping stands in one place. Whatever bytes come in, nothing but a WeightDiffError goes out.
 */

/** Every error code, with the exit code of the command line. Add a row here to add an error. */
export const EXIT_CODES = {
  /** Contradictory or unknown flags. */
  USAGE: 2,
  /** A check was made and failed: a sum, a digest, damage found by verify. */
  CHECK_FAILED: 3,
  /** A path, shard, index or config that is not there. */
  NOT_FOUND: 4,
  /** A git-lfs pointer, an HTML page, or an empty file in place of weights. */
  NOT_WEIGHTS: 4,
  /** The file ends before its own header says it does, or goes on after it. */
  TRUNCATED: 4,
  /** The bytes break the rules of their format. */
  FORMAT_INVALID: 4,
  /** A format, dtype or layout that is understood and not supported (tar, GGUF, deflated, sparse, quantised …). */
  FORMAT_UNSUPPORTED: 4,
  /** A pickle asks for a global outside the closed world. */
  PICKLE_GLOBAL: 4,
  /** A limit on hostile input was passed (header size, nesting, view blow-up). */
  LIMIT: 4,
  /** Names or shapes of raw and diff do not fit each other. */
  MISMATCH: 4,
  /** The diff is a full model. */
  NOT_A_DIFF: 4,
  /** A diff was given where a model is meant. */
  NOT_A_MODEL: 4,
  /** The scheme cannot be decided from what is there. */
  SCHEME_UNKNOWN: 4,
  /** A record's bytes do not have the CRC-32 its archive states. */
  CRC_MISMATCH: 4,
  /** An input changed, shrank or vanished during the run. */
  INPUT_CHANGED: 4,
  /** OUT is not empty, or lies in an input, or holds a partial run. */
  OUTPUT_REFUSED: 4,
  /** Another live run holds OUT. */
  OUTPUT_LOCKED: 4,
  /** The repository's terms must be accepted first. */
  HUB_GATED: 4,
  /** The token is not accepted, or may not see this. */
  HUB_DENIED: 4,
  /** No such repository on the Hub, or one that does not show itself without a token. */
  HUB_NO_REPO: 4,
  /** The repository has no such branch, tag or commit. */
  HUB_NO_REVISION: 4,
  /** The repository has no such file. */
  HUB_NO_FILE: 4,
  /** Not in the cache, and the Hub must not be asked. */
  HUB_OFFLINE: 4,
  /** Not enough room for the output. */
  DISK_FULL: 5,
  /** The operating system refused a read or a write. */
  IO: 5,
  /** A server did not answer, was too busy, or sent something else than it was asked for, again and again. */
  NETWORK: 5,
  /** SIGINT. */
  INTERRUPTED: 130,
  /** SIGTERM. */
  TERMINATED: 143,
} as const;

export type ErrorCode = keyof typeof EXIT_CODES;

/** An error with a remedy. `message` names file and tensor, expected and found; `hint` says what to do next. Lower case, no full stop. */
export class WeightDiffError extends Error {
  override readonly name = "WeightDiffError";
  readonly code: ErrorCode;
  readonly hint: string | undefined;

  constructor(code: ErrorCode, message: string, hint?: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.hint = hint;
  }
}
