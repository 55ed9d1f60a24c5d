/**
 * The text of a journal. Each line is a checksum and a JSON document: first the plan, then each finished tensor, then the last steps. A
 * line that a crash cut short, or whose checksum does not match, counts as not written. A line only claims something: the bytes themselves
 * are always read again.
 */
import { createHash } from "node:crypto";
import type { Proof, TensorResult } from "../engine/job/result.js";
import { isObject } from "../formats/json.js";

/** What must be equal for a run to be continued: the name of each property in words, and its digest or value. */
export type PlanIdentity = Readonly<Record<string, string>>;

/** The first line of a journal. */
export interface JournalHead {
  readonly plan: PlanIdentity;
  /** The run was started to replace the model in the directory. */
  readonly replace: boolean;
  /** Names of the large output files, which grow in the staging folder. */
  readonly files: readonly string[];
  /** For a part: the options of its call, so finalize need not be told them again. */
  readonly asked?: AskedRun;
  /** For a run that gathers parts: the number of parts. */
  readonly gathers?: number;
}

/** A command and the options that are the same in every part. A journal only claims them. */
export interface AskedRun {
  readonly command: string;
  readonly options: Readonly<Record<string, unknown>>;
}

/** A file that its part will not write to any more. */
export interface ClosedFile {
  readonly file: string;
  readonly size: number;
  /** Time of last modification when it was closed, in nanoseconds. */
  readonly modified: string;
  /** Of the whole file, if the command needs it. */
  readonly sha256?: string;
}

/** The claims of a journal, from all runs of its plan. */
export interface Claims {
  /** The finished tensors. */
  readonly finished: readonly TensorResult[];
  /** A run had finished everything, and had begun to give final names. */
  readonly swept: boolean;
  /** Names of all files that may be in the staging folder. */
  readonly files: ReadonlySet<string>;
  /** The closed files, by name. */
  readonly closed: ReadonlyMap<string, ClosedFile>;
  /** A run had finished everything, final names included. */
  readonly done: boolean;
}

/** A journal after reading. */
export interface ParsedJournal extends Claims {
  readonly head: JournalHead;
  /** The checksum of the first line. It salts the checksums of all others, so a line of another journal is not accepted. */
  readonly salt: string;
}

/** The version of the journal's form. It is raised whenever an older journal would be misread. */
const FORM = 2;

type Line = Readonly<Record<string, unknown>>;

/** The first line, and the salt for the lines after it. */
export function headLine(head: JournalHead): { readonly line: string; readonly salt: string } {
  const line = lineOf("", { journal: FORM, ...head });
  return { line, salt: checksumIn(line) };
}

/** A line, including its line feed. */
export function lineOf(salt: string, value: object): string {
  const json = JSON.stringify(value);
  return `${checksum(salt, json)} ${json}\n`;
}

/** The content of the line of a finished job: sha256 is "" where the job takes none. */
export function resultFields({ id, sha256 = "", sum, overflow, size, unchanged, proof }: TensorResult): object {
  return { id, sha256, sum: numberText(sum), overflow, size, unchanged, proof };
}

/** The claims of a journal; null if its first line is damaged or has another form. */
export function parseJournal(text: string): ParsedJournal | null {
  const [first = "", ...rest] = text.split("\n").slice(0, -1);
  const head = parseHead(first);
  if (head === null) {
    return null;
  }
  const salt = checksumIn(first);
  const lines = rest.map((line) => parseLine(salt, line)).filter((line) => line !== undefined);
  return { head, salt, ...claimsOf(head, lines) };
}

function claimsOf(head: JournalHead, lines: readonly Line[]): Claims {
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
    files: new Set([...head.files, ...lines.flatMap((line) => (isNames(line.files) ? line.files : []))]),
    closed,
  };
}

function parseHead(line: string): JournalHead | null {
  const { journal, plan, replace, files, asked, gathers } = parseLine("", line) ?? {};
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

function resultOf({ id, sha256, sum, overflow, size, unchanged, proof }: Line): readonly TensorResult[] {
  return typeof id === "number" && typeof sha256 === "string" && typeof overflow === "number"
    ? [
        {
          id,
          ...(sha256 === "" ? {} : { sha256 }),
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

/** JSON has no NaN and no infinities, and JSON.stringify drops the sign of -0. These are written as text. */
function numberText(value: number): number | string {
  return Object.is(value, -0) ? "-0" : Number.isFinite(value) ? value : String(value);
}

function specialNumber(text: unknown): number {
  return text === "Infinity" || text === "-Infinity" || text === "-0" ? Number(text) : Number.NaN;
}

/** The document in a line without its line feed; undefined if the checksum does not match. */
function parseLine(salt: string, line: string): Line | undefined {
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

function checksumIn(line: string): string {
  return line.slice(0, line.indexOf(" "));
}
