/** The interface of a step of a chain: it changes a tensor part by part. */
import type { ErrorPlace } from "../../errors.js";
import type { Kernel } from "../../kernel/kernel.js";
import type { WorkerFiles } from "../io/files.js";
import type { MemoryPlan } from "../io/memory.js";

export interface StepRun {
  /**
   * Changes bytes [position, position + count) of the tensor, which are at `at` in the kernel's memory. All bytes come once and in order. A coded
   * step gets whole coded windows, except at the end.
   * @param marks where a byte is set to 1 for each overwritten byte.
   */
  apply(at: number, count: number, position: number, marks?: number): Promise<void>;
  /** The position of the next byte that it changes; Infinity after the last. Only for steps that list positions. */
  ahead?(): Promise<number>;
  /** Call it after the last byte. @throws {WeightDiffError} with `why` if the payload is not complete, or if some of it was not used. */
  end(): Promise<void>;
  close(): void;
}

/** What a step needs to know. */
export interface StepSetup {
  readonly kernel: Kernel;
  readonly areas: Pick<MemoryPlan, "coder" | "codedUpdate">;
  readonly files: WorkerFiles;
  /** Where `scratchBytes` of the kernel's memory are free while a step is applied. */
  readonly scratch: number;
  readonly scratchBytes: number;
  /** The length of the tensor and the width of an element, in bytes. */
  readonly bytes: number;
  readonly width: number;
  readonly place: ErrorPlace;
  readonly remote: boolean;
}
