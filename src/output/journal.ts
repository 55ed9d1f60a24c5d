/**
 * What a run has done, so that another can continue it. Each line is a checksum and a JSON document: first the plan, then each finished
 * tensor, then the last steps. A line that a crash cut short, or whose checksum does not fit, counts as not written. A line only claims:
 * the bytes themselves are always read again.
 */
import { createHash } from "node:crypto";
import { constants } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import { join } from "node:path";
import type { Proof, TensorResult } from "../engine/job/job.js";
import { WeightDiffError } from "../errors.js";
import { runError } from "../files/errno.js";
import { openOwn, readOwn, removeOwn } from "../files/own.js";
import { renameOver } from "../files/rename.js";

/** What must be the same for a run to be continued: each part's name in words, and its digest or value. */
export type PlanIdentity = Readonly<Record<string, string>>;

/** What the run's first line says. */
export interface JournalHead {
  readonly plan: PlanIdentity;
  /** The run was started to replace the model in the directory. */
  readonly replace: boolean;
  /** Names of the output's large files, which grow in the staging folder. */
  readonly files: readonly string[];
  /** Of a part: what was asked for, so that the parts can be gathered without being told again. */
  readonly asked?: AskedRun;
  /** Of a run that gathers parts: how many. */
  readonly gathers?: number;
}

/** A command and its options, as far as they are the same in every part. Read back, they are only claims. */
export interface AskedRun {
  readonly command: string;
  readonly options: Readonly<Record<string, unknown>>;
}

/** A file that its part will not write to any more. */
export interface ClosedFile {
  readonly file: string;
  readonly size: number;
  /** As when it was closed: in nanoseconds. */
  readonly modified: string;
  /** Of the whole file, where the command wants it. */
  readonly sha256?: string;
}

