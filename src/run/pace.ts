/** How a run works through its plan: the number of threads, the size of windows, and how many windows are in flight. */
import type { Shard } from "../checkpoint/shard.js";
import { defaultThreads } from "../engine/cpu.js";
import { leastWindowBytes } from "../engine/cut.js";
import type { Disk } from "../engine/io/disk.js";
import type { InputFile } from "../engine/io/files.js";
import { isTiled } from "../engine/io/gather.js";
import type { Job } from "../engine/job/job.js";
import { operandsOf } from "../engine/job/operand.js";
import { turnedNeeds } from "../engine/work/turned-layout.js";

/** 4 MiB keeps the number of calls small. Two workers, each with three windows of three buffers, stay near 70 MB. */
const WINDOW_BYTES = 1 << 22;
/** Smaller where transposed matrices are read, since their tiles take memory too. */
const TILED_WINDOW_BYTES = 1 << 21;
/** Smaller still where their sums are: the tile of a sum is larger. */
const TURNED_WINDOW_BYTES = 1 << 19;
/** For whole files. Three windows of payload and key fit into a processor's cache, and the number of calls is still small. */
const FILE_WINDOW_BYTES = 1 << 20;
/** The smallest window that the layout of the kernel's memory allows. */
const LEAST_WINDOW_BYTES = 1 << 16;
/** For steps of a chain, since the decoders take the rest of the memory. */
const UPDATE_WINDOW_BYTES = 1 << 21;
/** Windows in flight: one is read, one computed and one written. */
const SLOTS = 3;
/** Below this, the work is done before a thread has started. Such work does not bypass the page cache either. */
export const SMALL_BYTES = 1 << 26;

/**
 * For inputs that are read over the network. Each thread has ten windows of 2 MiB on their way or here, for two operands, and what follows
 * waits on its connections (http/pieces.ts). Each thread costs connections and memory; docs/benchmarks.md has the rates.
 */
const REMOTE_PACE = { windowBytes: 1 << 21, slots: 5, threads: 2 };

export interface PaceOptions {
  /** The number of worker threads. Null chooses by the work and the processors; 0 works in the calling thread. */
  readonly threads?: number | null;
  /** Bytes of one operand in one window; a multiple of 64 KiB. */
  readonly windowBytes?: number;
  /** Replaces the disk in tests. */
  readonly disk?: Disk;
}

interface Pace {
  readonly threads: number;
  readonly windowBytes: number;
  /** For whole files. A plan with whole files has no tensors; nor has a plan with payloads. */
  readonly fileWindowBytes: number;
  readonly slots: number;
}

/** How to work through so many bytes and jobs, where the options leave it open. */
export function choosePace(
  files: readonly Pick<InputFile, "remote">[],
  bytes: number,
  jobs: readonly Job[],
  options: PaceOptions,
): Pace {
  const remote = files.some((file) => file.remote !== undefined);
  const most = remote ? REMOTE_PACE.threads : defaultThreads();
  const threads = bytes < SMALL_BYTES ? 0 : Math.min(most, Math.max(1, jobs.length));
  const whole = jobs.some(({ kind }) => kind === "file" || kind === "payload");
  const wanted = options.windowBytes ?? (remote ? REMOTE_PACE.windowBytes : windowFor(jobs));
  const windowBytes = Math.max(wanted, leastWindowBytes(jobs));
  return {
    threads: options.threads ?? threads,
    windowBytes: whole ? LEAST_WINDOW_BYTES : windowBytes,
    fileWindowBytes: windowBytes,
    slots: remote ? REMOTE_PACE.slots : SLOTS,
  };
}

/** How many threads to start before the plan is made: the number that it will most likely use. None where files are fetched first. */
export function threadsAhead(
  shards: readonly Pick<Shard, "size" | "hub">[],
  { threads = null, disk, dryRun }: PaceOptions & { readonly dryRun?: boolean },
): number {
  const bytes = shards.reduce((sum, { size }) => sum + size, 0);
  const fetched = shards.some(({ hub }) => hub !== undefined && hub.snapshot !== null);
  const most = shards.some(({ hub }) => hub !== undefined) ? REMOTE_PACE.threads : defaultThreads();
  return dryRun === true || disk !== undefined || bytes < SMALL_BYTES || fetched ? 0 : (threads ?? most);
}

/** For all workers together. Each decoder takes up to a megabyte. */
const DECODERS = 64;

/** How many decoders of updates each worker may hold open. */
export function decodersFor(threads: number): number {
  return Math.max(1, Math.floor(DECODERS / Math.max(1, threads)));
}

/** The most threads of which each may have so many decoders open at a time; one at least. */
export function threadsWith(decoders: number): number {
  return Math.max(1, Math.floor(DECODERS / Math.max(1, decoders)));
}

function windowFor(jobs: readonly Job[]): number {
  if (jobs.some(({ kind }) => kind === "file")) {
    return FILE_WINDOW_BYTES;
  }
  if (jobs.some((job) => job.kind === "tensor" && job.updates !== undefined)) {
    return UPDATE_WINDOW_BYTES;
  }
  if (turnedNeeds(jobs) !== null) {
    return TURNED_WINDOW_BYTES;
  }
  const operands = jobs.flatMap((job) => (job.kind === "tensor" ? operandsOf(job).distinct : []));
  const tiled = operands.some((operand) => operand.kind === "stored" && isTiled(operand));
  return tiled ? TILED_WINDOW_BYTES : WINDOW_BYTES;
}
