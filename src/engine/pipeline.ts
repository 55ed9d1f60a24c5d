/**
 * The work of one worker: jobs in, results out. Windows of a tensor are read ahead into the kernel's own memory, computed in
 * order, and written behind, so that the disk and the processor work at the same time. The slots are all the memory, whatever the model.
 */
import { WeightDiffError } from "../errors.js";
import { indexBytes, readIndex, type WindowRange } from "../formats/coded/index.js";
import type { Kernel } from "../kernel/kernel.js";
import { elementsOf, windowElements } from "./cut.js";
import { type Disk, readFully } from "./io/disk.js";
import { openWorkerFiles, type WorkerFiles } from "./io/files.js";
import type { Slot } from "./io/memory.js";
import { readerOf } from "./io/operands.js";
import { type TraceDetails, trace, traceAside, traceParts } from "./io/trace.js";
import type { Job, Operand, WindowedJob } from "./job/job.js";
import { elementsBefore, operandsOf } from "./job/operand.js";
import type { TensorResult } from "./job/result.js";
import { type JobWork, jobWork } from "./job-work.js";
import { memoryOf, type PipelineSetup } from "./setup.js";
import { type TurnedLayout, turnedLayout } from "./work/turned-layout.js";
import type { JobRun, LoadedWindow, WindowOutput } from "./work/window.js";

/** The worker's side of the pool. */
interface PipelineHost {
  readonly disk: Disk;
  /** The next job, or null when there is none left. */
  next(): Promise<Job | null>;
  /** The job is done and all its bytes are with the disk. */
  finished(job: Job, result: TensorResult): void;
  /** Bytes that one window read and wrote. */
  progress(job: Job, read: number, written: number): void;
  /** True once the run is to stop: at the next window. */
  aborted(): boolean;
  /** Ends reads from the Hub. Reads from the disk end by themselves. */
  readonly signal?: AbortSignal | undefined;
}

/** A job under way on this worker. */
interface Run {
  readonly job: WindowedJob;
  readonly operands: readonly Operand[];
  /** Set if the job itself reads its operands, as they are stored. */
  readonly turned: TurnedLayout | null;
  /** Where the start's coded windows are; empty where it is not coded. */
  readonly index: readonly WindowRange[];
  /** Created when its first window is computed: only one tensor at a time uses the kernel's states. */
  work: JobRun | null;
  /** Windows not yet written. */
  open: number;
  /** Set when the last window is computed. */
  result: TensorResult | null;
}

/** Elements [begin, end) of a job. */
interface Range {
  readonly run: Run;
  readonly begin: number;
  readonly end: number;
  readonly last: boolean;
  readonly coded?: WindowRange;
}

const detailsOf = ({ run, begin, end }: Range): TraceDetails => ({ tensor: run.job.name, begin, end });

interface Loaded extends LoadedWindow {
  readonly range: Range;
  readonly slot: Slot;
  readonly read: number;
}

/** Runs jobs until there are none. @throws {WeightDiffError} CRC_MISMATCH, INPUT_CHANGED, IO, DISK_FULL, INTERRUPTED. */
export async function runPipeline(setup: PipelineSetup, kernel: Kernel, host: PipelineHost): Promise<void> {
  const { inputs, outputs, readsHere, requests } = setup;
  const files = openWorkerFiles(host.disk, inputs, outputs, { signal: host.signal, readsHere, requests });
  const areas = memoryOf(setup, kernel);
  const memory = new Uint8Array(kernel.memory);
  const paths = setup.inputs.map(({ path }) => path);
  const free: Slot[] = [...areas.slots];
  const loading: Promise<Loaded>[] = [];
  const writing = new Set<Promise<void>>();
  const failures: unknown[] = [];
  const work = jobWork(setup, kernel, areas, files, host);
  const ranges = windowRanges(setup, host, files, work);
  const anyDirectOutput = setup.outputs.some(({ direct }) => direct);
  let exhausted = false;

  let current: JobRun | null = null;
  const compute = async (window: Loaded): Promise<WindowOutput> => {
    const { run, last } = window.range;
    run.work ??= work.start(run.job, run.turned);
    current = run.work;
    const output = await run.work.push(window, anyDirectOutput);
    if (last) {
      run.result = await run.work.finish(paths);
      await run.work.close?.();
      current = null;
    }
    return output;
  };

  const store = async (window: Loaded, { at, bytes, position, tail }: WindowOutput): Promise<void> => {
    const { run } = window.range;
    let written = 0;
    if (run.job.kind === "tensor" && run.job.output !== null && bytes > 0) {
      const { shard, range } = run.job.output;
      await files.write(shard, range, memory.subarray(at, at + bytes), range.begin + position);
      if (tail !== undefined) {
        await files.write(shard, range, tail, range.begin + position + bytes);
      }
      written = bytes + (tail?.length ?? 0);
    }
    free.push(window.slot);
    run.open--;
    host.progress(run.job, window.read, written);
    if (run.result !== null && run.open === 0) {
      host.finished(run.job, run.result);
    }
  };

  try {
    for (;;) {
      const here = files.readsHere();
      while (free.length > 0 && !(here && loading.length > 0) && !exhausted && failures.length === 0) {
        const { value: range, done } = await ranges.next();
        if (done === true) {
          exhausted = true;
          break;
        }
        range.run.open++;
        const slot = free.pop() as Slot;
        const load = traceAside(
          "read",
          () => loadWindow(range, slot, memory, files),
          () => detailsOf(range),
        );
        load.catch(() => {}); // thrown when its turn comes
        loading.push(load);
      }
      const next = loading.shift();
      const window = await (next === undefined ? next : trace(here ? "read here" : "wait for a read", () => next));
      if (failures.length > 0) {
        throw failures[0];
      }
      if (host.aborted()) {
        throw new WeightDiffError("INTERRUPTED", "interrupted");
      }
      if (window !== undefined) {
        const output = await trace(
          "compute",
          () => compute(window),
          () => ({ ...detailsOf(window.range), ...traceParts() }),
        );
        const write: Promise<void> = traceAside(
          "write",
          () => store(window, output),
          () => detailsOf(window.range),
        )
          .catch((error: unknown) => {
            failures.push(error);
          })
          .finally(() => writing.delete(write));
        writing.add(write);
      }
      if (loading.length === 0 && (free.length === 0 || exhausted)) {
        if (writing.size === 0) {
          break;
        }
        await trace("wait for a write", () => Promise.race(writing));
      }
    }
  } catch (error) {
    failures.push(error);
  }
  await Promise.allSettled([...loading, ...writing]);
  await (current as JobRun | null)?.close?.();
  await files.close().catch((error: unknown) => {
    failures.push(error);
  });
  if (failures.length > 0) {
    throw failures[0];
  }
}

