/** Why a run was stopped from outside. */
import { WeightDiffError } from "../../errors.js";

/** The reason of the abort, if it is a WeightDiffError. */
export function abortReason(signal: AbortSignal | undefined): unknown {
  return signal?.reason instanceof WeightDiffError ? signal.reason : new WeightDiffError("INTERRUPTED", "interrupted");
}

/** @throws the reason for which the run was aborted, if it was. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) {
    throw abortReason(signal);
  }
}
