/**
 * What a run has finished, so that another can go on. One JSON document a line: first what was planned, then each finished
 * tensor. A line that a crash cut short counts as not written; bytes are never believed without being read again.
 */
import { type FileHandle, open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { WeightDiffError } from "../errors.js";
import { diskError } from "./disk.js";
import type { TensorResult } from "./job.js";

/** What must be the same for a run to be continued: each part's name in words, and its digest or value. */
export type PlanIdentity = Readonly<Record<string, string>>;

export interface Journal {
  /** The run was started to replace the model in the directory. */
  readonly replace: boolean;
  /** Results of earlier runs under the same plan. */
  readonly finished: readonly TensorResult[];
  add(result: TensorResult): void;
  /** Waits until all lines are with the disk. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

const FILE = "journal";

/** Starts a new journal in `staging`. @throws {WeightDiffError} IO, DISK_FULL. */
export function startJournal(staging: string, identity: PlanIdentity, replace: boolean): Promise<Journal> {
  return openJournal(staging, "wx", { replace, finished: [] }, `${JSON.stringify({ plan: identity, replace })}\n`);
}

/** Continues the journal in `staging`. @throws {WeightDiffError} OUTPUT_REFUSED naming what differs from the earlier run. */
export async function resumeJournal(staging: string, identity: PlanIdentity): Promise<Journal> {
  const path = join(staging, FILE);
  const text = await readFile(path, "utf8").catch((error: unknown) => {
    throw error instanceof Error && "code" in error && error.code === "ENOENT"
      ? new WeightDiffError(
          "OUTPUT_REFUSED",
          `${staging}: there is no journal to resume from`,
          "start over: delete this folder and run without --resume",
        )
      : diskError(path, "read", null, error);
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
      `${staging}: the earlier run was another one: what differs is ${changed.join(", ")}`,
      "run exactly the earlier command with --resume, or start over with --force",
    );
  }
  const finished = lines.slice(1).flatMap((line) => {
    const { id, sha256, sum, overflow } = line ?? {};
    return typeof id === "number" && typeof sha256 === "string" && typeof overflow === "number"
      ? [{ id, sha256, sum: typeof sum === "number" ? sum : specialNumber(sum), overflow }]
      : [];
  });
  // A torn last line is closed, so that the next one is whole.
  return openJournal(
    staging,
    "a",
    { replace: lines[0]?.replace === true, finished },
    text.endsWith("\n") || text === "" ? "" : "\n",
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

/** JSON has no NaN and no infinities; they are spelled as text. */
function specialNumber(text: unknown): number {
  return text === "Infinity" || text === "-Infinity" ? Number(text) : Number.NaN;
}

async function openJournal(
  staging: string,
  flags: "wx" | "a",
  earlier: Pick<Journal, "replace" | "finished">,
  head: string,
): Promise<Journal> {
  const path = join(staging, FILE);
  let handle: FileHandle;
  try {
    handle = await open(path, flags);
    await handle.appendFile(head);
    await handle.sync();
  } catch (error) {
    throw diskError(path, "write", null, error);
  }
  let pending: Promise<void> = Promise.resolve();
  let failure: unknown;
  return {
    ...earlier,
    add(result) {
      const sum = Number.isFinite(result.sum) ? result.sum : String(result.sum);
      const line = `${JSON.stringify({ ...result, sum })}\n`;
      pending = pending
        .then(() => handle.appendFile(line))
        .catch((error: unknown) => {
          failure ??= error;
        });
    },
    async sync() {
      await pending;
      try {
        await handle.sync();
      } catch (error) {
        failure ??= error;
      }
      if (failure !== undefined) {
        throw diskError(path, "write", null, failure);
      }
    },
    async close() {
      await pending;
      await handle.close();
    },
  };
}
