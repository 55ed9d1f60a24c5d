/**
 * The progress of a part, in a small file that it writes every few seconds. `status` reads it, and so does a run that finds the part locked
 * by another machine. The file is written under another name and renamed, so nobody reads half of it.
 */
import { constants } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { openOwn, readOwn, removeOwn } from "../files/own.js";
import { renameOver } from "../files/rename.js";
import { STATE_DRAFT, STATE_FILE } from "./part-names.js";

export interface PartState {
  readonly state: "running" | "finished" | "failed" | "stopped";
  readonly host: string;
  readonly pid: number;
  /** Counts how often the file was written. */
  readonly beat: number;
  /** When it was written, in milliseconds since 1970 by the writer's clock. */
  readonly at: number;
  /** Bytes read and written so far, and in all. */
  readonly done: number;
  readonly total: number;
  /** Bytes per second, recently. */
  readonly rate: number;
  /** Bytes of all parts together. */
  readonly whole: number;
  /** Why the part failed. */
  readonly error?: { readonly code: string; readonly message: string };
}

/** A state has a few hundred bytes, but a message may be long. */
const MOST_BYTES = 1 << 16;
/** How often the state is written. */
export const BEAT_MS = 2000;
/** A part whose state has not changed for so long has ended. A machine without memory or disk answers late, but it answers. */
const SILENCE_MS = 45_000;

/** What a part reports, except who it is and when. */
export type ReportedState = Omit<PartState, "host" | "pid" | "beat" | "at">;

export async function writeState(folder: string, said: ReportedState, beat: number): Promise<void> {
  const draft = join(folder, STATE_DRAFT);
  await removeOwn(draft);
  const state: PartState = { ...said, host: hostname(), pid: process.pid, beat, at: Date.now() };
  const file = await openOwn(draft, constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC);
  try {
    await file.writeFile(`${JSON.stringify(state)}\n`);
  } finally {
    await file.close();
  }
  await renameOver(draft, join(folder, STATE_FILE));
}

/**
 * The last state of the part in this folder; null if none can be read.
 * @throws {WeightDiffError} OUTPUT_REFUSED if it is no file of this tool.
 */
export async function readState(folder: string): Promise<PartState | null> {
  const text = await readOwn(join(folder, STATE_FILE), MOST_BYTES);
  try {
    const value: unknown = JSON.parse(text ?? "");
    return isState(value) ? value : null;
  } catch {
    return null;
  }
}

const STATES: readonly unknown[] = ["running", "finished", "failed", "stopped"] satisfies PartState["state"][];

function isState(value: unknown): value is PartState {
  if (typeof value !== "object" || value === null) {
    return false;
  }
  const { state, host, pid, beat, at, done, total, rate, whole, error } = value as Record<keyof PartState, unknown>;
  return (
    STATES.includes(state) &&
    typeof host === "string" &&
    [pid, beat, at, done, total, rate, whole].every((each) => typeof each === "number" && Number.isFinite(each)) &&
    (error === undefined || isError(error))
  );
}

function isError(error: unknown): boolean {
  return (
    typeof error === "object" &&
    error !== null &&
    "code" in error &&
    typeof error.code === "string" &&
    "message" in error &&
    typeof error.message === "string"
  );
}

/**
 * Watches the part in this folder.
 * @param signal ends the watch as if the part had reported.
 * @returns whether the part reported within the time.
 */
export async function isHeard(
  folder: string,
  signal: AbortSignal | undefined,
  silenceMs: number = SILENCE_MS,
): Promise<boolean> {
  const first = await beatOf(folder);
  for (let waited = 0; waited < silenceMs; ) {
    if (signal?.aborted === true) {
      return true;
    }
    const step = Math.min(1000, silenceMs - waited);
    await pause(step);
    waited += step;
    if ((await beatOf(folder)) !== first) {
      return true;
    }
  }
  return false;
}

async function beatOf(folder: string): Promise<string> {
  const state = await readState(folder);
  return state === null ? "" : `${state.host} ${state.pid} ${state.beat}`;
}
