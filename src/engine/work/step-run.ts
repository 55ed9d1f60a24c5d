/** What a step of a chain is to whoever has the tensor: what it does to it part by part, and what it needs for that. */
import type { ErrorPlace } from "../../errors.js";
import type { Kernel } from "../../kernel/kernel.js";
import type { WorkerFiles } from "../io/files.js";
import type { MemoryPlan } from "../io/memory.js";

export interface StepRun {
  /**
   * Changes bytes [position, position + count) of the tensor, which are at `at` in the kernel's memory. Each comes once, in order; to a coded
   * step whole windows of its own, but for the last.
   * @param marks where a byte of 1 is set for each that is overwritten.
   */
  apply(at: number, count: number, position: number, marks?: number): Promise<void>;
  /** The first byte ahead that it changes: Infinity after the last. Only where it lists what it changes. */
  ahead?(): Promise<number>;
  /** After the last byte. @throws {WeightDiffError} with `why`: the payload is not whole, or not all of it was used. */
  end(): Promise<void>;
  close(): void;
}

/** What a step's run needs to know. */
export interface StepSetup {
  readonly kernel: Kernel;
  readonly areas: Pick<MemoryPlan, "coder" | "codedUpdate">;
  readonly files: WorkerFiles;
  /** Where `scratchBytes` of the kernel's memory are free while a step is applied. */
  readonly scratch: number;
  readonly scratchBytes: number;
  /** The tensor's bytes, and those of one element. */
  readonly bytes: number;
  readonly width: number;
  readonly place: ErrorPlace;
  readonly remote: boolean;
}
