/**
 * The one error type, and the list of everything that can go wrong for a user. This file is the only place that maps error codes to exit
 * codes (docs/checks.md, "Exit codes"). Whatever the input, this program throws nothing but a WeightDiffError.
 */
import type { Advice } from "./advice.js";
import { blot } from "./secrets.js";

/** Every error code, with its exit code on the command line and its kind. Add a row here to add an error. */
const ERRORS = {
  /** An option is missing, unknown or wrong, or two options contradict each other. */
  USAGE: { exitCode: 2, kind: "usage" },
  /** A check failed: a sum or a digest differs from what was expected, or verify found damage. */
  CHECK_FAILED: { exitCode: 3, kind: "check" },
  /** A path, shard, index or config does not exist. */
  NOT_FOUND: { exitCode: 4, kind: "input" },
  /** A file that would be copied is a link to a file outside the checkpoint. */
  LINK_OUTSIDE: { exitCode: 4, kind: "input" },
  /** A git-lfs pointer, an HTML page or an empty file stands in place of the weights. */
  NOT_WEIGHTS: { exitCode: 4, kind: "input" },
  /** The file is shorter or longer than its own header says. */
  TRUNCATED: { exitCode: 4, kind: "input" },
  /** The bytes break the rules of their format. */
  FORMAT_INVALID: { exitCode: 4, kind: "input" },
  /** The format, dtype or layout is known, but not supported (tar, GGUF, deflated, sparse, quantised …). */
  FORMAT_UNSUPPORTED: { exitCode: 4, kind: "input" },
  /** A pickle asks for a global that weight files do not need. */
  PICKLE_GLOBAL: { exitCode: 4, kind: "input" },
  /** The input exceeds a limit that protects against hostile files (header size, nesting, size of views). */
  LIMIT: { exitCode: 4, kind: "limit" },
  /** Names or shapes of base and diff do not fit each other. */
  MISMATCH: { exitCode: 4, kind: "input" },
  /** The path given as the diff holds a full model. */
  NOT_A_DIFF: { exitCode: 4, kind: "input" },
  /** The path given as the model holds a diff. */
  NOT_A_MODEL: { exitCode: 4, kind: "input" },
  /** The inputs do not show which scheme the diff was made with. */
  SCHEME_UNKNOWN: { exitCode: 4, kind: "input" },
  /** The bytes of a record do not have the CRC-32 that its archive states. */
  CRC_MISMATCH: { exitCode: 4, kind: "input" },
  /** An input file changed, shrank or vanished during the run. */
  INPUT_CHANGED: { exitCode: 4, kind: "input" },
  /** The output directory is not empty, overlaps an input, or holds an unfinished run. */
  OUTPUT_REFUSED: { exitCode: 4, kind: "output" },
  /** Another process is writing to the output directory. */
  OUTPUT_LOCKED: { exitCode: 4, kind: "output" },
  /** The user must first accept the terms of the repository. */
  HUB_GATED: { exitCode: 4, kind: "hub" },
  /** The Hub rejects the token, or the token has no access to this repository. */
  HUB_DENIED: { exitCode: 4, kind: "hub" },
  /** The Hub has no such repository, or does not show it without a token. */
  HUB_NO_REPO: { exitCode: 4, kind: "hub" },
  /** The repository has no such branch, tag or commit. */
  HUB_NO_REVISION: { exitCode: 4, kind: "hub" },
  /** The repository has no such file. */
  HUB_NO_FILE: { exitCode: 4, kind: "hub" },
  /** The file is not in the cache, and the Hub must not be asked. */
  HUB_OFFLINE: { exitCode: 4, kind: "hub" },
  /** The disk has not enough room for the output. */
  DISK_FULL: { exitCode: 5, kind: "system" },
  /** The operating system refused a read or a write. */
  IO: { exitCode: 5, kind: "system" },
  /** A server did not answer, was too busy, or sent the wrong bytes, again and again. */
  NETWORK: { exitCode: 5, kind: "system" },
  /** SIGINT. */
  INTERRUPTED: { exitCode: 130, kind: "stopped" },
  /** SIGTERM. */
  TERMINATED: { exitCode: 143, kind: "stopped" },
} as const satisfies Readonly<Record<string, { readonly exitCode: number; readonly kind: string }>>;

