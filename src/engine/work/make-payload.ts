/**
 * Makes the payload of one tensor in one step of a chain (formats/update.ts): the effect of several steps together, or the difference of two models.
 * The tensor is handled in pieces. Without a base the steps are applied to zeros: XORs add up, and overwritten bytes are marked.
 */
import { WeightDiffError } from "../../errors.js";
import { loadChecksums } from "../../formats/checksum.js";
import { payloadRoom } from "../../formats/update.js";
import type { Kernel } from "../../kernel/kernel.js";
import type { InputFile, WorkerFiles } from "../io/files.js";
import { BLOCK, type MemoryPlan, UPDATED_PIECE } from "../io/memory.js";
import { readerOf } from "../io/operands.js";
import type { PayloadJob, StoredOperand } from "../job/job.js";
import { updatesCoded } from "../job/operand.js";
import type { TensorResult } from "../job/result.js";
import { byteSwap } from "./byte-swap.js";
import { codedPart } from "./coded-step.js";
import { openPayloadSink, type Piece } from "./payload-sink.js";
import type { StepRun } from "./step-run.js";
import { openTogether, startStep } from "./steps.js";

/** The part of the worker's interface that a payload needs. */
export interface PayloadHost {
  progress(job: PayloadJob, read: number, written: number): void;
  /** True if the run must stop. It is asked before each piece. */
  aborted(): boolean;
}

/**
 * Makes the payload and writes it to the start of the job's room. It is decoded again at once.
 * @throws {WeightDiffError} as the steps; CRC_MISMATCH, INPUT_CHANGED, IO, DISK_FULL, INTERRUPTED.
 */