export interface Journal {
  /** The run was started to replace the model in the directory. */
  readonly replace: boolean;
  /** What earlier runs under the same plan claim to have made. */
  readonly finished: readonly TensorResult[];
  /** An earlier run had everything and had begun to give final names. */
  readonly swept: boolean;
  /** Names of all files that this run and earlier ones may have put into the staging folder. */
  readonly files: ReadonlySet<string>;
  /** Files that earlier runs closed, by name. */
  readonly closed: ReadonlyMap<string, ClosedFile>;
  /** An earlier run had done everything. */
  readonly done: boolean;
  add(result: TensorResult): void;
  /** Notes names of further files, before the first of them is made, and waits for the disk. */
  addFiles(files: readonly string[]): Promise<void>;
  /** Notes that final names are given from here on, and waits for the disk. */
  beginSweep(): Promise<void>;
  /** Notes that all final names were taken back, and waits for the disk. */
  undoSweep(): Promise<void>;
  addClosed(file: ClosedFile): void;
  /** Notes that these files may be written to again, and that not everything is done; waits for the disk. */
  reopen(files: readonly string[]): Promise<void>;
  /** Notes that everything is done, and waits for the disk. */
  end(): Promise<void>;
  /** Waits until all lines are with the disk. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** The folder in the output directory where everything grows. */
export const STAGING = ".weight-diff";
export const JOURNAL = "journal";
const DRAFT = `${JOURNAL}.new`;
/** A line with a proof has some 600 bytes, and checkpoints have at most some hundred thousand tensors. */
const MOST_BYTES = 1 << 28;
/** Of this file's form; it is raised whenever an older journal would be misread. */
const FORM = 2;

/** Is this the journal, or what writing one leaves for a moment, by its name in the staging folder? */
export function isJournalName(name: string): boolean {
  return name === JOURNAL || name === DRAFT;
}

/** Starts a new journal in `staging`: it is never seen without its first line. @throws {WeightDiffError} IO, DISK_FULL, OUTPUT_REFUSED. */
export async function startJournal(staging: string, head: JournalHead): Promise<Journal> {
  const path = join(staging, JOURNAL);
  const draft = join(staging, DRAFT);
  try {
    await removeOwn(draft);
    const first = checked("", { journal: FORM, ...head });
    const handle = await openOwn(draft, constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND);
    const journal = await openJournal(path, handle, first, {
      replace: head.replace,
      finished: [],
      swept: false,
      closed: new Map(),
      done: false,
      files: new Set(head.files),
      salt: saltOf(first),
    });
    try {
      await renameOver(draft, path);
      return journal;
    } catch (error) {
      await journal.close();
      throw error;
    }
  } catch (error) {
    throw runError(path, "write", error);
  }
}

/** The files that the journal in `staging` lists; none if there is none that can be read. @throws {WeightDiffError} OUTPUT_REFUSED if it is no file of ours, IO. */
export async function listedFiles(staging: string): Promise<ReadonlySet<string>> {
  const text = await readText(staging);
  return (text === null ? null : parse(text))?.files ?? new Set();
}

/** Removes the journal: without it, the staging folder means nothing. */
export async function removeJournal(staging: string): Promise<void> {
  for (const name of [DRAFT, JOURNAL]) {
    await removeOwn(join(staging, name));
  }
}

/** What a journal says, without continuing it. */
export interface ReadJournal extends Pick<Journal, "finished" | "swept" | "files" | "closed" | "done"> {
  readonly head: JournalHead;
}

/** The journal in `staging`; null if there is none. @throws {WeightDiffError} OUTPUT_REFUSED if it cannot be read, IO. */
export async function readJournal(staging: string): Promise<ReadJournal | null> {
  const text = await readText(staging);
  if (text === null) {
    return null;
  }
  const parsed = parse(text);
  if (parsed === null) {
    throw damaged(staging);
  }
  return { ...told(parsed), head: parsed.head };
}

/** Continues the journal in `staging`. @throws {WeightDiffError} OUTPUT_REFUSED naming what differs from the earlier run, IO. */
export async function resumeJournal(staging: string, identity: PlanIdentity): Promise<Journal> {
  const path = join(staging, JOURNAL);
  const text = await readText(staging);
  if (text === null) {
    throw new WeightDiffError(
      "OUTPUT_REFUSED",
      "there is no journal to resume from",
      "delete this folder, then run again",
      {
        at: { file: staging },
      },
    );
  }
  const earlier = parse(text);
  if (earlier === null) {
    throw damaged(staging);
  }
  const { head, salt } = earlier;
  const changed = changedParts(head.plan, identity);
  if (changed.length > 0) {
    throw new WeightDiffError(
      "OUTPUT_REFUSED",
      `the earlier run was another one: what differs is ${changed.join(", ")}`,
      "run exactly the earlier command",
      { at: { file: staging }, advice: [{ to: "start over", option: "mode", value: "force" }] },
    );
  }
  const handle = await openOwn(path, constants.O_WRONLY | constants.O_APPEND).catch((error: unknown) => {
    throw runError(path, "open", error);
  });
  // If the last line was cut short, a line feed ends it, so that the next line is whole.
  return openJournal(path, handle, text.endsWith("\n") ? "" : "\n", { ...told(earlier), replace: head.replace, salt });
}

/** What differs between two runs, in words. */
export function changedParts(earlier: PlanIdentity, now: PlanIdentity): readonly string[] {
  return [...new Set([...Object.keys(earlier), ...Object.keys(now)])].filter((part) => earlier[part] !== now[part]);
}

function damaged(staging: string): WeightDiffError {
  return new WeightDiffError(
    "OUTPUT_REFUSED",
    "the journal of the earlier run is damaged, or another version of weight-diff wrote it",
    "continue with that version",
    {
      at: { file: join(staging, JOURNAL) },
      advice: [{ to: "start over", option: "mode", value: "force" }],
    },
  );
}

function told({ lines, files }: Parsed): Pick<Journal, "finished" | "swept" | "files" | "closed" | "done"> {
  const closed = new Map<string, ClosedFile>();
  for (const line of lines) {
    if (isClosed(line.closed)) {
      closed.set(line.closed.file, line.closed);
    } else if (isNames(line.opened)) {
      for (const file of line.opened) {
        closed.delete(file);
      }
    }
  }
  return {
    finished: lines.flatMap(resultOf),
    swept: lines.findLast(({ sweep }) => typeof sweep === "boolean")?.sweep === true,
    done: lines.findLast(({ done }) => typeof done === "boolean")?.done === true,
    files,
    closed,
  };
}

type Line = Readonly<Record<string, unknown>>;

interface Parsed {
  readonly head: JournalHead;
  readonly lines: readonly Line[];
  readonly salt: string;
  readonly files: ReadonlySet<string>;
}

/** Null if the first line is damaged, or of another form. */
function parse(text: string): Parsed | null {
  const [first = "", ...rest] = text.split("\n").slice(0, -1);
  const head = parseHead(first);
  if (head === null) {
    return null;
  }
  const salt = saltOf(first);
  const lines = rest.map((line) => unchecked(salt, line)).filter((line) => line !== undefined);
  const files = new Set([...head.files, ...lines.flatMap((line) => (isNames(line.files) ? line.files : []))]);
  return { head, lines, salt, files };
}

async function readText(staging: string): Promise<string | null> {
  const path = join(staging, JOURNAL);
  return readOwn(path, MOST_BYTES).catch((error: unknown) => {
    throw runError(path, "read", error);
  });
}

function parseHead(line: string): JournalHead | null {
  const { journal, plan, replace, files, asked, gathers } = unchecked("", line) ?? {};
  return journal === FORM && isPlan(plan) && typeof replace === "boolean" && isNames(files)
    ? {
        ...{ plan, replace, files },
        ...(isAsked(asked) ? { asked } : {}),
        ...(typeof gathers === "number" ? { gathers } : {}),
      }
    : null;
}

function isPlan(value: unknown): value is PlanIdentity {
  return typeof value === "object" && value !== null && Object.values(value).every((part) => typeof part === "string");
}

function isNames(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((name) => typeof name === "string");
}

function isAsked(value: unknown): value is AskedRun {
  return isObject(value) && typeof value.command === "string" && isObject(value.options);
}

function isClosed(value: unknown): value is ClosedFile {
  return (
    isObject(value) &&
    typeof value.file === "string" &&
    typeof value.size === "number" &&
    typeof value.modified === "string" &&
    (value.sha256 === undefined || typeof value.sha256 === "string")
  );
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function resultOf({ id, sha256, sum, overflow, size, unchanged, proof }: Line): readonly TensorResult[] {
  return typeof id === "number" && typeof sha256 === "string" && typeof overflow === "number"
    ? [
        {
          id,
          sha256,
          sum: typeof sum === "number" ? sum : specialNumber(sum),
          overflow,
          ...(typeof size === "number" ? { size } : {}),
          ...(typeof unchanged === "number" ? { unchanged } : {}),
          ...(isProof(proof) ? { proof } : {}),
        },
      ]
    : [];
}

function isProof(value: unknown): value is Proof {
  const proof = (typeof value === "object" && value !== null ? value : {}) as Partial<Record<keyof Proof, unknown>>;
  return (
    (proof.raw === null || typeof proof.raw === "string") &&
    typeof proof.tuned === "string" &&
    typeof proof.recovered === "string" &&
    typeof proof.inexact === "number"
  );
}

/** JSON has no NaN and no infinities, and JSON.stringify drops the sign of -0; these are spelled as text. */
function numberText(value: number): number | string {
  return Object.is(value, -0) ? "-0" : Number.isFinite(value) ? value : String(value);
}

function specialNumber(text: unknown): number {
  return text === "Infinity" || text === "-Infinity" || text === "-0" ? Number(text) : Number.NaN;
}

/** @param salt of the journal, so that no line of another one passes for one of this. */
function checked(salt: string, value: object): string {
  const json = JSON.stringify(value);
  return `${checksum(salt, json)} ${json}\n`;
}

/** The document in a line, without its line feed; undefined if the checksum does not fit. */
function unchecked(salt: string, line: string): Line | undefined {
  const space = line.indexOf(" ");
  const json = line.slice(space + 1);
  if (space < 0 || line.slice(0, space) !== checksum(salt, json)) {
    return undefined;
  }
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === "object" && value !== null ? (value as Line) : undefined;
  } catch {
    return undefined;
  }
}

function checksum(salt: string, json: string): string {
  return createHash("sha256").update(salt).update(json).digest("hex").slice(0, 32);
}

/** The checksum of the first line. */
function saltOf(first: string): string {
  return first.slice(0, first.indexOf(" "));
}

interface Earlier extends Pick<Journal, "replace" | "finished" | "swept" | "files" | "closed" | "done"> {
  readonly salt: string;
}

async function openJournal(
  path: string,
  file: FileHandle,
  begin: string,
  { salt, ...earlier }: Earlier,
): Promise<Journal> {
  const files = new Set(earlier.files);
  try {
    await file.appendFile(begin);
    await file.sync();
  } catch (error) {
    await file.close().catch(() => {}); // what went wrong first is the one to tell
    throw runError(path, "write", error);
  }
  let pending: Promise<void> = Promise.resolve();
  let failure: unknown;
  const append = (line: object): void => {
    pending = pending
      .then(() => file.appendFile(checked(salt, line)))
      .catch((error: unknown) => {
        failure ??= error;
      });
  };
  const sync = async (): Promise<void> => {
    await pending;
    try {
      await file.sync();
    } catch (error) {
      failure ??= error;
    }
    if (failure !== undefined) {
      throw runError(path, "write", failure);
    }
  };
  return {
    ...earlier,
    files,
    add: ({ id, sha256, sum, overflow, size, unchanged, proof }) =>
      append({ id, sha256, sum: numberText(sum), overflow, size, unchanged, proof }),
    addFiles(names) {
      for (const name of names) {
        files.add(name);
      }
      append({ files: names });
      return sync();
    },
    beginSweep() {
      append({ sweep: true });
      return sync();
    },
    undoSweep() {
      append({ sweep: false });
      return sync();
    },
    addClosed: (file) => append({ closed: file }),
    reopen(names) {
      append({ opened: names });
      append({ done: false });
      return sync();
    },
    end() {
      append({ done: true });
      return sync();
    },
    sync,
    async close() {
      await pending;
      await file.close();
    },
  };
}
