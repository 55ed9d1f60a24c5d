/**
 * What a run has finished, so that another can go on. One JSON document a line: first what was planned, then each finished
 * tensor. A line that a crash cut short counts as not written; bytes are never believed without being read again.
 */
import { type FileHandle, open, readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import type { Proof, TensorResult } from "../engine/job/job.js";
import { WeightDiffError } from "../errors.js";
import { errnoOf, runError } from "../files/errno.js";

/** What must be the same for a run to be continued: each part's name in words, and its digest or value. */
export type PlanIdentity = Readonly<Record<string, string>>;

export interface Journal {
  /** The run was started to replace the model in the directory. */
  readonly replace: boolean;
  /** Results of earlier runs under the same plan. */
  readonly finished: readonly TensorResult[];
  /** An earlier run had everything and had begun to give final names. */
  readonly swept: boolean;
  add(result: TensorResult): void;
  /** Notes that final names are given from here on, and waits for the disk. */
  beginSweep(): Promise<void>;
  /** Waits until all lines are with the disk. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

export const JOURNAL = "journal";

/** Starts a new journal in `staging`: it is never seen without its first line. @throws {WeightDiffError} IO, DISK_FULL. */
export async function startJournal(staging: string, identity: PlanIdentity, replace: boolean): Promise<Journal> {
  const path = join(staging, JOURNAL);
  const draft = `${path}.new`;
  const head = `${JSON.stringify({ plan: identity, replace })}\n`;
  const journal = await openJournal(draft, "w", { replace, finished: [], swept: false }, head);
  try {
    await rename(draft, path);
  } catch (error) {
    await journal.close();
    throw runError(path, "write", error);
  }
  return journal;
}

/** Continues the journal in `staging`. @throws {WeightDiffError} OUTPUT_REFUSED naming what differs from the earlier run. */
export async function resumeJournal(staging: string, identity: PlanIdentity): Promise<Journal> {
  const path = join(staging, JOURNAL);
  const text = await readFile(path, "utf8").catch((error: unknown) => {
    throw errnoOf(error) === "ENOENT"
      ? new WeightDiffError(
          "OUTPUT_REFUSED",
          "there is no journal to resume from",
          "start over: delete this folder and run without --resume",
          { at: { file: staging } },
        )
      : runError(path, "read", error);
  });
  const lines = text.split("\n").slice(0, -1).map(parseLine);
  const plan = lines[0]?.plan;
  const earlier = typeof plan === "object" && plan !== null ? (plan as Record<string, unknown>) : {};
  const changed = [...new Set([...Object.keys(earlier), ...Object.keys(identity)])].filter(
    (part) => earlier[part] !== identity[part],
  );
  if (changed.length > 0) {
    throw new WeightDiffError(
      "OUTPUT_REFUSED",
      `the earlier run was another one: what differs is ${changed.join(", ")}`,
      "run exactly the earlier command with --resume, or start over with --force",
      { at: { file: staging } },
    );
  }
  const swept = lines.some((line) => line?.sweep === true);
  const finished = lines.slice(1).flatMap((line) => {
    const { id, sha256, sum, overflow, proof } = line ?? {};
    return typeof id === "number" && typeof sha256 === "string" && typeof overflow === "number"
      ? [
          {
            id,
            sha256,
            sum: typeof sum === "number" ? sum : specialNumber(sum),
            overflow,
            ...(isProof(proof) ? { proof } : {}),
          },
        ]
      : [];
  });
  // A torn last line is closed, so that the next one is whole.
  const head = text.endsWith("\n") || text === "" ? "" : "\n";
  return openJournal(path, "a", { replace: lines[0]?.replace === true, finished, swept }, head);
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

function parseLine(line: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

/** JSON has no NaN and no infinities, and JSON.stringify drops the sign of -0; these are spelled as text. */
function numberText(value: number): number | string {
  return Object.is(value, -0) ? "-0" : Number.isFinite(value) ? value : String(value);
}

function specialNumber(text: unknown): number {
  return text === "Infinity" || text === "-Infinity" || text === "-0" ? Number(text) : Number.NaN;
}

async function openJournal(
  path: string,
  flags: "w" | "a",
  earlier: Pick<Journal, "replace" | "finished" | "swept">,
  head: string,
): Promise<Journal> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(path, flags);
    await handle.appendFile(head);
    await handle.sync();
  } catch (error) {
    await handle?.close().catch(() => {}); // what went wrong first is the one to tell
    throw runError(path, "write", error);
  }
  const file = handle;
  let pending: Promise<void> = Promise.resolve();
  let failure: unknown;
  const append = (line: object): void => {
    pending = pending
      .then(() => file.appendFile(`${JSON.stringify(line)}\n`))
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
    add: (result) => append({ ...result, sum: numberText(result.sum) }),
    beginSweep() {
      append({ sweep: true });
      return sync();
    },
    sync,
    async close() {
      await pending;
      await file.close();
    },
  };
}
