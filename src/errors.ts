/**
 * The one error type, and the list of everything that can go wrong for a user. Each code has its exit code (docs/checks.md,
 * "Exit codes"), so that the mapping stands in one place. Whatever the input, nothing but a WeightDiffError is thrown.
 */
import type { Advice } from "./advice.js";
import { blot } from "./secrets.js";

/** Every error code, with its exit code on the command line and its kind. Add a row here to add an error. */
const ERRORS = {
  /** Options that contradict each other, or that there are not. */
  USAGE: { exitCode: 2, kind: "usage" },
  /** A check failed: a sum or a digest does not fit, or verify found damage. */
  CHECK_FAILED: { exitCode: 3, kind: "check" },
  /** A path, shard, index or config that is not there. */
  NOT_FOUND: { exitCode: 4, kind: "input" },
  /** A file that would be copied lies outside the checkpoint: a link leads there. */
  LINK_OUTSIDE: { exitCode: 4, kind: "input" },
  /** A git-lfs pointer, an HTML page, or an empty file in place of weights. */
  NOT_WEIGHTS: { exitCode: 4, kind: "input" },
  /** The file ends before its own header says it does, or goes on after it. */
  TRUNCATED: { exitCode: 4, kind: "input" },
  /** The bytes break the rules of their format. */
  FORMAT_INVALID: { exitCode: 4, kind: "input" },
  /** A format, dtype or layout that is understood and not supported (tar, GGUF, deflated, sparse, quantised …). */
  FORMAT_UNSUPPORTED: { exitCode: 4, kind: "input" },
  /** A pickle asks for a global that is not on the list of those that weight files need. */
  PICKLE_GLOBAL: { exitCode: 4, kind: "input" },
  /** A limit on hostile input was passed (header size, nesting, view blow-up). */
  LIMIT: { exitCode: 4, kind: "limit" },
  /** Names or shapes of raw and diff do not fit each other. */
  MISMATCH: { exitCode: 4, kind: "input" },
  /** The diff is a full model. */
  NOT_A_DIFF: { exitCode: 4, kind: "input" },
  /** A diff was given where a model is meant. */
  NOT_A_MODEL: { exitCode: 4, kind: "input" },
  /** The scheme cannot be decided from what is there. */
  SCHEME_UNKNOWN: { exitCode: 4, kind: "input" },
  /** A record's bytes do not have the CRC-32 its archive states. */
  CRC_MISMATCH: { exitCode: 4, kind: "input" },
  /** An input changed, shrank or vanished during the run. */
  INPUT_CHANGED: { exitCode: 4, kind: "input" },
  /** OUT is not empty, or lies in an input, or holds a partial run. */
  OUTPUT_REFUSED: { exitCode: 4, kind: "output" },
  /** Another live run holds OUT. */
  OUTPUT_LOCKED: { exitCode: 4, kind: "output" },
  /** The repository's terms must be accepted first. */
  HUB_GATED: { exitCode: 4, kind: "hub" },
  /** The token is not accepted, or may not see this. */
  HUB_DENIED: { exitCode: 4, kind: "hub" },
  /** There is no such repository on the Hub, or it is not shown without a token. */
  HUB_NO_REPO: { exitCode: 4, kind: "hub" },
  /** The repository has no such branch, tag or commit. */
  HUB_NO_REVISION: { exitCode: 4, kind: "hub" },
  /** The repository has no such file. */
  HUB_NO_FILE: { exitCode: 4, kind: "hub" },
  /** It is not in the cache, and the Hub must not be asked. */
  HUB_OFFLINE: { exitCode: 4, kind: "hub" },
  /** Not enough room for the output. */
  DISK_FULL: { exitCode: 5, kind: "system" },
  /** The operating system refused a read or a write. */
  IO: { exitCode: 5, kind: "system" },
  /** A server did not answer, was too busy, or sent something else than it was asked for, again and again. */
  NETWORK: { exitCode: 5, kind: "system" },
  /** SIGINT. */
  INTERRUPTED: { exitCode: 130, kind: "stopped" },
  /** SIGTERM. */
  TERMINATED: { exitCode: 143, kind: "stopped" },
} as const satisfies Readonly<Record<string, { readonly exitCode: number; readonly kind: string }>>;

export type ErrorCode = keyof typeof ERRORS;

/**
 * What a caller may do about an error: "usage" - call the function with other options; "check" - the data is not what it should be; "input" - a
 * file cannot be used; "limit" - an input, or the memory at hand, is past a limit; "output" - the folder for the result cannot be used; "hub" - a
 * repository cannot be used; "system" - disk or network, worth another try; "stopped" - the user ended the run.
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
  /** Of a chain of updates: which. */
  readonly version?: string;
}

/** Why a chain of updates cannot be read or applied, where the code alone does not tell. docs/chains.md has a line for each. */
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

/** How many problems a message lists; the rest is counted. */
const MAX_LISTED = 14;

/** The first of several problems, for a message. A single one is not listed: it stands in the fact itself. */
export function listed(problems: readonly string[]): readonly string[] {
  const rest = problems.length - MAX_LISTED;
  return problems.length < 2 ? [] : [...problems.slice(0, MAX_LISTED), ...(rest > 0 ? [`and ${rest} more`] : [])];
}

/**
 * An error with a remedy. `fact` is what is wrong, with expected and found; `message` is the same with the file before it, and the
 * first problems after it; `hint` says what to do next. Lower case, no full stop. Callers decide by `code` or `kind`, never by the words.
 */
export class WeightDiffError extends Error {
  override readonly name = "WeightDiffError";
  readonly code: ErrorCode;
  readonly kind: ErrorKind;
  readonly fact: string;
  readonly hint: string | undefined;
  readonly at: ErrorPlace;
  /** Of a chain of updates: which rule it breaks; null of everything else. */
  readonly why: ChainFault | null;
  /** Options and commands that would help. `hint` does not name them. */
  readonly advice: readonly Advice[];
  /** Where the fact sums up several problems: one line for each. */
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
