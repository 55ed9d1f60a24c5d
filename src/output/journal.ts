/** The file that records what a run has done, so that another run can continue it. */
import { constants } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import { join } from "node:path";
import type { TensorResult } from "../engine/job/result.js";
import { WeightDiffError } from "../errors.js";
import { runError } from "../files/errno.js";
import { openOwn, readOwn, removeOwn } from "../files/own.js";
import { renameOver } from "../files/rename.js";
import {
  type Claims,
  type ClosedFile,
  headLine,
  type JournalHead,
  lineOf,
  type ParsedJournal,
  type PlanIdentity,
  parseJournal,
  resultFields,
} from "./journal-text.js";

/** A journal that this run writes. Its claims are those of earlier runs. Its files include those of this run. */
export interface Journal extends Claims {
  /** The run was started to replace the model in the directory. */
  readonly replace: boolean;
  add(result: TensorResult): void;
  /** Records names of further files before the first of them is made. Waits for the disk. */
  addFiles(files: readonly string[]): Promise<void>;
  /** Records that final names are given from here on. Waits for the disk. */
  beginSweep(): Promise<void>;
  /** Records that all final names were taken back. Waits for the disk. */
  undoSweep(): Promise<void>;
  addClosed(file: ClosedFile): void;
  /** Records that these files may be written again, and that the run is not finished. Waits for the disk. */
  reopen(files: readonly string[]): Promise<void>;
  /** Records that everything is done. Waits for the disk. */
  end(): Promise<void>;
  /** Waits until all lines have reached the disk. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** The folder in the output directory where everything grows. */
export const STAGING = ".weight-diff";
export const JOURNAL = "journal";
const DRAFT = `${JOURNAL}.new`;
/** A line with a proof has some 600 bytes, and checkpoints have at most some hundred thousand tensors. */
const MOST_BYTES = 1 << 28;

/** Does this name in the staging folder belong to the journal, or to one that is being written? */
export function isJournalName(name: string): boolean {
  return name === JOURNAL || name === DRAFT;
}

/**
 * Starts a new journal in `staging`. Nobody ever sees it without its first line.
 * @throws {WeightDiffError} IO, DISK_FULL, OUTPUT_REFUSED.
 */
export async function startJournal(staging: string, head: JournalHead): Promise<Journal> {
  const path = join(staging, JOURNAL);
  const draft = join(staging, DRAFT);
  try {
    await removeOwn(draft);
    const { line, salt } = headLine(head);
    const handle = await openOwn(draft, constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND);
    const none: Claims = { finished: [], swept: false, closed: new Map(), done: false, files: new Set(head.files) };
    const journal = await openJournal(path, handle, line, { ...none, replace: head.replace, salt });
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

/**
 * The files that the journal in `staging` lists; none if there is no journal, or if it cannot be read.
 * @throws {WeightDiffError} OUTPUT_REFUSED if it is not this tool's file; IO.
 */
export async function listedFiles(staging: string): Promise<ReadonlySet<string>> {
  const text = await readText(staging);
  return (text === null ? null : parseJournal(text))?.files ?? new Set();
}

/** Removes the journal. Without it, the staging folder counts as empty. */
export async function removeJournal(staging: string): Promise<void> {
  for (const name of [DRAFT, JOURNAL]) {
    await removeOwn(join(staging, name));
  }
}

/**
 * The claims of the journal in `staging`, without continuing it; null if there is none.
 * @throws {WeightDiffError} OUTPUT_REFUSED if it cannot be read; IO.
 */
export async function readJournal(staging: string): Promise<ParsedJournal | null> {
  const text = await readText(staging);
  if (text === null) {
    return null;
  }
  return parseJournal(text) ?? damaged(staging);
}

/** Continues the journal in `staging`. @throws {WeightDiffError} OUTPUT_REFUSED, naming what differs from the earlier run; IO. */
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
  const { head, ...earlier } = parseJournal(text) ?? damaged(staging);
  const changed = changedParts(head.plan, identity);
  if (changed.length > 0) {
    throw new WeightDiffError(
      "OUTPUT_REFUSED",
      `the earlier run was a different one: what differs is ${changed.join(", ")}`,
      "run exactly the earlier command",
      { at: { file: staging }, advice: [{ to: "start over", option: "mode", value: "force" }] },
    );
  }
  const handle = await openOwn(path, constants.O_WRONLY | constants.O_APPEND).catch((error: unknown) => {
    throw runError(path, "open", error);
  });
  // If the last line was cut short, a line feed ends it, so that the next line is whole.
  return openJournal(path, handle, text.endsWith("\n") ? "" : "\n", { ...earlier, replace: head.replace });
}

/** What differs between two runs, in words. */
export function changedParts(earlier: PlanIdentity, now: PlanIdentity): readonly string[] {
  return [...new Set([...Object.keys(earlier), ...Object.keys(now)])].filter((part) => earlier[part] !== now[part]);
}

function damaged(staging: string): never {
  throw new WeightDiffError(
    "OUTPUT_REFUSED",
    "the journal of the earlier run is damaged, or another version of weight-diff wrote it",
    "continue with that version",
    {
      at: { file: join(staging, JOURNAL) },
      advice: [{ to: "start over", option: "mode", value: "force" }],
    },
  );
}

async function readText(staging: string): Promise<string | null> {
  const path = join(staging, JOURNAL);
  return readOwn(path, MOST_BYTES).catch((error: unknown) => {
    throw runError(path, "read", error);
  });
}

interface Earlier extends Claims {
  readonly replace: boolean;
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
    await file.close().catch(() => {}); // the first error is the one to report
    throw runError(path, "write", error);
  }
  let pending: Promise<void> = Promise.resolve();
  let failure: unknown;
  const append = (line: object): void => {
    pending = pending
      .then(() => file.appendFile(lineOf(salt, line)))
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
    add: (result) => append(resultFields(result)),
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
