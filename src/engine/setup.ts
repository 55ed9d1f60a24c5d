/** The setup of a worker: files, windows, and the memory that its jobs need. */
import type { Kernel } from "../kernel/kernel.js";
import { loadKernel } from "../kernel/load.js";
import type { InputFile, OutputFile } from "./io/files.js";
import { type MemoryPlan, type ProductNeeds, planMemory, type TurnedNeeds } from "./io/memory.js";
import type { ExchangeMemory } from "./job/exchange.js";
import type { Job } from "./job/job.js";
import { codingOf, meansOf, operandsOf, updatesCoded } from "./job/operand.js";
import { turnedNeeds } from "./work/turned-layout.js";

/** Everything that a worker needs besides its jobs. It is plain data, since it is sent to the thread. */
export interface PipelineSetup {
  readonly inputs: readonly InputFile[];
  readonly outputs: readonly OutputFile[];
  /** Bytes of one operand in one window; a multiple of 64 KiB. */
  readonly windowBytes: number;
  /** Bytes of one window of a whole file. */
  readonly fileWindowBytes: number;
  /** The number of windows that are read ahead, computed or written at the same time. */
  readonly slots: number;
  /** The most operands that one job reads, and the most mean rows that one job takes (needsOf). */
  readonly operands: number;
  readonly means: number;
  /** Columns of the widest mean row; 0 without one. */
  readonly meanColumns: number;
  /** Do jobs encode or decode coded windows? */
  readonly coder: "none" | "decode" | "encode";
  /** Does any job make a payload? */
  readonly payloads?: boolean;
  /** Is any step of a chain coded? */
  readonly codedUpdates?: boolean;
  /** Is any job a whole file? */
  readonly files?: boolean;
  /** Is any job measured? */
  readonly measures: boolean;
  /** Only if jobs are products: the room that they need, and the exchange for their inputs and products. */
  readonly product?: ProductNeeds & { readonly exchange: ExchangeMemory };
  /** Only if sums of transposed matrices are transposed. */
  readonly turned?: TurnedNeeds;
  /** The most decoders of updates that one worker has open at the same time. */
  readonly decoders: number;
  /** Has every processor a worker? Then each reads for itself what is in the page cache. */
  readonly readsHere?: boolean;
  /** Requests that this worker may have under way at the Hub, beyond the first of each stretch that it reads. */
  readonly requests?: number;
}

/** Computes what the memory of a run must have room for. */
export function needsOf(jobs: readonly Job[]): OperandNeeds & Pick<PipelineSetup, "turned"> {
  const turned = turnedNeeds(jobs);
  return { ...operandNeeds(jobs), ...(turned === null ? {} : { turned }) };
}

type OperandNeeds = Pick<
  PipelineSetup,
  "operands" | "means" | "meanColumns" | "coder" | "payloads" | "codedUpdates" | "files" | "measures"
>;

function operandNeeds(jobs: readonly Job[]): OperandNeeds {
  return jobs.reduce<OperandNeeds>(
    (needs, job) => {
      const updates = updatesCoded(job);
      const coding = updates === "none" ? codingOf(job) : updates;
      const means = job.kind === "tensor" ? meansOf(job) : [];
      return {
        operands: Math.max(
          needs.operands,
          job.kind === "file" || job.kind === "payload" ? 0 : operandsOf(job).distinct.length,
        ),
        means: Math.max(needs.means, means.length),
        meanColumns: means.reduce((most, { mean }) => Math.max(most, mean?.columns ?? 0), needs.meanColumns),
        coder: coding === "none" || needs.coder === "encode" ? needs.coder : coding,
        payloads: needs.payloads === true || job.kind === "payload",
        codedUpdates: needs.codedUpdates === true || updates !== "none",
        files: needs.files === true || job.kind === "file",
        measures: needs.measures || (job.kind === "tensor" && job.measure !== undefined),
      };
    },
    {
      operands: 1,
      means: 0,
      meanColumns: 0,
      coder: "none",
      payloads: false,
      codedUpdates: false,
      files: false,
      measures: false,
    },
  );
}

/** A kernel with the memory that `runPipeline` needs. @throws {WeightDiffError} LIMIT. */
export function pipelineKernel(setup: PipelineSetup, wasm: Uint8Array | undefined): Kernel {
  // A kernel of the smallest size tells how large its states are.
  const { end } = memoryOf(setup, { ...loadKernel(0, wasm), base: 0 });
  return loadKernel(end, wasm);
}

/** Divides that memory. */
export function memoryOf(setup: PipelineSetup, kernel: Pick<Kernel, "base" | "sumBytes" | "meanBytes">): MemoryPlan {
  const meanBytes = setup.meanColumns === 0 ? 0 : kernel.meanBytes(setup.meanColumns);
  const fileWindowBytes = setup.files === true ? setup.fileWindowBytes : undefined;
  return planMemory(kernel.base, { ...setup, fileWindowBytes, sumBytes: kernel.sumBytes, meanBytes });
}
