/** The interface of a job: what it gets and gives, window by window. */
import type { WindowRange } from "../../formats/coded/index.js";
import type { TensorResult } from "../job/result.js";

/** Elements [begin, end) of the output, and where their operands are in the kernel's memory. */
export interface LoadedWindow {
  readonly begin: number;
  readonly end: number;
  /** Is it the job's last window? */
  readonly last: boolean;
  /** Where the bytes of each distinct operand are (operandsOf). */
  readonly at: readonly number[];
  /** The entry of the index about the start's coded window; only if the start is coded. */
  readonly coded?: WindowRange;
  /** An empty buffer of one window. */
  readonly outAt: number;
}

/** The result of a window: bytes in the kernel's memory, and where they go in the output tensor. */
export interface WindowOutput {
  readonly at: number;
  readonly bytes: number;
  /** In bytes, from the tensor's first byte. */
  readonly position: number;
  /** Bytes that follow them. */
  readonly tail?: Uint8Array;
}

export interface JobRun {
  /** @param aligned must the output begin on a page? It must if whole pages are written directly. */
  push(window: LoadedWindow, aligned: boolean): WindowOutput | Promise<WindowOutput>;
  /** After the last window. @throws {WeightDiffError} CRC_MISMATCH. */
  finish(paths: readonly string[]): TensorResult | Promise<TensorResult>;
  /** Frees what it holds besides the kernel's memory, however it ended. */
  close?(): Promise<void>;
}

/** A run that never waits. */
export interface SyncJobRun extends JobRun {
  push(window: LoadedWindow, aligned: boolean): WindowOutput;
  finish(paths: readonly string[]): TensorResult;
}