export async function makePayload(
  job: PayloadJob,
  kernel: Kernel,
  areas: MemoryPlan,
  files: WorkerFiles,
  { inputs, decoders }: { readonly inputs: readonly InputFile[]; readonly decoders: number },
  host: PayloadHost,
): Promise<TensorResult> {
  const { id, bytes, width, base, tuned, output } = job;
  const memory = new Uint8Array(kernel.memory);
  const room = payloadRoom(job.encoding, job, job.steps.length);
  const create = await loadChecksums([...job.sums, ...job.baseSums]);
  const sums = job.sums.map((name) => create(name));
  const baseSums = job.baseSums.map((name) => create(name));
  // Coded windows are handled as a whole, and have room of their own.
  const coded = updatesCoded(job) === "none" ? null : areas.codedUpdate;
  const part = coded === null || base === null ? UPDATED_PIECE : codedPart(base.dtype);
  const { payload } = areas;
  if (payload === null) {
    throw new TypeError(`${job.name}: no memory for a payload`);
  }
  const beforeAt = coded?.before ?? payload.before;
  const afterAt = coded?.after ?? payload.after;
  const sink = await openPayloadSink(job, kernel, areas, {
    put: (part, position) => files.write(output.shard, output.range, part, output.range.begin + position),
    get: (target, position) => files.reread(output.shard, target, output.range.begin + position),
  });
  const marks = base === null && job.encoding === "overwrite" ? payload.marks : null;
  const orders = new Map([base, tuned].flatMap((operand) => (operand === null ? [] : [[operand, byteSwap(operand)]])));
  const load = async (operand: StoredOperand, piece: { position: number; count: number }, buffer: number) => {
    const [begin, end] = [piece.position / width, (piece.position + piece.count) / width];
    const at = await readerOf(operand).load(operand, { begin, end, memory, buffer }, files);
    orders.get(operand)?.take(memory.subarray(at, at + piece.count));
    host.progress(job, piece.count, 0);
    return at;
  };
  /** Reads bytes [position, position + count) before any step. */
  const begin = async (position: number, count: number): Promise<Piece> => {
    const piece = { position, count, marks };
    const before = base === null ? null : await load(base, piece, beforeAt);
    if (tuned !== null) {
      return { ...piece, before, at: await load(tuned, piece, afterAt) };
    }
    const at = afterAt;
    if (before === null) {
      memory.fill(0, at, at + count);
    } else {
      memory.copyWithin(at, before, before + count);
    }
    if (marks !== null) {
      memory.fill(0, marks, marks + count);
    }
    return { ...piece, before, at };
  };
  /** Reads what the earlier groups of steps have made of these bytes. */
  const resume = async (position: number, count: number): Promise<Piece> => {
    const at = afterAt;
    await files.reread(output.shard, memory.subarray(at, at + count), output.range.begin + room.state + position);
    const before = base === null ? null : await load(base, { position, count }, beforeAt);
    return { position, count, marks, before, at };
  };
  const suspend = async ({ at, count, position }: Piece): Promise<void> => {
    const where = output.range.begin + room.state + position;
    await files.write(output.shard, output.range, memory.subarray(at, at + count), where);
  };
  const open = async (steps: PayloadJob["steps"], runs: StepRun[]): Promise<void> => {
    for (const step of steps) {
      const place = { file: inputs[step.input]?.path ?? "input", tensor: job.name, version: step.version };
      const remote = inputs[step.input]?.remote !== undefined;
      const scratch = { scratch: areas.rawBlock, scratchBytes: BLOCK * 4 };
      runs.push(await startStep(step, { ...{ kernel, areas, files, bytes, width, place, remote }, ...scratch }));
    }
  };
  const apply = async (runs: readonly StepRun[], { at, count, position }: Piece): Promise<void> => {
    for (const run of runs) {
      await run.apply(at, count, position, marks ?? undefined);
    }
  };
  const finish = async (piece: Piece): Promise<void> => {
    const { at, before, count } = piece;
    for (const sum of sums) {
      sum.update(memory.subarray(at, at + count));
    }
    for (const sum of before === null ? [] : baseSums) {
      sum.update(memory.subarray(before ?? at, (before ?? at) + count));
    }
    await sink.take(piece);
  };
  /** The next piece. Without a base, bytes that no step overwrites are skipped. */
  const skipped = async (runs: readonly StepRun[], position: number): Promise<number> => {
    if (marks === null) {
      return position;
    }
    const ahead = Math.min(...(await Promise.all(runs.map((run) => run.ahead?.() ?? Number.POSITIVE_INFINITY))));
    return ahead < position + part ? position : Math.floor(ahead / part) * part;
  };
  /** Applies the steps, one group after the other. A tensor of one piece stays in memory between groups. */
  const groups = groupsOf(job.steps, marks !== null ? Number.POSITIVE_INFINITY : bytes <= part ? 1 : decoders);
  let kept: Piece | null = null;
  try {
    for (const [number, steps] of groups.entries()) {
      const last = number === groups.length - 1;
      const runs: StepRun[] = [];
      try {
        await open(steps, runs);
        for (
          let position = await skipped(runs, 0);
          position < Math.max(bytes, 1);
          position = await skipped(runs, position + part)
        ) {
          if (host.aborted()) {
            throw new WeightDiffError("INTERRUPTED", "interrupted");
          }
          const count = Math.min(part, bytes - position);
          const piece: Piece = kept ?? (await (number === 0 ? begin : resume)(position, count));
          await apply(runs, piece);
          if (last) {
            await finish(piece);
          } else if (bytes <= part) {
            kept = piece;
          } else {
            await suspend(piece);
          }
        }
        for (const run of runs) {
          await run.end();
        }
      } finally {
        for (const run of runs) {
          run.close();
        }
      }
    }
    for (const order of orders.values()) {
      order.finish(inputs.map(({ path }) => path));
    }
    const made = await sink.end();
    const read = job.steps.reduce((sum, { range }) => sum + range.end - range.begin, 0);
    host.progress(job, read, made.size);
    const checksums = sums.map((sum) => sum.digest());
    return { id, ...made, sum: 0, overflow: 0, checksums, baseChecksums: baseSums.map((sum) => sum.digest()) };
  } finally {
    sink.close();
  }
}

/** Cuts the steps into groups: at least one, which may be empty. @param decoders how many may be open at the same time. */
function groupsOf(steps: PayloadJob["steps"], decoders: number): readonly PayloadJob["steps"][] {
  const groups: PayloadJob["steps"][] = [];
  let from = 0;
  do {
    const to = openTogether(steps, from, decoders);
    groups.push(steps.slice(from, to));
    from = to;
  } while (from < steps.length);
  return groups;
}
