/** status: the progress of the parts of a run on several machines, from what each wrote into the output directory. */

import { WeightDiffError } from "../errors.js";
import { partFolder } from "../output/gather.js";
import { lockHolder } from "../output/lock.js";
import { type PartNumber, partsIn } from "../output/part-names.js";
import { type PartState, readState } from "../output/part-state.js";
import { directoryOfParts, outputState } from "../output/state.js";

export interface StatusOptions {
  /** The output directory that was given to all parts. */
  readonly path: string;
}

export interface PartStatus extends PartNumber {
  /** "ended": it reported that it runs, but its process is gone. "silent": it is on another machine and no longer reports. */
  readonly state: "waiting" | "running" | "finished" | "failed" | "stopped" | "ended" | "silent";
  /** Null if it was not begun. */
  readonly host: string | null;
  readonly pid: number | null;
  /** Bytes read and written so far, and in all; null if unknown yet. */
  readonly done: number;
  readonly total: number | null;
  /** Bytes per second, recently. */
  readonly rate: number;
  readonly error: NonNullable<PartState["error"]> | null;
}

export interface StatusReport {
  readonly path: string;
  /** "finished": all parts were put together. */
  readonly state: "parts" | "finished";
  readonly parts: readonly PartStatus[];
  /** Bytes of all parts. */
  readonly done: number;
  readonly total: number | null;
  /** Bytes per second of all running parts together. */
  readonly rate: number;
  /** Null if nothing runs. */
  readonly secondsLeft: number | null;
}

/** No running part is silent for so long. */
const SILENT_MS = 60_000;

/** Looks at the parts, and changes nothing. @throws {WeightDiffError} NOT_FOUND, OUTPUT_REFUSED if there are none; IO. */
export async function status({ path: asked }: StatusOptions, now: () => number = Date.now): Promise<StatusReport> {
  const path = await directoryOfParts(asked);
  const there = await partsIn(path);
  const count = there.at(-1)?.count;
  if (count === undefined) {
    if ((await outputState(path)) !== "finished") {
      throw new WeightDiffError("OUTPUT_REFUSED", "no part of a run was begun here", "start the parts first", {
        at: { file: path },
      });
    }
    return { path, state: "finished", parts: [], done: 0, total: null, rate: 0, secondsLeft: null };
  }
  const parts: PartStatus[] = [];
  let whole: number | null = null;
  for (let index = 0; index < count; index++) {
    const folder = partFolder(path, { index, count });
    const said = await readState(folder);
    whole = said?.whole ?? whole;
    parts.push(await statusOf(folder, { index, count }, said, now()));
  }
  const done = parts.reduce((sum, part) => sum + part.done, 0);
  const rate = parts.reduce((sum, part) => sum + (part.state === "running" ? part.rate : 0), 0);
  const secondsLeft = whole !== null && rate > 0 ? Math.max(0, (whole - done) / rate) : null;
  return { path, state: "parts", parts, done, total: whole, rate, secondsLeft };
}

async function statusOf(folder: string, part: PartNumber, said: PartState | null, now: number): Promise<PartStatus> {
  if (said === null) {
    return { ...part, state: "waiting", host: null, pid: null, done: 0, total: null, rate: 0, error: null };
  }
  const { host, pid, total, rate, error = null } = said;
  const state = said.state === "running" ? await runningState(folder, said, now) : said.state;
  return { ...part, state, host, pid, done: said.done, total, rate: state === "running" ? rate : 0, error };
}

async function runningState(folder: string, { at }: PartState, now: number): Promise<PartStatus["state"]> {
  return (await lockHolder(folder)) === null ? "ended" : Math.abs(now - at) > SILENT_MS ? "silent" : "running";
}
