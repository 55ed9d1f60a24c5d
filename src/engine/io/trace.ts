/**
 * Where the time of a run goes: with WEIGHT_DIFF_TRACE=FILE every thread adds a line of JSON to FILE for each thing that it did. It is the
 * "JSON array format" of Chrome's Trace Event Format, whose closing bracket may be missing: chrome://tracing and ui.perfetto.dev show it.
 * Without the variable nothing is measured.
 */
import { openSync, writeSync } from "node:fs";
import { env, hrtime, pid } from "node:process";
import { isMainThread, threadId } from "node:worker_threads";
import { WeightDiffError } from "../../errors.js";
import { errnoOf, fileError } from "../../files/errno.js";

/** What a line says besides name and time. */
export type TraceDetails = Readonly<Record<string, string | number>>;

/** The file, once it is open; null where nothing is traced. */
let file: number | null | undefined;
let spans = 0;
/** Microseconds since the last `traceParts`. */
const parts = new Map<string, number>();

/** Is a trace written? The first call opens the file. @throws {WeightDiffError} OUTPUT_REFUSED if it is there already; as fileError. */
function tracing(): boolean {
  if (file === undefined) {
    file = open(env.WEIGHT_DIFF_TRACE ?? "");
  }
  return file !== null;
}

/** Does `work`, as what this thread does meanwhile; on one thread these follow each other or lie within each other. */
export function trace<T>(name: string, work: () => T, details?: () => TraceDetails): T {
  if (!tracing()) {
    return work();
  }
  const begin = now();
  return afterwards(work(), () => put({ name, ph: "X", ts: begin, dur: now() - begin, args: details?.() ?? {} }));
}

/** Does `work`, of which several are under way at a time: reads and writes. */
export function traceAside<T>(name: string, work: () => T, details?: () => TraceDetails): T {
  if (!tracing()) {
    return work();
  }
  const span = { name, cat: "aside", id: `${threadId}.${++spans}` };
  put({ ...span, ph: "b", ts: now(), args: details?.() ?? {} });
  return afterwards(work(), () => put({ ...span, ph: "e", ts: now() }));
}

/** What the process did since it began: the time that it takes to start. */
export function traceStart(name: string): void {
  if (tracing()) {
    const dur = Math.round(performance.now() * 1000);
    put({ name, ph: "X", ts: now() - dur, dur, args: {} });
  }
}

/** Does `work`, too short for a line of its own: `traceParts` tells of all since the last time. */
export function tracePart<T>(name: string, work: () => T): T {
  if (!tracing()) {
    return work();
  }
  const begin = hrtime.bigint();
  const done = work();
  parts.set(name, (parts.get(name) ?? 0) + Number(hrtime.bigint() - begin) / 1000);
  return done;
}

/** Microseconds of each part since the last time, by name. */
export function traceParts(): TraceDetails {
  const told = Object.fromEntries([...parts].map(([name, micros]) => [`${name} µs`, Math.round(micros)]));
  parts.clear();
  return told;
}

/** A clock that all threads share, in microseconds. */
function now(): number {
  return Number(hrtime.bigint() / 1000n);
}

function afterwards<T>(done: T, tell: () => void): T {
  if (done instanceof Promise) {
    // The promise that is given back is the caller's to await.
    done.then(tell, tell);
  } else {
    tell();
  }
  return done;
}

function put(event: object): void {
  if (typeof file === "number") {
    write(file, `${JSON.stringify({ ...event, pid, tid: threadId })},\n`);
  }
}

/** A trace that cannot be written on must not end the run that it watches. */
function write(to: number, text: string): void {
  try {
    writeSync(to, text);
  } catch {
    file = null;
  }
}

/** Whole lines are added, so those of several threads never mix. */
function open(path: string): number | null {
  if (path === "") {
    return null;
  }
  try {
    const opened = openSync(path, isMainThread ? "ax" : "a");
    if (isMainThread) {
      writeSync(opened, "[\n");
    }
    return opened;
  } catch (error) {
    if (errnoOf(error) === "EEXIST") {
      throw new WeightDiffError(
        "OUTPUT_REFUSED",
        "is there already, and WEIGHT_DIFF_TRACE names it for a new trace",
        "remove it, or name another file",
        {
          at: { file: path },
        },
      );
    }
    throw fileError(path, "write the trace", error);
  }
}