/**
 * The windows of all jobs, in order. Lengths are multiples of 4096 elements, except for a job's last: pages of any dtype, whole
 * rows of the sum. Whole files and payloads have pieces of their own, and are done when their turn comes.
 */
async function* windowRanges(
  setup: PipelineSetup,
  host: PipelineHost,
  files: WorkerFiles,
  { doWhole }: JobWork,
): AsyncGenerator<Range, void> {
  for (;;) {
    const job = await trace("wait for a job", () => host.next());
    if (job === null) {
      return;
    }
    if (job.kind === "file" || job.kind === "payload") {
      host.finished(
        job,
        await trace(
          job.kind,
          () => doWhole(job),
          () => ({ file: job.name }),
        ),
      );
      continue;
    }
    const { first, count } = elementsOf(job);
    const step = windowElements(job, setup.windowBytes);
    const index = await indexOf(job, files, setup);
    const turned = turnedLayout(job);
    const tile = turned === null ? Number.POSITIVE_INFINITY : turned.tileRows * turned.matrix.columns;
    const run: Run = { job, operands: operandsOf(job).distinct, turned, index, work: null, open: 0, result: null };
    let begin = first;
    do {
      const end = Math.min(begin + step, begin - (begin % tile) + tile, count);
      const coded = index[begin / step];
      yield { run, begin, end, last: end === count, ...(coded === undefined ? {} : { coded }) };
      begin = end;
    } while (begin < count);
  }
}

/** Where the windows of a coded tensor are. @throws {WeightDiffError} FORMAT_INVALID. */
async function indexOf(
  job: WindowedJob,
  files: WorkerFiles,
  { inputs }: PipelineSetup,
): Promise<readonly WindowRange[]> {
  const operand = job.kind === "tensor" ? job.start.operand : null;
  if (operand?.kind !== "coded") {
    return [];
  }
  const bytes = new Uint8Array(indexBytes(operand));
  const { input, range } = operand;
  if (bytes.length > 0 && bytes.length <= range.end - range.begin) {
    await readFully(await files.input(input), bytes, range.end - bytes.length);
  }
  return readIndex(bytes, operand, range, { file: inputs[input]?.path ?? "input" });
}

async function loadWindow(range: Range, slot: Slot, memory: Uint8Array, files: WorkerFiles): Promise<Loaded> {
  const { run, begin, end } = range;
  const { job, operands, turned } = run;
  const settled = await Promise.allSettled(
    operands.map(async (operand, index) => {
      const at = slot.operands[index];
      if (at === undefined) {
        throw new TypeError(`job ${job.id}: no memory for its operand ${index}`);
      }
      const before = (element: number): number =>
        job.kind === "tensor" ? elementsBefore(job, operand, element) : element;
      const [first, last, until] = [before(begin), before(end), before(elementsOf(job).count)];
      if (first >= last && job.kind === "tensor" && operand.kind !== "coded") {
        return { at, bytes: 0 };
      }
      const { load, bytes } = readerOf(operand);
      const wanted = { begin: first, end: last, until, memory, buffer: at, coded: range.coded };
      return { at: turned === null ? await load(operand, wanted, files) : at, bytes: bytes(operand, wanted) };
    }),
  );
  const loaded = settled.map((outcome) => {
    if (outcome.status === "rejected") {
      throw outcome.reason;
    }
    return outcome.value;
  });
  return {
    range,
    slot,
    begin,
    end,
    last: range.last,
    ...(range.coded === undefined ? {} : { coded: range.coded }),
    at: loaded.map(({ at }) => at),
    outAt: slot.out,
    read: loaded.reduce((sum, { bytes }) => sum + bytes, 0),
  };
}
