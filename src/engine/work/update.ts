/**
 * One tensor through a chain of updates, window by window: the bytes that it starts with, changed by every step in order, with the
 * checksums that are wanted on the way. A tensor that fits one window meets one step after the other; a longer one meets all of them piece by
 * piece, each with its decoder open.
 */
import { createHash, type Hash } from "node:crypto";
import { type Checksum, loadChecksums } from "../../formats/checksum.js";
import { elementCount } from "../../formats/dtype.js";
import type { Kernel } from "../../kernel/kernel.js";
import { PAGE } from "../io/disk.js";
import type { InputFile, WorkerFiles } from "../io/files.js";
import { BLOCK, type MemoryPlan } from "../io/memory.js";
import type { TensorJob, UpdateStep } from "../job/job.js";
import { widthOf } from "../job/operand.js";
import { byteSwap } from "./byte-swap.js";
import { type StepRun, type StepSetup, startStep } from "./steps.js";
import type { JobRun } from "./window.js";

/** Bytes that all steps pass over while they are in the processor's cache. */
const PIECE = BLOCK * 4;

/** Starts the job. @throws {TypeError} for a job of another rule. */
export function startUpdate(
  job: TensorJob,
  kernel: Kernel,
  areas: MemoryPlan,
  files: WorkerFiles,
  { inputs, joined }: { readonly inputs: readonly InputFile[]; readonly joined: Hash },
): JobRun {
  const { operand } = job.start;
  const { updates } = job;
  if (updates === undefined || operand.kind !== "stored") {
    throw new TypeError(`job ${job.id}: nothing to update`);
  }
  const { steps, sums } = updates;
  const memory = new Uint8Array(kernel.memory);
  const width = widthOf(job.dtype);
  const bytes = width * (elementCount(job.shape) ?? 0);
  const order = byteSwap(operand);
  const hash = createHash("sha256");
  const setupOf = (step: UpdateStep): StepSetup => ({
    ...{ kernel, files, bytes, width, scratch: areas.rawBlock, scratchBytes: PIECE },
    place: { file: inputs[step.input]?.path ?? "input", tensor: job.name, version: step.version },
    remote: inputs[step.input]?.remote !== undefined,
  });
  const open: StepRun[] = [];
  let checksums: readonly Checksum[] | undefined;
  const take = (after: number, at: number, count: number): void => {
    sums.forEach((sum, index) => {
      if (sum.after === after) {
        checksums?.[index]?.update(memory.subarray(at, at + count));
      }
    });
  };
  /** One step over all bytes: only one decoder is open at a time. */
  const applyWhole = async (at: number): Promise<void> => {
    take(0, at, bytes);
    for (const [index, step] of steps.entries()) {
      const run = await startStep(step, setupOf(step));
      open.push(run);
      await run.apply(at, bytes, 0);
      await run.end();
      run.close();
      open.pop();
      take(index + 1, at, bytes);
    }
  };
  const applyPiece = async (at: number, count: number, position: number): Promise<void> => {
    take(0, at, count);
    for (const [index, run] of open.entries()) {
      await run.apply(at, count, position);
      take(index + 1, at, count);
    }
  };
  return {
    async push(window, aligned) {
      if (checksums === undefined) {
        const create = await loadChecksums();
        checksums = sums.map(({ algorithm }) => create(algorithm));
      }
      const begin = window.begin * width;
      const count = window.end * width - begin;
      const startAt = window.at[0] ?? 0;
      const at = aligned && startAt % PAGE !== 0 ? window.outAt : startAt;
      if (at !== startAt) {
        memory.copyWithin(at, startAt, startAt + count);
      }
      order.take(memory.subarray(at, at + count));
      if (window.begin === 0 && window.last) {
        await applyWhole(at);
      } else {
        if (window.begin === 0) {
          for (const step of steps) {
            open.push(await startStep(step, setupOf(step)));
          }
        }
        for (let done = 0; done < count; done += PIECE) {
          await applyPiece(at + done, Math.min(PIECE, count - done), begin + done);
        }
      }
      hash.update(memory.subarray(at, at + count));
      if (updates.joined === true) {
        joined.update(memory.subarray(at, at + count));
      }
      return { at, bytes: count, position: begin };
    },
    async finish(paths) {
      order.finish(paths);
      for (const run of open) {
        await run.end();
      }
      const found = checksums?.map((checksum) => checksum.digest()) ?? [];
      const result = { id: job.id, sha256: hash.digest("hex"), sum: 0, overflow: 0, checksums: found };
      return updates.joined === true ? { ...result, joined: joined.copy().digest("hex") } : result;
    },
    close() {
      for (const run of open.splice(0)) {
        run.close();
      }
    },
  };
}