export type ErrorCode = keyof typeof ERRORS;

/**
 * What a caller may do about an error. "usage": call the function with other options. "check": the data is not what it should be. "input":
 * a file cannot be used. "limit": an input needs more than a limit, or more memory than there is. "output": the output directory cannot be
 * used. "hub": a repository cannot be used. "system": the disk or the network failed, and another try may work. "stopped": the user ended
 * the run.
 */
export type ErrorKind = (typeof ERRORS)[ErrorCode]["kind"];

/** The exit code of the command line, by error code. */
export const EXIT_CODES = Object.fromEntries(
  Object.entries(ERRORS).map(([code, { exitCode }]) => [code, exitCode]),
) as {
  readonly [C in ErrorCode]: (typeof ERRORS)[C]["exitCode"];
};

/** What an error is about. */
export interface ErrorPlace {
  /** The file, folder or repository, as messages name it. */
  readonly file?: string;
  readonly tensor?: string;
  /** The version of a chain of updates. */
  readonly version?: string;
}

/** Why a chain of updates cannot be read or applied, where the error code alone does not tell. docs/chains.md has a row for each. */
export const CHAIN_FAULTS = [
  "already-applied",
  "base-unreachable",
  "checksum",
  "dtype",
  "duplicate-tensor",
  "frame",
  "incomplete",
  "index-missing-shard",
  "index-path",
  "index-tensor",
  "length",
  "link",
  "no-checksum",
  "old-layout",
  "pickle",
  "positions-order",
  "positions-range",
  "shard-extra",
  "unknown-checksum",
  "unknown-compression",
  "unknown-encoding",
  "unknown-tensor",
  "version-dir",
  "version-gap",
  "wrong-base",
] as const;
export type ChainFault = (typeof CHAIN_FAULTS)[number];

export interface ErrorDetails extends ErrorOptions {
  readonly at?: ErrorPlace;
  readonly why?: ChainFault | null;
  readonly advice?: readonly Advice[];
  readonly problems?: readonly string[];
}

/** A message lists at most so many problems, and counts the rest. */
const MAX_LISTED = 14;

/** The first of several problems, for a message. A single problem is not listed, since the fact itself states it. */
export function listed(problems: readonly string[]): readonly string[] {
  const rest = problems.length - MAX_LISTED;
  return problems.length < 2 ? [] : [...problems.slice(0, MAX_LISTED), ...(rest > 0 ? [`and ${rest} more`] : [])];
}

/**
 * An error with a remedy. `fact` states what is wrong, with the expected and the found value. `message` is the fact with the file before it
 * and the first problems after it. `hint` says what to do next. All are in lower case, without a full stop. Callers decide by `code` or
 * `kind`, never by the words.
 */
export class WeightDiffError extends Error {
  override readonly name = "WeightDiffError";
  readonly code: ErrorCode;
  readonly kind: ErrorKind;
  readonly fact: string;
  readonly hint: string | undefined;
  readonly at: ErrorPlace;
  /** The rule that a chain of updates breaks; null for every other error. */
  readonly why: ChainFault | null;
  /** Options and commands that may help. `hint` does not repeat them. */
  readonly advice: readonly Advice[];
  /** One line for each problem, where the fact sums up several. */
  readonly problems: readonly string[];

  constructor(
    code: ErrorCode,
    fact: string,
    hint?: string,
    { at = {}, why = null, advice = [], problems = [], ...options }: ErrorDetails = {},
  ) {
    super(blot([at.file === undefined ? fact : `${at.file}: ${fact}`, ...listed(problems)].join("\n  ")), options);
    this.code = code;
    this.kind = ERRORS[code].kind;
    this.fact = blot(fact);
    this.hint = hint === undefined ? undefined : blot(hint);
    this.at = at;
    this.why = why;
    this.advice = advice;
    this.problems = problems;
  }
}
