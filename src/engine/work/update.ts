/**
 * Applies a chain of updates to one tensor, window by window: every step changes its bytes in order, and the wanted checksums are taken. If a
 * tensor fits into one window, the steps are applied to it one after the other. A longer one is handled in pieces, and several steps are applied to
 * each piece, each with an open decoder. If there are more steps than decoders may be open, the first steps are applied on the way into a temporary
 * file, the next ones on the way out of it, and so on. The memory is the same for one step and for a thousand.
 */
import { createHash, type Hash } from "node:crypto";
import { WeightDiffError } from "../../errors.js";
import { type Checksum, loadChecksums } from "../../formats/checksum.js";
import { elementCount } from "../../formats/dtype.js";
import type { Kernel } from "../../kernel/kernel.js";
import { PAGE } from "../io/disk.js";
import type { InputFile, WorkerFiles } from "../io/files.js";
import { BLOCK, type MemoryPlan, UPDATED_PIECE } from "../io/memory.js";
import { readerOf } from "../io/operands.js";
import { openScratch, type Scratch } from "../io/scratch.js";
import type { StoredOperand, TensorJob, UpdateStep } from "../job/job.js";
import { updatesCoded, widthOf } from "../job/operand.js";
import { byteSwap } from "./byte-swap.js";
import { codedPart } from "./coded-step.js";
import type { StepRun, StepSetup } from "./step-run.js";
import { openTogether, startStep } from "./steps.js";
import type { JobRun, LoadedWindow } from "./window.js";

export interface UpdateSetup {
  readonly inputs: readonly InputFile[];
  /** How many decoders may be open at the same time. An overwrite step needs two. */
  readonly decoders: number;
  /** The hash over all jobs that run in this thread (Updates.joined). */
  readonly joined: Hash;
  aborted(): boolean;
}

/** Starts the job. @throws {TypeError} for a job of another rule. */
export function startUpdate(
  job: TensorJob,
  kernel: Kernel,
  areas: MemoryPlan,
  files: WorkerFiles,
  { inputs, decoders, joined, aborted }: UpdateSetup,
): JobRun {
  const { operand } = job.start;
  const { updates } = job;
  if (updates === undefined || operand.kind !== "stored") {
    throw new TypeError(`job ${job.id}: nothing to update`);
  }
  const { steps, sums } = updates;
  const memory = new Uint8Array(kernel.memory);
  const width = widthOf(job.dtype);
  const elements = elementCount(job.shape) ?? 0;
  const bytes = width * elements;
  const piece = updatesCoded(job) === "none" ? UPDATED_PIECE : codedPart(job.dtype);
  const order = byteSwap(operand);
  const hash = updates.sumsOnly === true ? null : createHash("sha256");
  const setupOf = (step: UpdateStep): StepSetup => ({
    ...{ kernel, areas, files, bytes, width, scratch: areas.rawBlock, scratchBytes: BLOCK * 4 },
    place: { file: inputs[step.input]?.path ?? "input", tensor: job.name, version: step.version },
    remote: inputs[step.input]?.remote !== undefined,
  });
  /** The steps that are being applied. The first of them is `first`. */
  const open: StepRun[] = [];
  let first = 0;
  let checksums: readonly Checksum[] = [];
  /** Where the bytes are after the steps before `first`; null if they are the base's own bytes. */
  let scratch: Scratch | null = null;

  const start = async (from: number, to: number): Promise<void> => {
    first = from;
    for (const step of steps.slice(from, to)) {
      open.push(await startStep(step, setupOf(step)));
    }
  };
  const end = async (): Promise<void> => {
    for (const run of open) {
      await run.end();
    }
    for (const run of open.splice(0)) {
      run.close();
    }
  };
  const take = (after: number, at: number, count: number): void => {
    sums.forEach((sum, index) => {
      if (sum.after === after) {
        checksums[index]?.update(memory.subarray(at, at + count));
      }
    });
  };
  /** Applies one step to all bytes. Only one step is open at a time. */
  const applyWhole = async (at: number): Promise<void> => {
    take(0, at, bytes);
    for (const index of steps.keys()) {
      await start(index, index + 1);
      await open[0]?.apply(at, bytes, 0);
      await end();
      take(index + 1, at, bytes);
    }
  };
  const applyOpen = async (at: number, count: number, position: number): Promise<void> => {
    for (let done = 0; done < count; done += piece) {
      const part = Math.min(piece, count - done);
      if (first === 0) {
        take(0, at + done, part);
      }
      for (const [index, run] of open.entries()) {
        await run.apply(at + done, part, position + done);
        take(first + index + 1, at + done, part);
      }
    }
  };
  /** Applies all steps but the last few, through the temporary file. @param window the first window. */
  const applyEarlier = async ({ end: step, outAt }: LoadedWindow): Promise<void> => {
    for (let to = together(first); to < steps.length; to = together(first)) {
      if (open.length > 0) {
        throw new TypeError("steps are under way");
      }
      await start(first, to);
      const target = scratch ?? (await openScratch());
      for (let begin = 0; begin < elements; begin += step) {
        if (aborted()) {
          throw new WeightDiffError("INTERRUPTED", "interrupted");
        }
        const last = Math.min(begin + step, elements);
        const at = scratch === null ? await loadStart(operand, begin, last, outAt) : outAt;
        const view = memory.subarray(at, at + (last - begin) * width);
        await scratch?.read(view, begin * width);
        await applyOpen(at, view.length, begin * width);
        await target.write(view, begin * width);
      }
      await end();
      scratch = target;
      first = to;
    }
  };
  const together = (from: number): number => openTogether(steps, from, decoders);
  const loadStart = async (from: StoredOperand, begin: number, last: number, buffer: number): Promise<number> => {
    const at = await readerOf(from).load(from, { begin, end: last, memory, buffer }, files);
    order.take(memory.subarray(at, at + (last - begin) * width));
    return at;
  };

  return {
    async push(window, aligned) {
      if (window.begin === 0) {
        const create = await loadChecksums(sums.map(({ algorithm }) => algorithm));
        checksums = sums.map(({ algorithm }) => create(algorithm));
      }
      const begin = window.begin * width;
      const count = window.end * width - begin;
      if (window.begin === 0 && !window.last) {
        await applyEarlier(window);
        await start(first, steps.length);
      }
      const startAt = window.at[0] ?? 0;
      const at = aligned && startAt % PAGE !== 0 ? window.outAt : startAt;
      const view = memory.subarray(at, at + count);
      if (scratch === null) {
        if (at !== startAt) {
          memory.copyWithin(at, startAt, startAt + count);
        }
        order.take(view);
      } else {
        await scratch.read(view, begin);
      }
      await (window.begin === 0 && window.last ? applyWhole(at) : applyOpen(at, count, begin));
      hash?.update(view);
      if (updates.joined === true) {
        joined.update(view);
      }
      return { at, bytes: count, position: begin };
    },
    async finish(paths) {
      order.finish(paths);
      await end();
      const found = checksums.map((checksum) => checksum.digest());
      const result = {
        id: job.id,
        ...(hash === null ? {} : { sha256: hash.digest("hex") }),
        sum: 0,
        overflow: 0,
        checksums: found,
      };
      return updates.joined === true ? { ...result, joined: joined.copy().digest("hex") } : result;
    },
    async close() {
      for (const run of open.splice(0)) {
        run.close();
      }
      await scratch?.close();
      scratch = null;
    },
  };
}
