/** What a job gets and gives, window by window. */
import type { WindowRange } from "../../formats/coded/index.js";
import type { TensorResult } from "../job/result.js";

/** Elements [begin, end) of the output, and where their operands lie in the kernel's memory. */
export interface LoadedWindow {
  readonly begin: number;
  readonly end: number;
  /** The job's last. */
  readonly last: boolean;
  /** Of each distinct operand (operandsOf). */
  readonly at: readonly number[];
  /** What the index says of the start's coded window; only where it is coded. */
  readonly coded?: WindowRange;
  /** An empty buffer of one window. */
  readonly outAt: number;
}

/** What a window has become: bytes in the kernel's memory, and where in the output tensor they go. */
export interface WindowOutput {
  readonly at: number;
  readonly bytes: number;
  /** Bytes from the tensor's first. */
  readonly position: number;
  /** What follows them. */
  readonly tail?: Uint8Array;
}

export interface JobRun {
  /** `aligned`: the output must begin on a page, where its pages are written as they are. */
  push(window: LoadedWindow, aligned: boolean): WindowOutput | Promise<WindowOutput>;
  /** After the last window. @throws {WeightDiffError} CRC_MISMATCH. */
  finish(paths: readonly string[]): TensorResult | Promise<TensorResult>;
  /** Gives back what it holds beside the kernel's memory, however it ended. */
  close?(): Promise<void>;
}

/** A run that waits for nothing. */
export interface SyncJobRun extends JobRun {
  push(window: LoadedWindow, aligned: boolean): WindowOutput;
  finish(paths: readonly string[]): TensorResult;
}
