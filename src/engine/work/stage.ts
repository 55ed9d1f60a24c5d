/** A stage is the arithmetic of one tensor. It gets blocks in order. stages.ts has a stage for every rule. */
import type { Kernel } from "../../kernel/kernel.js";
import type { MemoryPlan } from "../io/memory.js";
import type { TensorJob } from "../job/job.js";
import type { TensorResult } from "../job/result.js";
import type { ProofRun } from "./proof.js";

/** The elements of an operand that belong to a block: the first ones, unless the operand has fewer columns. */
export interface Part {
  readonly at: number;
  readonly stored: number;
}

/** Elements [first, first + items) of the output, and the bytes of their operands. */
export interface Block {
  readonly first: number;
  readonly items: number;
  readonly start: Part;
  readonly terms: readonly Part[];
  readonly outAt: number;
}

export interface Stage {
  /** Writes the block's output. */
  run(block: Block): void;
  finish(): Pick<TensorResult, "sum" | "overflow">;
}

export type StartStage = (job: TensorJob, kernel: Kernel, areas: MemoryPlan, proof: ProofRun | null) => Stage;
