/**
 * What the operating system's refusals mean: the error that each becomes, its words, and the remedy. All are in this table. A code that is
 * not listed keeps the system's own text.
 */
import type { Advice } from "../advice.js";
import { type ErrorCode, WeightDiffError } from "../errors.js";

interface Meaning {
  /** What is wrong, to follow "cannot write: ". */
  readonly words: string;
  readonly remedy: string;
  /** The error if the user gave the path. */
  readonly code: ErrorCode;
  /** The error during a run, when the path was good at its beginning. Left out if it is `code`. */
  readonly later?: ErrorCode;
  readonly advice?: readonly Advice[];
}

const missing: Meaning = { words: "no such file", remedy: "check the path", code: "NOT_FOUND", later: "IO" };
const forbidden: Meaning = {
  words: "permission denied",
  remedy: "check the permissions of it and of the folder that it is in",
  code: "IO",
};
const unsupported: Meaning = {
  words: "the file system does not support this",
  remedy: "choose a place on another file system",
  code: "IO",
};

const MEANINGS: Readonly<Record<string, Meaning>> = {
  ENOENT: missing,
  ENOTDIR: missing,
  ELOOP: {
    words: "a symbolic link stands here, or links that lead in a circle",
    remedy: "give the file itself",
    code: "NOT_FOUND",
    later: "IO",
  },
  ENAMETOOLONG: {
    words: "the name is too long for the file system",
    remedy: "give a shorter one",
    code: "NOT_FOUND",
    later: "OUTPUT_REFUSED",
  },
  EACCES: forbidden,
  EPERM: forbidden,
  EBUSY: {
    words: "another program has it open",
    remedy: "close it there (an editor, a virus scanner)",
    code: "IO",
  },
  EROFS: { words: "the file system is read-only", remedy: "choose a place that can be written to", code: "IO" },
  ENOSPC: { words: "no room left on the disk", remedy: "free some space", code: "DISK_FULL" },
  EDQUOT: {
    words: "your quota of the disk is used up",
    remedy: "free some space of yours, or ask for more",
    code: "DISK_FULL",
  },
  EFBIG: {
    words: "the file would be larger than the file system, or a limit of the shell (ulimit -f), allows",
    remedy: "choose a place that holds files of this size",
    code: "IO",
    advice: [{ to: "start over and make smaller files", option: "maxShardSize", value: "2GB" }],
  },
  EMFILE: { words: "this process has too many files open", remedy: "raise the limit: ulimit -n 4096", code: "IO" },
  ENFILE: { words: "the system has too many files open", remedy: "end other programs", code: "IO" },
  ENOMEM: { words: "the system has no memory left", remedy: "end other programs", code: "IO" },
  EIO: { words: "the disk reports an error (EIO)", remedy: "check the disk", code: "IO" },
  ESTALE: {
    words: "the network file system has lost the file (ESTALE)",
    remedy: "mount the file system again",
    code: "IO",
  },
  EISDIR: { words: "it is a directory", remedy: "move it away", code: "IO" },
  ENXIO: { words: "not a regular file", remedy: "give a file", code: "NOT_FOUND", later: "IO" },
  ENOTSUP: unsupported,
  EOPNOTSUPP: unsupported,
  ENOSYS: unsupported,
};

/** The operating system's code of an error, for example "ENOENT"; undefined for any other error. */
export function errnoOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" && /^E[A-Z0-9]+$/.test(error.code)
    ? error.code
    : undefined;
}

/** Was the call refused because the file or directory does not exist? */
export function isMissing(error: unknown): boolean {
  const code = errnoOf(error);
  return code === "ENOENT" || code === "ENOTDIR";
}

/**
 * The operating system's refusal as an error that names the file.
 * @param action a verb: "open", "write".
 * @returns the error itself if it already is a WeightDiffError.
 */
export function fileError(file: string, action: string, error: unknown): WeightDiffError {
  return explain(file, `cannot ${action}`, error, "path");
}

/** The same for a file that a run reads or writes; the run can be resumed. @param position the byte that was reached. */
export function runError(
  file: string,
  action: string,
  error: unknown,
  position: number | null = null,
): WeightDiffError {
  return explain(file, `cannot ${action}${position === null ? "" : ` at byte ${position}`}`, error, "run");
}

/** The same for an output that cannot be begun, so there is nothing to resume. */
export function beginError(file: string, action: string, error: unknown): WeightDiffError {
  return explain(file, `cannot ${action}`, error, "begin");
}

/** A mistake of this program, for which no disk is to blame. */
function isBug(error: unknown): boolean {
  const mistakes = [TypeError, RangeError, ReferenceError, SyntaxError];
  return error instanceof Error && !("code" in error) && mistakes.some((mistake) => error instanceof mistake);
}

/** Faults of the machine, whatever file was asked for. */
const OF_THE_MACHINE = ["EMFILE", "ENFILE", "ENOMEM", "EIO", "ESTALE", "ENOSPC", "EDQUOT"];

/** An unforeseen error: a WeightDiffError if the machine is to blame, else unchanged. */
export function machineError(error: unknown): unknown {
  if (!OF_THE_MACHINE.includes(errnoOf(error) ?? "")) {
    return error;
  }
  const { path, syscall } = error as NodeJS.ErrnoException;
  return fileError(path ?? "weight-diff", syscall ?? "go on", error);
}

/** Of a run that has begun its output. */
export const RESUME: Advice = { to: "continue", option: "mode", value: "resume", afterwards: true };

/** When the error happened: at a path that the user gave, where an output begins, or during a run. */
type Stage = "path" | "begin" | "run";

function explain(file: string, attempt: string, error: unknown, stage: Stage): WeightDiffError {
  if (error instanceof WeightDiffError) {
    return error;
  }
  if (isBug(error)) {
    throw error;
  }
  const meaning = MEANINGS[errnoOf(error) ?? ""] ?? {
    words: error instanceof Error ? error.message : String(error),
    remedy: "check the disk",
    code: "IO",
  };
  const details = { cause: error, at: { file } };
  const code = stage === "path" ? meaning.code : (meaning.later ?? meaning.code);
  if (code === "NOT_FOUND") {
    return new WeightDiffError(code, meaning.words, meaning.remedy, details);
  }
  const fact = `${attempt}: ${meaning.words}`;
  return stage === "run"
    ? new WeightDiffError(code, fact, meaning.remedy, { ...details, advice: meaning.advice ?? [RESUME] })
    : new WeightDiffError(code, fact, `${meaning.remedy}, then run again`, details);
}
